"""Names of the tensors of MobileNetV3. torchvision numbers layers, differently in the small and the large network."""

import functools

from hsjax.models.mobilenet_v3 import LARGE, SMALL, Block
from hsjax.models.pretrained.names import leaf

_KERAS_SQUEEZE = {"reduce": "conv", "expand": "conv_1"}
_TORCH_SQUEEZE = {"reduce": "fc1", "expand": "fc2"}


def keras(path: tuple[str, ...]) -> str:
    """The name in keras.applications, such as `expanded_conv_1_expand/kernel`; of both networks."""
    *above, name = path
    match above:
        case "stem", kind:
            layer = "conv_bn" if kind == "norm" else "conv"
        case "head", kind:
            layer = "conv_1_bn" if kind == "norm" else "conv_1"
        case block, "squeeze", convolution:
            layer = f"{_keras_block(block)}_squeeze_excite_{_KERAS_SQUEEZE[convolution]}"
        case block, convolution, kind:
            layer = f"{_keras_block(block)}_{convolution}{'_bn' if kind == 'norm' else ''}"
        case ["hidden"]:
            layer = "conv_2"
        case ["logits"]:
            layer = "logits"
        case _:
            return "/".join(path)
    return leaf.keras(layer, name, above[-1] == "norm")


def _keras_block(name: str) -> str:
    number = int(name.removeprefix("block")) - 1
    return f"expanded_conv_{number}" if number else "expanded_conv"


def _torchvision(path: tuple[str, ...], blocks: tuple[Block, ...]) -> str:
    """The name in torchvision's state dict, such as `features.1.block.0.0.weight`."""
    *above, name = path
    match above:
        case "stem", kind:
            layer = f"features.0.{1 if kind == 'norm' else 0}"
        case "head", kind:
            layer = f"features.{len(blocks) + 1}.{1 if kind == 'norm' else 0}"
        case block, step, inner:
            number = int(block.removeprefix("block"))
            # The first block does not expand.
            steps = ["expand"] * (number > 1) + ["depthwise"] + ["squeeze"] * blocks[number - 1].squeeze + ["project"]
            place = _TORCH_SQUEEZE[inner] if step == "squeeze" else 1 if inner == "norm" else 0
            layer = f"features.{number}.block.{steps.index(step)}.{place}"
        case ["hidden"]:
            layer = "classifier.0"
        case ["logits"]:
            layer = "classifier.3"
        case _:
            return ".".join(path)
    return leaf.torchvision(layer, name)


torchvision_small = functools.partial(_torchvision, blocks=SMALL)
torchvision_large = functools.partial(_torchvision, blocks=LARGE)
