"""The loss against true classes, chosen by name."""

import enum

from jaxtyping import Array, Float, Int

from hsjax import losses
from hsjax.train.objectives.base import HParams


class Labels(enum.Enum):
    """Loss against the true classes; the constants of each are in `hparams`.

    CROSS_ENTROPY: `label_smoothing`.
    BCE: `positive_weight`. Of two classes the logit is the difference of theirs, so that its sigmoid is what the
      softmax says, and the weight is that of the second class. Of more, each is a question of its own.
    FOCAL: `focal_gamma`.
    """

    CROSS_ENTROPY = "cross-entropy"
    BCE = "bce"
    FOCAL = "focal"

    def __call__(
        self, logits: Float[Array, "batch classes"], label: Int[Array, " batch"], hparams: HParams
    ) -> Float[Array, " batch"]:
        """One value per example."""
        if self is Labels.BCE:
            return losses.bce(losses.binary(logits), label, hparams["positive_weight"])
        if self is Labels.FOCAL:
            return losses.focal(logits, label, hparams["focal_gamma"])
        return losses.cross_entropy(logits, label, hparams["label_smoothing"])
