"""Names of the tensors of EfficientNet."""

import re

from hsjax.models.efficientnet import STAGES
from hsjax.models.pretrained.names import leaf

_KERAS_STEPS = {
    ("expand", "conv"): "expand_conv",
    ("expand", "norm"): "expand_bn",
    ("depthwise", "conv"): "dwconv",
    ("depthwise", "norm"): "bn",
    ("squeeze", "reduce"): "se_reduce",
    ("squeeze", "expand"): "se_expand",
    ("project", "conv"): "project_conv",
    ("project", "norm"): "project_bn",
}
_TORCH_PLACES = {"conv": "0", "norm": "1", "reduce": "fc1", "expand": "fc2"}


def keras(path: tuple[str, ...], depthwise: str = "dwconv") -> str:
    """The name in keras.applications, such as `block2a_expand_conv/kernel`.

    Args:
      path: of the leaf.
      depthwise: what the depthwise convolution is called.
    """
    *above, name = path
    match above:
        case "stem" | "head" as end, kind:
            layer = f"{'top' if end == 'head' else end}_{'bn' if kind == 'norm' else kind}"
        case block, step, inner:
            stage, number = numbers(block)
            layer = f"block{stage}{'abcdefghijklmnopqrstuvwxyz'[number - 1]}_{_KERAS_STEPS[step, inner]}"
            layer = layer.replace("dwconv", depthwise)
        case ["logits"]:
            layer = "predictions"
        case _:
            return "/".join(path)
    return leaf.keras(layer, name, above[-1] == "norm")


def torchvision(path: tuple[str, ...]) -> str:
    """The name in torchvision's state dict, such as `features.2.0.block.0.0.weight`."""
    # Blocks of the first stage do not expand.
    steps = ("depthwise", "squeeze", "project")
    return place(path, ((steps), *[("expand", *steps)] * (len(STAGES) - 1)))


def place(path: tuple[str, ...], steps: tuple[tuple[str, ...], ...]) -> str:
    """The name in torchvision's state dict, by what each stage's blocks consist of, in order."""
    *above, name = path
    match above:
        case "stem" | "head" as end, kind:
            layer = f"features.{0 if end == 'stem' else len(steps) + 1}.{_TORCH_PLACES[kind]}"
        case block, step, inner:
            stage, number = numbers(block)
            layer = f"features.{stage}.{number - 1}.block.{steps[stage - 1].index(step)}.{_TORCH_PLACES[inner]}"
        case ["logits"]:
            layer = "classifier.1"
        case _:
            return ".".join(path)
    return leaf.torchvision(layer, name)


def numbers(name: str) -> tuple[int, int]:
    """2 and 1 of `stage2_block1`."""
    stage, block = re.findall(r"\d+", name)
    return int(stage), int(block)
