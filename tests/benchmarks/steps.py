"""Training steps of the same network on the same batches by hsjax and by PyTorch, ready to be timed."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hsjax import train
from hsjax.models import Form, build
from hsjax.models.pretrained.names import mobilenet_v3, resnet, squeezenet
from hsjax.models.resnet import Variant
from hsjax.train.objectives import HParams
from hsjax.train.sources import gather
from hsjax.types import Batch
from tests.benchmarks import torch_networks

BATCHES = 8
"""Different ones, in turn: a single one would soon be known by heart, and denormal gradients are slow."""


@dataclasses.dataclass(frozen=True)
class Work:
    """A network and what it is trained on.

    Attributes:
      network: in `hsjax.models.MODELS`.
      peer: PyTorch's class of it.
      names: of its tensors, see `hsjax.models.pretrained.carry`.
      parameters: how many it must have.
      num_classes: width of the logits; 1 is trained by the binary cross-entropy.
      batch: examples per step.
      shape: of one example: coefficients, frames.
      channels: of PyTorch's input, equal maps.
      options: of ours.
      without_dropout: further options of ours, to compare values.
      maps: channels of our own input; where there is but one, the stem's kernel is summed instead.
    """

    network: str
    peer: type[nn.Module]
    names: Callable[[tuple[str, ...]], str]
    parameters: int
    num_classes: int
    batch: int
    shape: tuple[int, int]
    channels: int = 1
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    without_dropout: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    maps: int = 1

    def examples(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Noise, float32 (count, coeffs, frames), and random classes, int32 (count,)."""
        random = np.random.default_rng(0)
        inputs = random.standard_normal((count, *self.shape), np.float32)
        return inputs, random.integers(0, max(2, self.num_classes), count, dtype=np.int32)

    def ours(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs as our network gets them."""
        return inputs if self.maps == 1 else np.repeat(inputs[..., None], self.maps, -1)

    def theirs(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs as PyTorch's network gets them."""
        return np.repeat(inputs[:, None], self.channels, 1)

    def learner(self, form: Form = Form.FAST, **options: Any) -> train.Learner:
        """Our network, its loss and Adam."""
        network = build(self.network, num_classes=self.num_classes, form=form, **{**self.options, **options})
        objective = train.Supervised(train.Labels.BCE if self.num_classes == 1 else train.Labels.CROSS_ENTROPY)
        return train.Learner(network, objective, train.Optimizer(train.Rule.ADAM, train.Schedule.CONSTANT, 1))


_SONG = {"names": torch_networks.song_names, "num_classes": 2, "batch": 64, "shape": (13, 101)}
_MAHAPATRA = {"num_classes": 5, "batch": 16, "shape": (128, 63), "channels": 3, "without_dropout": {"dropout": 0.0}}
_MOBILE = Work(
    "mobilenetv3-small", torch_networks.MobileNetV3Small, mobilenet_v3.torchvision_small, 1_522_981, **_MAHAPATRA
)  # fmt: skip
_SQUEEZE = Work("squeezenet", torch_networks.SqueezeNet, squeezenet.torchvision, 725_061, **_MAHAPATRA)

WORKS = {
    "song-student": Work("song-student", torch_networks.SongStudent, parameters=43_250, **_SONG),
    "song-teacher": Work("song-teacher", torch_networks.SongTeacher, parameters=254_594, **_SONG),
    # Sriram's teacher: 11,170,240 and a head of one unit.
    "resnet18": Work(
        "resnet18",
        torch_networks.ResNet18,
        resnet.torchvision,
        11_170_753,
        1,
        16,
        (50, 2805),
        options={"channels": 1, "variant": Variant.TORCHVISION},
    ),
    "mobilenetv3-small": dataclasses.replace(_MOBILE, maps=3),
    "mobilenetv3-small, 1 map": _MOBILE,
    "squeezenet": dataclasses.replace(_SQUEEZE, maps=3),
    "squeezenet, 1 map": _SQUEEZE,
}
"""By name. Both get the paper's three equal maps; ours one of them, which means the same, where the name says so."""


def batch_of(work: Work, inputs: np.ndarray, label: np.ndarray) -> Batch:
    """On the device, every example counting."""
    one = np.ones(len(label), np.float32)
    return jax.device_put(Batch(work.ours(inputs), label, one, one))


def hparams() -> dict[str, jax.Array]:
    """Of Adam; PyTorch's defaults."""
    return train.hparams(learning_rate=1e-3, weight_decay=0.0)


# As `hsjax.train.loop` does it: examples stay on the device; on CPU one dispatch a step, elsewhere an epoch.
@functools.partial(jax.jit, static_argnames="learner", donate_argnames="state")
def _one_step(learner: train.Learner, state, data: Batch, order: jax.Array, hparams: HParams, key: jax.Array):
    return train.step(learner, state, gather(data, order[state.step % order.shape[0]]), hparams, key)


@functools.partial(jax.jit, static_argnames="learner", donate_argnames="state")
def _epoch(learner: train.Learner, state, data: Batch, order: jax.Array, hparams: HParams, key: jax.Array):
    def body(state, index):
        return train.step(learner, state, gather(data, index), hparams, key)

    return jax.lax.scan(body, state, order)


class Ours:
    """hsjax's training of one network."""

    def __init__(self, work: Work, form: Form = Form.FAST):
        inputs, label = work.examples(BATCHES * work.batch)
        self._data = batch_of(work, inputs, label)
        self._order = jnp.arange(len(label)).reshape(BATCHES, -1)
        self._learner = work.learner(form)
        self._hparams, self._key = hparams(), jax.random.key(0)
        shape = jax.ShapeDtypeStruct((1, *self._data.inputs.shape[1:]), jnp.float32)
        self._state = self._learner.init(self._key, shape, self._hparams)
        self._dispatch = train.Dispatch.AUTO.resolve()
        jax.block_until_ready(self._state)

    def run(self, steps: int) -> None:
        """Takes steps and waits for the last."""
        if self._dispatch is train.Dispatch.SCAN:
            order = jnp.tile(self._order, (-(-steps // BATCHES), 1))[:steps]
            self._take(_epoch, order)
        else:
            for _ in range(steps):
                self._take(_one_step, self._order)
        jax.block_until_ready(self._state)

    def compiled_text(self) -> str:
        """The program of one step as XLA has compiled it."""
        arguments = (self._learner, self._state, self._data, self._order, self._hparams, self._key)
        return _one_step.lower(*arguments).compile().as_text()

    def _take(self, dispatch: Callable, order: jax.Array) -> None:
        self._state, _ = dispatch(self._learner, self._state, self._data, order, self._hparams, self._key)


@dataclasses.dataclass(frozen=True)
class Peer:
    """A way to train with PyTorch.

    Attributes:
      channels_last: PyTorch's memory format for images instead of its default.
      fused: Adam as one kernel.
      compiled: by inductor.
    """

    channels_last: bool = False
    fused: bool = False
    compiled: bool = False


PEERS = {
    "torch": Peer(),
    "torch, channels last": Peer(channels_last=True),
    "torch, fused Adam": Peer(fused=True),
    "torch, channels last, fused Adam": Peer(channels_last=True, fused=True),
    "torch, compiled, fused Adam": Peer(fused=True, compiled=True),
    "torch, compiled, channels last, fused Adam": Peer(channels_last=True, fused=True, compiled=True),
}


class Theirs:
    """PyTorch's training of one network."""

    def __init__(self, work: Work, peer: Peer = PEERS["torch"]):
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        layout = torch.channels_last if peer.channels_last else torch.contiguous_format
        network = work.peer(work.num_classes).to(self._device, memory_format=layout)
        self._optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True if peer.fused else None)
        self._network = torch.compile(network) if peer.compiled else network
        inputs, label = work.examples(BATCHES * work.batch)
        whole = torch.from_numpy(work.theirs(inputs)).to(self._device)
        self._inputs = [part.contiguous(memory_format=layout) for part in whole.split(work.batch)]
        self._labels = torch.from_numpy(label).long().to(self._device).split(work.batch)
        self._steps = 0

    def run(self, steps: int) -> None:
        """Takes steps and waits for the last."""
        for _ in range(steps):
            turn = self._steps % BATCHES
            self._optimizer.zero_grad(set_to_none=True)
            torch_loss(self._network(self._inputs[turn]), self._labels[turn]).backward()
            self._optimizer.step()
            self._steps += 1
        if self._device == "cuda":
            torch.cuda.synchronize()


def torch_loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy; the binary one where there is but one logit."""
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], label.float())
    return functional.cross_entropy(logits, label)


def device_peak(side: str) -> int:
    """Most bytes that the accelerator's allocator of `ours` or `theirs` had given out."""
    if side == "theirs":
        return torch.cuda.max_memory_allocated()
    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
