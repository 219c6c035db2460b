"""Names of the tensors of ResNets, of `hsjax.models.resnet` and, but for its heads, of Sriram's teacher."""

from hsjax.models.pretrained.names import leaf


def keras(path: tuple[str, ...]) -> str:
    """The name in keras.applications, such as `conv2_block1_0_conv/kernel`."""
    match path:
        case "stem", kind, name:
            layer = "conv1"
        case stage, block, "shortcut", kind, name:
            layer = f"conv{_number(stage) + 1}_{block}_0"
        case stage, block, conv, kind, name:
            layer = f"conv{_number(stage) + 1}_{block}_{_number(conv)}"
        case "logits", name:
            return leaf.keras("predictions", name, is_norm=False)
        case _:
            return "/".join(path)
    return leaf.keras(f"{layer}_{'bn' if kind == 'norm' else 'conv'}", name, kind == "norm")


def torchvision(path: tuple[str, ...]) -> str:
    """The name in torchvision's state dict, such as `layer1.0.conv1.weight`."""
    match path:
        case "stem", kind, name:
            layer = "bn1" if kind == "norm" else "conv1"
        case stage, block, "shortcut", kind, name:
            layer = f"layer{_number(stage)}.{_number(block) - 1}.downsample.{1 if kind == 'norm' else 0}"
        case stage, block, conv, kind, name:
            prefix = "bn" if kind == "norm" else "conv"
            layer = f"layer{_number(stage)}.{_number(block) - 1}.{prefix}{_number(conv)}"
        case "logits", name:
            layer = "fc"
        case _:
            return ".".join(path)
    return leaf.torchvision(layer, name)


def _number(name: str) -> int:
    """1 of `stage1`."""
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
