"""Contrastive and self-supervised learning on two views of every example."""

import dataclasses
import enum
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses import contrastive
from hsjax.models import Network, Variables
from hsjax.train.objectives.base import Aside, HParams, Objective, Parts, Start, shapes, weighted_mean
from hsjax.types import Batch


class Contrastive(enum.Enum):
    """Loss of two views; see `losses.contrastive`.

    NT-Xent, SupCon and MoCo are at `hparams["temperature"]`; MoCo's and BYOL's momentum is `hparams["ema_decay"]`.
    """

    NT_XENT = "nt-xent"
    SUPCON = "supcon"
    MOCO = "moco"
    BYOL = "byol"
    BARLOW_TWINS = "barlow-twins"
    VICREG = "vicreg"

    @property
    def has_target(self) -> bool:
        """Whether a second network follows the first by its moving average."""
        return self in (Contrastive.MOCO, Contrastive.BYOL)

    @property
    def normalises(self) -> bool:
        """Whether the projection has batch norm between its layers, as in the papers."""
        return self in (Contrastive.BYOL, Contrastive.BARLOW_TWINS, Contrastive.VICREG)


@dataclasses.dataclass(frozen=True)
class Contrast(Objective):
    """The network's embedding, projected, is to be alike for two views of one example and unlike for two examples.

    On several devices the batch is the whole one: negatives come from all of them, and statistics too. The networks
    see both views as one batch of twice the size, batch norm included; the target of MoCo and BYOL sees them likewise.

    Attributes:
      loss: which.
      widths: of the projection's layers after the embedding, the last of which is compared.
      prediction: width of the hidden layer of BYOL's predictor.
      queue: keys that MoCo keeps.
    """

    loss: Contrastive = Contrastive.NT_XENT
    widths: tuple[int, ...] = (128, 64)
    prediction: int = 128
    queue: int = 1024

    def init(self, network: Network, key: Array, inputs: jax.ShapeDtypeStruct, start: Start) -> tuple[Any, Any]:
        """See `Objective`."""
        embedding = shapes(network, start.variables, inputs).embedding
        projecting, predicting = jax.random.split(key)
        dtype, last = embedding.dtype, self.widths[-1]
        widths = (embedding.shape[-1], *self.widths)
        heads = {"projection": contrastive.init_mlp(projecting, widths, self.loss.normalises, dtype)}
        memory: dict[str, Any] = {}
        if self.loss.has_target:
            memory["target"] = jax.tree.map(jnp.copy, (start.variables, heads["projection"]))
        if self.loss is Contrastive.MOCO:
            memory["queue"] = contrastive.init_queue(self.queue, last, dtype)
        if self.loss is Contrastive.BYOL:
            heads["prediction"] = contrastive.init_mlp(predicting, (last, self.prediction, last), True, dtype)
        return heads, memory

    def __call__(self, network: Network, parts: Parts, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        inputs = jnp.concatenate([self.see(batch, parts.fixed, key, view) for view in (0, 1)])
        mask = jnp.concatenate([batch.mask, batch.mask])
        (first, second), updated = self._project(network, parts.variables, parts.heads["projection"], inputs, mask, key)
        memory, targets = dict(parts.memory), (first, second)
        if self.loss.has_target:
            variables, projection = parts.memory["target"]
            targets, others = self._project(network, variables, projection, inputs, mask, key)
            targets = jax.lax.stop_gradient(targets)
            memory["target"] = (variables | others, projection)
        if self.loss is Contrastive.MOCO:
            queue, temperature = parts.memory["queue"], hparams["temperature"]
            loss = contrastive.info_nce(first, targets[1], queue, batch.mask, temperature)
            memory["queue"] = contrastive.enqueue(queue, targets[1], batch.mask)
        elif self.loss is Contrastive.BYOL:
            predicted = [contrastive.mlp(parts.heads["prediction"], view, batch.mask) for view in (first, second)]
            pairs = zip(predicted, reversed(targets), strict=True)
            each = [weighted_mean(contrastive.byol(ours, theirs), batch) for ours, theirs in pairs]
            loss = each[0] + each[1]
        else:
            loss = self._of(first, second, batch, hparams)
        return loss, Aside(updated, memory, {"contrast": loss})

    def after(self, parts: Parts, hparams: HParams, step: Array) -> Any:
        """The target follows."""
        if not self.loss.has_target:
            return parts.memory
        variables, projection = parts.memory["target"]
        online = {"params": parts.variables["params"]}, parts.heads["projection"]
        # Running statistics are the target's own, of the batches it has seen itself.
        params, projection = contrastive.momentum_update(
            ({"params": variables["params"]}, projection), online, hparams["ema_decay"]
        )
        return parts.memory | {"target": (variables | params, projection)}

    def _of(self, first: Array, second: Array, batch: Batch, hparams: HParams) -> Float[Array, ""]:
        mask = batch.mask
        if self.loss is Contrastive.SUPCON:
            return contrastive.supcon(first, second, batch.label, mask, hparams["temperature"])
        if self.loss is Contrastive.BARLOW_TWINS:
            return contrastive.barlow_twins(first, second, mask)
        if self.loss is Contrastive.VICREG:
            return contrastive.vicreg(first, second, mask)
        return contrastive.nt_xent(first, second, mask, hparams["temperature"])

    def _project(
        self, network: Network, variables: Variables, projection: Any, inputs: Array, mask: Array, key: Array
    ) -> tuple[tuple[Array, Array], Variables]:
        """The projections of both views, and the network's collections afterwards."""
        outputs, updated = network.apply(variables, inputs, True, {"dropout": key}, mask)
        size = len(inputs) // 2
        halves = outputs.embedding[:size], outputs.embedding[size:]
        # Each view by itself, as in the papers: the statistics of the projection are of one view.
        first, second = (contrastive.mlp(projection, half, mask[:size]) for half in halves)
        return (first, second), updated
