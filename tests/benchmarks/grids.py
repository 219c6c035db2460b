"""Song's grid of distillations, trained as one sweep, one after another, and by PyTorch one after another."""

import importlib.util
import itertools
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import torch
from torch.nn import functional

from hsjax import train
from hsjax.models import build
from hsjax.models.pretrained.carry import Library, carry
from hsjax.train.sources import epoch_order, gather
from hsjax.types import Batch
from tests.benchmarks import steps, torch_networks

WORK = steps.WORKS["song-student"]
_CONFIG = pathlib.Path(__file__).parent.parent.parent / "configs" / "kd.py"
_LEARNING_RATE = 1e-3  # of Adam
_VALIDATION = 256  # examples; as many as ours are computed at a time
_COMPARED, _LOSS = 5, 1e-4  # steps of each member whose losses are compared, and how near they must be, relatively


class Grid(NamedTuple):
    """What all sides train.

    Attributes:
      learner: of all members.
      data: training examples on the device, with the teacher's logits.
      validation: inputs, on the device, and their classes.
      points: constants of each member.
      seeds: of each member.
      epochs: of each member.
    """

    learner: train.Learner
    data: Batch
    validation: tuple[jax.Array, np.ndarray]
    points: Sequence[Mapping[str, float]]
    seeds: Sequence[int]
    epochs: int

    @property
    def steps(self) -> int:
        """Of all members together."""
        return len(self.points) * self.epochs * -(-len(self.data.label) // WORK.batch)

    def order(self, seed: int, epoch: int) -> jax.Array:
        """Rows of the batches of an epoch, as `hsjax.train` draws them."""
        key = jax.random.split(jax.random.key(seed), 3)[1]
        return epoch_order(key, epoch, size=len(self.data.label), batch_size=WORK.batch)


def grid(seeds: int, least_steps: int, examples: int, root: pathlib.Path | None) -> Grid:
    """The members of `configs/kd.py:grid`.

    Args:
      seeds: number of them; each has all members.
      least_steps: of each member; epochs are whole.
      examples: for training; of real ones, at most so many.
      root: of the official distributions, of which PhysioNet/CinC 2016 is read; None for noise.
    """
    random = np.random.default_rng(0)
    if root is None:
        inputs, label = WORK.examples(examples + _VALIDATION)
    else:
        inputs, label = _physionet2016(root, examples)
    size = len(label) - _VALIDATION
    # What a teacher of other weights would say costs as much to learn from.
    teacher = 3 * random.standard_normal((size, WORK.num_classes), np.float32)
    one = np.ones(size, np.float32)
    data = jax.device_put(Batch(inputs[:size], label[:size], one, one, teacher))
    epochs = -(-least_steps // -(-size // WORK.batch))
    optimizer = train.Optimizer(train.Rule.ADAM, train.Schedule.CONSTANT, 1)
    network = build(WORK.network, num_classes=WORK.num_classes)
    both = list(itertools.product(range(seeds), _config().stages.grid.sweep))
    return Grid(
        train.Learner(network, train.Distil(), optimizer),
        data,
        (jnp.asarray(inputs[size:]), label[size:]),
        [dict(point) for _, point in both],
        [seed for seed, _ in both],
        epochs,
    )


def _config():
    spec = importlib.util.spec_from_file_location("kd", _CONFIG)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(_CONFIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config("grid")


def _physionet2016(root: pathlib.Path, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of training examples and then of validation examples, and their classes, under the grouped protocol."""
    from hsjax.experiment.context import Context

    config, protocol = _config(), "grouped"
    config.data.root, config.protocols = str(root), (protocol,)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(config, pathlib.Path(folder))
        fold = context.folds(protocol)[0]
        split, inputs = context.split(protocol, fold), context.inputs(protocol, fold)
        random = np.random.default_rng(0)
        index = np.concatenate(
            [
                random.permutation(split.train)[: examples or None],
                random.permutation(split.validation)[:_VALIDATION],
            ]
        )
        return inputs.on_host(index), context.examples.label[index].astype(np.int32)


class Ours:
    """hsjax's training of the grid, with everything that a run does: a checkpoint and a validation every epoch."""

    def __init__(self, grid: Grid, *, one_after_another: bool):
        self._grid, self._one_after_another = grid, one_after_another

    def run(self, folder: pathlib.Path) -> None:
        """Trains all members from the beginning; their files are below `folder`, which is empty."""
        grid = self._grid
        inputs, label = grid.validation

        def validate(logits: np.ndarray) -> dict[str, float]:
            return {"minus_loss": float(scipy.special.log_softmax(logits, -1)[np.arange(len(label)), label].mean())}

        settings: dict[str, Any] = {
            "epochs": grid.epochs,
            "batch_size": WORK.batch,
            "patience": 0,
            "select": "minus_loss",
        }
        members = [member(grid, number, folder) for number in range(len(grid.points))]
        for its in members:
            its.directory.mkdir()
        if self._one_after_another:
            for its in members:
                data = grid.data._replace(teacher_logits=its.teacher_logits)
                own = settings | {"hparams": its.hparams, "key": its.key, "directory": its.directory}
                fitted = train.fit(grid.learner, data, inputs, validate, **own)
                jax.block_until_ready(fitted.variables)
        else:
            source = train.OnDevice(grid.data)
            train.sweep(
                grid.learner, source, inputs, validate, members, _wait, directory=folder / "together", **settings
            )


def member(grid: Grid, number: int, folder: pathlib.Path) -> train.Member:
    """One of the grid, whose files lie in a folder of its own."""
    hparams = train.hparams(learning_rate=_LEARNING_RATE, **grid.points[number])
    key = jax.random.key(grid.seeds[number])
    return train.Member(hparams, key, folder / str(number), grid.data.teacher_logits)


def _wait(_: int, fitted: train.Fitted) -> None:
    jax.block_until_ready(fitted.variables)


class Theirs:
    """PyTorch's training of the grid, one member after another, on the same batches in the same order.

    Every epoch it computes the validation loss, and saves weights and optimiser.
    """

    def __init__(self, grid: Grid, peer: steps.Peer):
        self._grid, self._peer = grid, peer
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._layout = torch.channels_last if peer.channels_last else torch.contiguous_format
        data = jax.device_get(grid.data)
        self._inputs = self._put(WORK.theirs(data.inputs), self._layout)
        self._label = self._put(data.label).long()
        self._teacher = self._put(data.teacher_logits)
        self._held_out = self._put(WORK.theirs(np.asarray(grid.validation[0])), self._layout)
        self._of_held_out = self._put(grid.validation[1]).long()
        epochs = range(1, grid.epochs + 1)
        self._orders = {
            seed: [
                [self._put(row[row >= 0]) for row in np.asarray(grid.order(seed, epoch), np.int64)] for epoch in epochs
            ]
            for seed in set(grid.seeds)
        }

    def run(self, folder: pathlib.Path) -> None:
        """Trains all members from the beginning; their files are below `folder`, which is empty."""
        for number, (point, seed) in enumerate(zip(self._grid.points, self._grid.seeds, strict=True)):
            torch.manual_seed(seed)
            network = self.network()
            adam = torch.optim.Adam(network.parameters(), _LEARNING_RATE, fused=True if self._peer.fused else None)
            for order in self._orders[seed]:
                for index in order:
                    self.step(network, adam, index, point)
                with torch.inference_mode():
                    float(functional.cross_entropy(network(self._held_out), self._of_held_out))
                partial = folder / f"{number}.partial"
                torch.save({"network": network.state_dict(), "adam": adam.state_dict()}, partial)
                os.replace(partial, folder / f"{number}.pt")

    def network(self) -> torch.nn.Module:
        """With weights of its own."""
        network = WORK.peer(WORK.num_classes)
        return network.to(self._device, memory_format=self._layout)  # pyrefly: ignore[no-matching-overload]

    def step(
        self,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        index: torch.Tensor,
        point: Mapping[str, float],
    ) -> torch.Tensor:
        """One of them; the loss before it."""
        optimizer.zero_grad(set_to_none=True)
        logits = network(self._inputs[index])
        temperature, alpha = point["temperature"], point["alpha"]
        target = functional.softmax(self._teacher[index] / temperature, -1)
        soft = functional.cross_entropy(logits / temperature, target)
        loss = alpha * functional.cross_entropy(logits, self._label[index]) + (1 - alpha) * soft
        loss.backward()
        optimizer.step()
        return loss.detach()

    def losses(self, number: int, network: torch.nn.Module) -> list[float]:
        """Of the first steps of a member that begins with this network."""
        adam = torch.optim.Adam(network.parameters(), _LEARNING_RATE)
        order = self._orders[self._grid.seeds[number]][0][:_COMPARED]
        return [float(self.step(network, adam, index, self._grid.points[number])) for index in order]

    def _put(self, array: np.ndarray, layout: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(self._device).contiguous(memory_format=layout)


def check(grid: Grid) -> None:
    """Compares the losses of every member's first steps, from PyTorch's weights and on its batches, with PyTorch's.

    Raises:
      RuntimeError: they differ.
    """
    theirs = Theirs(grid, steps.PEERS["torch"])
    learner, shape = grid.learner, jax.ShapeDtypeStruct((1, *WORK.shape), jnp.float32)
    take = jax.jit(train.step, static_argnums=0)
    for number, (point, seed) in enumerate(zip(grid.points, grid.seeds, strict=True)):
        network = theirs.network()
        weights = torch_networks.tensors(network, network.state_dict())
        its = member(grid, number, pathlib.Path())
        begin: Callable = lambda fresh, w=weights: carry(fresh, w, WORK.names, Library.TORCHVISION)  # noqa: E731
        state, ours = learner.init(its.key, shape, its.hparams, begin), []
        for index in grid.order(seed, 1)[:_COMPARED]:
            with jax.default_matmul_precision("highest"):
                state, metrics = take(learner, state, gather(grid.data, index), its.hparams, its.key)
            ours.append(float(metrics["loss"]))
        wanted = theirs.losses(number, network)
        if not np.allclose(ours, wanted, rtol=_LOSS, atol=0):
            raise RuntimeError(f"member {point} of seed {seed} loses {ours} in its first steps, PyTorch's {wanted}")
