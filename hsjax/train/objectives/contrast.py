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

    NT-Xent, SupCon and MoCo are at `hparams["temperature"]`. MoCo's momentum is `hparams["ema_decay"]`; BYOL's rises
    from there to 1 over the run, as in the paper.
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
    see both views as one batch of twice the size, batch norm included; BYOL's target sees them likewise. Of MoCo the
    network sees the first view and the target the second.

    Attributes:
      loss: which.
      widths: of the projection's layers after the embedding, the last of which is compared.
      prediction: width of the hidden layer of BYOL's predictor.
      queue: keys that MoCo keeps.
      original: whether the first view is the example as it is, so that only the second is changed.
      total_steps: of the run, over which BYOL's momentum rises; 0 keeps it where it begins.
    """

    loss: Contrastive = Contrastive.NT_XENT
    widths: tuple[int, ...] = (128, 64)
    prediction: int = 128
    queue: int = 1024
    original: bool = False
    total_steps: int = 0

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
        first = dataclasses.replace(self, views=self.views.unchanged) if self.original else self
        views = [one.see(batch, parts.fixed, key, view) for view, one in enumerate((first, self))]
        moco = self.loss is Contrastive.MOCO
        ours, heads, memory = (parts.variables, parts.heads["projection"]), parts.heads, dict(parts.memory)
        projected, updated = self._project(network, *ours, views[:1] if moco else views, batch.mask, key)
        targets = projected
        if self.loss.has_target:
            variables, projection = parts.memory["target"]
            seen = views[1:] if moco else views
            targets, others = self._project(network, variables, projection, seen, batch.mask, key)
            targets = jax.lax.stop_gradient(targets)
            memory["target"] = (variables | others, projection)
        if moco:
            (query,), (positive,), queue = projected, targets, parts.memory["queue"]
            loss = contrastive.info_nce(query, positive, queue, batch.mask, hparams["temperature"])
            memory["queue"] = contrastive.enqueue(queue, positive, batch.mask)
        elif self.loss is Contrastive.BYOL:
            predicted = [contrastive.mlp(heads["prediction"], view, batch.mask) for view in projected]
            pairs = zip(predicted, reversed(targets), strict=True)
            each = [weighted_mean(contrastive.byol(one, other), batch) for one, other in pairs]
            loss = each[0] + each[1]
        else:
            first, second = projected
            loss = self._of(first, second, batch, hparams)
        return loss, Aside(updated, memory, {"contrast": loss})

    def after(self, parts: Parts, hparams: HParams, step: Array) -> Any:
        """The target follows."""
        if not self.loss.has_target:
            return parts.memory
        variables, projection = parts.memory["target"]
        online = {"params": parts.variables["params"]}, parts.heads["projection"]
        decay = hparams["ema_decay"]
        if self.loss is Contrastive.BYOL and self.total_steps:
            decay = contrastive.rising_momentum(step - 1, self.total_steps, decay)
        # Running statistics are the target's own, of the batches it has seen itself.
        params, projection = contrastive.momentum_update(({"params": variables["params"]}, projection), online, decay)
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
        self, network: Network, variables: Variables, projection: Any, views: list[Array], mask: Array, key: Array
    ) -> tuple[list[Array], Variables]:
        """The projection of each view, and the network's collections afterwards."""
        inputs, masks = jnp.concatenate(views), jnp.concatenate([mask] * len(views))
        outputs, updated = network.apply(variables, inputs, True, {"dropout": key}, masks)
        # Each view by itself, as in the papers: the statistics of the projection are of one view.
        each = jnp.split(outputs.embedding, len(views))
        return [contrastive.mlp(projection, one, mask) for one in each], updated
