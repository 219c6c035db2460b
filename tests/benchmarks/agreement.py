"""That two implementations of a network compute the same, before one is timed against the other."""

import functools

import jax
import numpy as np
import torch
from torch import nn

from hsjax import models
from hsjax.models import Variables
from hsjax.models.pretrained.carry import Library, carry
from hsjax.train import Learner
from hsjax.train.objectives import Parts
from hsjax.types import Batch
from tests.benchmarks import torch_networks
from tests.benchmarks.steps import Work, batch_of, hparams, torch_loss

_EXAMPLES = 4
# In a deep network both gradients are thousandths away from that in float64, where rounding decides at ReLU's corner.
_LOGITS, _GRADIENT, _NORM = 1e-4, 1e-2, 1e-3


def check(work: Work) -> None:
    """Compares parameter counts, logits in evaluation and in training, and the loss's gradient, without dropout.

    Ours gets PyTorch's weights. Differences are relative to the largest logit and to the gradient's norm.

    Raises:
      RuntimeError: something differs.
    """
    torch.manual_seed(0)
    inputs, label = work.examples(_EXAMPLES)
    network = work.peer(work.num_classes)
    count = sum(parameter.numel() for parameter in network.parameters())
    weights = torch_networks.tensors(network, network.state_dict())
    theirs = _theirs(network, torch.from_numpy(work.theirs(inputs)), torch.from_numpy(label).long())

    learner, batch = work.learner(**work.without_dropout), batch_of(work, inputs, label)
    fresh = learner.network.init(jax.random.key(0), batch.inputs)
    if not count == models.parameter_count(fresh) == work.parameters:
        raise RuntimeError(f"{count} and {models.parameter_count(fresh)} parameters, not {work.parameters}")

    with jax.default_matmul_precision("highest"):
        ours = _ours(learner, carry(fresh, weights, work.names, Library.TORCHVISION), batch)
    gradient = carry({"params": fresh["params"]}, theirs.pop("gradient"), work.names, Library.TORCHVISION)["params"]
    theirs["gradient"] = _flat(gradient)
    norms = {side: np.linalg.norm(values["gradient"]) for side, values in (("ours", ours), ("theirs", theirs))}
    differences = {
        name: (_largest(ours[name] - theirs[name]) / _largest(theirs[name]), _LOGITS)
        for name in ("logits", "training logits")
    }
    differences["gradient"] = np.linalg.norm(ours["gradient"] - theirs["gradient"]) / norms["theirs"], _GRADIENT
    differences["norm of the gradient"] = abs(norms["ours"] / norms["theirs"] - 1), _NORM
    for name, (difference, bound) in differences.items():
        if not difference < bound:
            raise RuntimeError(f"{work.network} and {work.peer.__name__} differ in their {name}: {difference:.1e}")


def _largest(values: np.ndarray) -> float:
    return np.abs(values).max()


def _ours(learner: Learner, variables: Variables, batch: Batch) -> dict[str, np.ndarray]:
    @functools.partial(jax.jit, static_argnames="train")
    def logits(variables: Variables, train: bool) -> jax.Array:
        return learner.network.apply(variables, batch.inputs, train, {"dropout": jax.random.key(0)})[0].logits

    @jax.jit
    def gradient(params):
        def loss(params):
            key = jax.random.key(0)
            parts = Parts(variables | {"params": params}, {}, {}, {})
            return learner.objective(learner.network, parts, batch, hparams(), key)[0]

        return jax.grad(loss)(params)

    return {
        "logits": np.asarray(logits(variables, False)),
        "training logits": np.asarray(logits(variables, True)),
        "gradient": _flat(gradient(variables["params"])),
    }


def _theirs(network: nn.Module, inputs: torch.Tensor, label: torch.Tensor) -> dict:
    with torch.inference_mode():
        evaluated = network.eval()(inputs)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    logits = network(inputs)
    torch_loss(logits, label).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {
        "logits": evaluated.numpy(),
        "training logits": logits.detach().numpy(),
        "gradient": torch_networks.tensors(network, gradients),
    }


def _flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])
