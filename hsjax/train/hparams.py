"""Constants of optimisers and objectives, all of them traced: none recompiles a step, and any can be swept over."""

import jax
import jax.numpy as jnp

DEFAULTS = {
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "temperature": 1.0,  # of softmaxes of logits, and of contrastive similarities
    "alpha": 1.0,  # weight of the loss against true classes, 0 to 1; the rest is that against the teacher's logits
    "label_smoothing": 0.0,
    "positive_weight": 1.0,  # of the positive class in the binary cross-entropy
    "focal_gamma": 2.0,  # Lin et al. 2017
    "mixup": 0.0,  # alpha of the Beta distribution; 0 mixes nothing
    "group_step": 0.01,  # of the shares of groups; Sagawa et al. 2020
    "group_penalty": 1.0,  # on the variance of their losses; Krueger et al. 2021 try 1 to 10,000
    "ema_decay": 0.999,  # of averages, momentum networks and mean teachers
    "dkd_alpha": 1.0,  # Zhao et al. 2022
    "dkd_beta": 8.0,
    "dist_beta": 1.0,  # Huang et al. 2022: 2 on CIFAR, 1 on ImageNet
    "dist_gamma": 1.0,
}
"""Every constant by name, with what it is where nothing else is said.

Weights of hints come beside them, and for networks that are pruned their `sparsity`.
"""


def hparams(**values: float) -> dict[str, jax.Array]:
    """The constants of a run as scalars on the device: `DEFAULTS` with `values`, which may hold weights of hints."""
    return {name: jnp.asarray(value, float) for name, value in (DEFAULTS | values).items()}
