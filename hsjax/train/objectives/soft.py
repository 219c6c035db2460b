"""The loss against a teacher's logits, chosen by name."""

import enum

from jaxtyping import Array, Float

from hsjax import losses
from hsjax.losses import masked
from hsjax.train.objectives.base import HParams, weighted_mean
from hsjax.types import Batch


class Soft(enum.Enum):
    """Loss against a teacher's logits, at `hparams["temperature"]`; see `losses.distillation`.

    KD: soft cross-entropy (Hinton et al. 2015). BCE: of sigmoids (Sriram); of two classes that of the difference of
    their logits, which is KD. DKD: `dkd_alpha`, `dkd_beta`; of two classes KD times T^2 and `dkd_alpha`. DIST:
    `dist_beta`, `dist_gamma`. TTM, WTTM: temperature on the teacher's side alone. STANDARDISED: KD of z-scores, for
    three classes and more.
    """

    KD = "kd"
    BCE = "bce"
    DKD = "dkd"
    DIST = "dist"
    TTM = "ttm"
    WTTM = "wttm"
    STANDARDISED = "standardised"

    @property
    def has_t2(self) -> bool:
        """Whether it is multiplied by T^2 as its paper defines it."""
        return self in (Soft.DKD, Soft.DIST, Soft.STANDARDISED)

    def together(self, logits: Float[Array, "teachers batch classes"]) -> Float[Array, "batch classes"]:
        """Logits of several teachers as one: of the mean of what this loss makes probabilities of them."""
        of_each_class = self is Soft.BCE and logits.shape[-1] > 2
        return losses.ensemble_binary_logits(logits) if of_each_class else losses.ensemble_logits(logits)

    def __call__(
        self, logits: Float[Array, "batch classes"], teacher: Float[Array, "batch classes"], batch: Batch, hp: HParams
    ) -> Float[Array, ""]:
        """Of a batch: mean by weight of the examples' losses, or the batch's own where it has no such parts."""
        temperature = hp["temperature"]
        # Of padding they reach no value, but by 0 * NaN a gradient.
        logits, teacher = masked.shown(logits, batch.mask), masked.shown(teacher, batch.mask)
        if self is Soft.BCE:
            return weighted_mean(losses.soft_bce(losses.binary(logits), losses.binary(teacher), temperature), batch)
        if self is Soft.DIST:
            # Correlations over a batch have no weights of examples.
            return losses.dist(logits, teacher, batch.mask, temperature, hp["dist_beta"], hp["dist_gamma"])
        if self is Soft.DKD:
            values = losses.dkd(logits, batch.label, teacher, temperature, hp["dkd_alpha"], hp["dkd_beta"])
        else:
            function = {
                Soft.KD: losses.soft_cross_entropy,
                Soft.TTM: losses.ttm,
                Soft.WTTM: losses.wttm,
                Soft.STANDARDISED: losses.standardised_kl,
            }[self]
            values = function(logits, teacher, temperature)
        return weighted_mean(values, batch)
