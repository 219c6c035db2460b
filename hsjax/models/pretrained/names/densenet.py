"""Names of the tensors of DenseNets.

torchvision's file of 2017 has names from before its layers had theirs (`norm.1` for `norm1`); its own loader renames
them, so take the state dict from a network that it has loaded.
"""

from hsjax.models.pretrained.names import leaf

_KERAS: dict[tuple[str, ...], str] = {
    ("norm",): "0_bn",
    ("reduce", "conv"): "1_conv",
    ("reduce", "norm"): "1_bn",
    ("conv",): "2_conv",
}
_TORCH: dict[tuple[str, ...], str] = {
    ("norm",): "norm1",
    ("reduce", "conv"): "conv1",
    ("reduce", "norm"): "norm2",
    ("conv",): "conv2",
}


def keras(path: tuple[str, ...]) -> str:
    """The name in keras.applications, such as `conv2_block1_1_conv/kernel`."""
    *above, name = path
    match above:
        case "stem", kind:
            layer = f"conv1_{_abbreviated(kind)}"
        case stage, index, *inner if tuple(inner) in _KERAS:
            layer = f"conv{_number(stage) + 1}_block{_number(index)}_{_KERAS[tuple(inner)]}"
        case transition, kind:
            layer = f"pool{_number(transition) + 1}_{_abbreviated(kind)}"
        case ["norm"]:
            layer = "bn"
        case ["logits"]:
            layer = "predictions"
        case _:
            return "/".join(path)
    return leaf.keras(layer, name, is_norm=layer.endswith("bn"))


def torchvision(path: tuple[str, ...]) -> str:
    """The name in torchvision's state dict, such as `features.denseblock1.denselayer1.conv1.weight`."""
    *above, name = path
    match above:
        case "stem", kind:
            layer = f"features.{kind}0"
        case stage, index, *inner if tuple(inner) in _TORCH:
            layer = f"features.denseblock{_number(stage)}.denselayer{_number(index)}.{_TORCH[tuple(inner)]}"
        case transition, kind:
            layer = f"features.{transition}.{kind}"
        case ["norm"]:
            layer = "features.norm5"
        case ["logits"]:
            layer = "classifier"
        case _:
            return ".".join(path)
    return leaf.torchvision(layer, name)


def _abbreviated(kind: str) -> str:
    return "bn" if kind == "norm" else kind


def _number(name: str) -> int:
    """1 of `stage1`."""
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
