"""The networks of the benchmark of training steps in PyTorch. Modules are called as torchvision calls them."""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[], nn.Module]
_relu = functools.partial(nn.ReLU, inplace=True)
_hard_swish = functools.partial(nn.Hardswish, inplace=True)


class SongStudent(nn.Module):
    """See `hsjax.models.song`; inputs (batch, 1, 13, 101)."""

    flattened: Mapping[str, tuple[int, int, int]] = {"hidden.weight": (32, 3, 25)}

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = nn.Linear(2400, 16)
        self.logits = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2):
            x = functional.max_pool2d(functional.relu(conv(x), inplace=True), 2)
        return self.logits(functional.relu(self.hidden(x.flatten(1)), inplace=True))


class SongTeacher(nn.Module):
    """See `hsjax.models.song`; inputs (batch, 1, 13, 101)."""

    flattened: Mapping[str, tuple[int, int, int]] = {"logits.weight": (128, 7, 8)}

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.conv4 = nn.Conv2d(128, 128, 3, padding=1)
        self.logits = nn.Linear(7168, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x), inplace=True)
        # The 13 rows become 7, but the last, unfilled window of columns is left out.
        x = functional.max_pool2d(x, (2, 3), ceil_mode=True)[..., :33]
        for conv in (self.conv2, self.conv3):
            x = functional.max_pool2d(functional.relu(conv(x), inplace=True), (1, 2))
        x = functional.max_pool2d(functional.relu(self.conv4(x), inplace=True), 3, 1, 1)
        return self.logits(x.flatten(1))


class _BasicBlock(nn.Module):
    def __init__(self, channels: int, features: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.relu = _relu()
        self.downsample = None
        if stride != 1 or channels != features:
            shortcut = nn.Conv2d(channels, features, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(features))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet18(nn.Module):
    """He et al. 2016 (https://arxiv.org/abs/1512.03385), with a stem for `channels`."""

    def __init__(self, num_classes: int, channels: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = _relu()
        width = 64
        for stage, features in enumerate((64, 128, 256, 512), 1):
            first = _BasicBlock(width, features, 1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", nn.Sequential(first, _BasicBlock(features, features, 1)))
            width = features
        self.fc = nn.Linear(512, num_classes)
        _he_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def _conv_norm(
    channels: int, features: int, kernel: int, stride: int = 1, groups: int = 1, activation: Activation | None = None
) -> nn.Sequential:
    conv = nn.Conv2d(channels, features, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(features, eps=1e-3, momentum=0.01)
    return nn.Sequential(conv, norm, *([activation()] if activation else []))


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = functional.relu(self.fc1(functional.adaptive_avg_pool2d(x, 1)), inplace=True)
        return functional.hardsigmoid(self.fc2(gate)) * x


class _InvertedResidual(nn.Module):
    def __init__(
        self,
        channels: int,
        kernel: int,
        expanded: int,
        features: int,
        squeezed: int,
        activation: Activation,
        stride: int,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != channels:
            layers.append(_conv_norm(channels, expanded, 1, activation=activation))
        layers.append(_conv_norm(expanded, expanded, kernel, stride, expanded, activation))
        if squeezed:
            layers.append(_SqueezeExcite(expanded, squeezed))
        layers.append(_conv_norm(expanded, features, 1))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == features

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        if self.residual:
            y += x
        return y


class MobileNetV3Small(nn.Module):
    """Howard et al. 2019 (https://arxiv.org/abs/1905.02244), table 2; inputs have 3 channels."""

    # Kernel, expanded, features, channels inside the squeeze-and-excite (0: none), nonlinearity, stride.
    BLOCKS = (
        (3, 16, 16, 8, _relu, 2),
        (3, 72, 24, 0, _relu, 2),
        (3, 88, 24, 0, _relu, 1),
        (5, 96, 40, 24, _hard_swish, 2),
        (5, 240, 40, 64, _hard_swish, 1),
        (5, 240, 40, 64, _hard_swish, 1),
        (5, 120, 48, 32, _hard_swish, 1),
        (5, 144, 48, 40, _hard_swish, 1),
        (5, 288, 96, 72, _hard_swish, 2),
        (5, 576, 96, 144, _hard_swish, 1),
        (5, 576, 96, 144, _hard_swish, 1),
    )

    def __init__(self, num_classes: int):
        super().__init__()
        layers: list[nn.Module] = [_conv_norm(3, 16, 3, 2, activation=_hard_swish)]
        channels = 16
        for kernel, expanded, features, squeezed, activation, stride in self.BLOCKS:
            layers.append(_InvertedResidual(channels, kernel, expanded, features, squeezed, activation, stride))
            channels = features
        layers.append(_conv_norm(channels, 576, 1, activation=_hard_swish))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(576, 1024), _hard_swish(), nn.Dropout(0.2, inplace=True), nn.Linear(1024, num_classes)
        )
        _he_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(functional.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class _Fire(nn.Module):
    def __init__(self, channels: int, squeezed: int, features: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, features, 1)
        self.expand3x3 = nn.Conv2d(squeezed, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(x), inplace=True)
        expanded = (functional.relu(conv(x), inplace=True) for conv in (self.expand1x1, self.expand3x3))
        return torch.cat(tuple(expanded), 1)


class SqueezeNet(nn.Module):
    """Iandola et al. 2016 (https://arxiv.org/abs/1602.07360), version 1.1; inputs have 3 channels."""

    def __init__(self, num_classes: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 2), _relu()]
        channels = 64
        # Squeezed channels and features of each branch of the expansion; a pool before each group.
        for group in (((16, 64),) * 2, ((32, 128),) * 2, ((48, 192),) * 2 + ((64, 256),) * 2):
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            for squeezed, features in group:
                layers.append(_Fire(channels, squeezed, features))
                channels = 2 * features
        self.features = nn.Sequential(*layers)
        head = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(0.5), head, _relu(), nn.AdaptiveAvgPool2d(1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not head:
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def _he_fan_out(network: nn.Module) -> None:
    """What torchvision's networks with batch norm begin with."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def tensors(network: nn.Module, named: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Weights or gradients of a network by name, as hsjax would have them.

    Args:
      network: whose.
      named: its `state_dict()`, or gradients by the same names.

    Returns:
      Copies; the columns of linear layers after a flattened map in the order (height, width, channels).
    """
    arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in named.items()}
    for name, shape in getattr(network, "flattened", {}).items():
        rows = len(arrays[name])
        arrays[name] = arrays[name].reshape(rows, *shape).transpose(0, 2, 3, 1).reshape(rows, -1)
    return arrays


def song_names(path: tuple[str, ...]) -> str:
    """Names of Song's tensors; see `hsjax.models.pretrained.carry`."""
    *layer, leaf = path
    return ".".join((*layer, {"kernel": "weight"}.get(leaf, leaf)))
