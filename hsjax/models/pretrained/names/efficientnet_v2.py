"""Names of the tensors of EfficientNetV2."""

from hsjax.models.efficientnet_v2 import STAGES
from hsjax.models.pretrained.names import efficientnet

# What the blocks of each stage consist of; those that do not expand have no first step.
_STEPS = tuple(
    (("expand",) if stage.shape.expansion > 1 else ())
    + (("project",) if stage.fused else ("depthwise", "squeeze", "project"))
    for stage in STAGES
)


def keras(path: tuple[str, ...]) -> str:
    """The name in keras.applications, such as `block4a_dwconv2/kernel`."""
    return efficientnet.keras(path, depthwise="dwconv2")


def torchvision(path: tuple[str, ...]) -> str:
    """The name in torchvision's state dict, such as `features.4.0.block.1.0.weight`."""
    return efficientnet.place(path, _STEPS)
