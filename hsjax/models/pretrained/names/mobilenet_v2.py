"""Names of the tensors of MobileNetV2."""

from hsjax.models.mobilenet_v2 import STAGES
from hsjax.models.pretrained.names import leaf

_BLOCKS = sum(stage.repeats for stage in STAGES)


def keras(path: tuple[str, ...]) -> str:
    """The name in keras.applications, such as `block_1_expand/kernel`."""
    *above, name = path
    match above:
        case "stem", kind:
            layer = "bn_Conv1" if kind == "norm" else "Conv1"
        case "head", kind:
            layer = "Conv_1_bn" if kind == "norm" else "Conv_1"
        case block, convolution, kind:
            number = int(block.removeprefix("block")) - 1
            prefix = f"block_{number}" if number else "expanded_conv"
            layer = f"{prefix}_{convolution}{'_BN' if kind == 'norm' else ''}"
        case ["logits"]:
            layer = "predictions"
        case _:
            return "/".join(path)
    return leaf.keras(layer, name, above[-1] == "norm")


def torchvision(path: tuple[str, ...]) -> str:
    """The name in torchvision's state dict, such as `features.2.conv.0.0.weight`."""
    *above, name = path
    match above:
        case "stem", kind:
            layer = f"features.0.{1 if kind == 'norm' else 0}"
        case "head", kind:
            layer = f"features.{_BLOCKS + 1}.{1 if kind == 'norm' else 0}"
        case block, convolution, kind:
            number = int(block.removeprefix("block"))
            # The first block does not expand; convolutions with a nonlinearity are one step, projection and norm two.
            steps = ("expand", "depthwise", "project")[number == 1 :]
            step, inner = steps.index(convolution), 1 if kind == "norm" else 0
            place = f"{step + inner}" if convolution == "project" else f"{step}.{inner}"
            layer = f"features.{number}.conv.{place}"
        case ["logits"]:
            layer = "classifier.1"
        case _:
            return ".".join(path)
    return leaf.torchvision(layer, name)
