"""Names of the tensors of SqueezeNet 1.1; torchvision alone has it."""

from hsjax.models.pretrained.names import leaf

_FIRST_FIRE = {"stage1": 3, "stage2": 6, "stage3": 9}  # place in `features`, behind each pool


def torchvision(path: tuple[str, ...]) -> str:
    """The name in torchvision's state dict, such as `features.3.expand1x1.weight`."""
    *above, name = path
    match above:
        case ["stem"]:
            layer = "features.0"
        case fire, convolution:
            stage, _, number = fire.partition("_fire")
            layer = f"features.{_FIRST_FIRE[stage] + int(number) - 1}.{convolution}"
        case ["logits"]:
            layer = "classifier.1"
        case _:
            return ".".join(path)
    return leaf.torchvision(layer, name)
