"""What a layer's own variables are called in other libraries; alike in all families."""

_KERAS_NORM = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
_TORCH = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def keras(layer: str, leaf: str, is_norm: bool) -> str:
    """`layer/weight` of a variable in Keras; the bias of a batch norm is `beta` there."""
    return f"{layer}/{_KERAS_NORM[leaf] if is_norm else leaf}"


def torchvision(layer: str, leaf: str) -> str:
    """`layer.weight` of a variable in a PyTorch state dict."""
    return f"{layer}.{_TORCH[leaf]}"
