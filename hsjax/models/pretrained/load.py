"""ImageNet weights of torchvision and keras.applications into the networks here, all but the head.

Nothing is downloaded: third_party/weights.toml says where the files are, and holds the checksums that they must have.
"""

import dataclasses
import importlib
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from flax import traverse_util

from hsjax.models.layers import is_frozen
from hsjax.models.network import Network, Variables
from hsjax.models.pretrained import files, register
from hsjax.models.pretrained.carry import Library, Names, Path, carry
from hsjax.types import UserError


class _Family(NamedTuple):
    """Where names of a family's tensors are.

    Attributes:
      module: in `hsjax.models.pretrained.names`.
      torchvision: function there.
      keras: function there.
      head: patterns of the layers that depend on the classes.
    """

    module: str
    torchvision: str = "torchvision"
    keras: str = "keras"
    head: tuple[str, ...] = ("logits",)


_FAMILIES = {
    "resnet18": _Family("resnet"),
    "resnet50": _Family("resnet"),
    "resnet101": _Family("resnet"),
    "densenet201": _Family("densenet"),
    "mobilenetv2": _Family("mobilenet_v2"),
    "mobilenetv3-small": _Family("mobilenet_v3", torchvision="torchvision_small"),
    "mobilenetv3-large": _Family("mobilenet_v3", torchvision="torchvision_large"),
    "squeezenet": _Family("squeezenet"),
    "efficientnetb0": _Family("efficientnet"),
    "efficientnetv2-s": _Family("efficientnet_v2"),
}
"""By name in `hsjax.models.MODELS`."""

# What Keras has called its heads; files keep the name that was in use when they were written.
_KERAS_HEADS = ("predictions", "probs", "fc1000", "logits")

# Of no use here: PyTorch's counters, and the scaling of photographs that Keras has inside its EfficientNets.
_IGNORED = re.compile(r".*\.num_batches_tracked|(normalization|rescaling)(_\d+)?/.*")


@dataclasses.dataclass(frozen=True)
class Loaded:
    """Variables with weights from a file, and what came from where.

    Attributes:
      variables: of the network.
      origin: the file, to be recorded with what is trained from it.
      library: whose weights.
      leaves: paths of the variables that are from the file.
      kept: paths of those that are not: the head.
      unused: tensors of the file that have no place here: its head, and counters.
    """

    variables: Variables
    origin: register.Origin
    library: Library
    leaves: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]


def load(
    name: str,
    network: Network,
    variables: Variables,
    path: pathlib.Path,
    *,
    library: Library | None = None,
    keep_head: bool = False,
    allow_unregistered: bool = False,
) -> Loaded:
    """The variables with weights from a file, but for the head, which stays as it is.

    Where the network's stem is for one channel (`channels=1`) and the file's for three, the kernel is summed over them:
    the network then computes what the file's does on the spectrogram shown thrice.

    Args:
      name: of the network in `hsjax.models.MODELS`.
      network: as it was built; its `variant` must be the library's, because the same weights in the other's paddings
        and strides compute something else.
      variables: as its `init` makes them.
      path: a .safetensors, .npz or .h5 file.
      library: whose names and layouts the file has; None tells it by the names.
      keep_head: whether the head is from the file, too, which needs as many classes.
      allow_unregistered: whether a file that the register cannot vouch for is taken; its SHA-256 is in the result.

    Raises:
      UserError: there is no such file; it is damaged, not what the register says, or of another network; or the network
        was built otherwise.
    """
    if name not in _FAMILIES:
        raise UserError(f"there are no ImageNet weights for {name!r}; there are for {', '.join(_FAMILIES)}")
    if not path.exists():
        raise UserError(f"there is no weight file {path}: {register.how_to_get(name)}")
    contents = files.read(path)
    origin = register.identify(path, contents.metadata, name)
    if origin.registered is None and not allow_unregistered:
        raise UserError(
            f"third_party/weights.toml has no checksum for {path} (SHA-256 {origin.sha256}): allow unregistered "
            f"weights if you trust it, or {register.how_to_get(name)}"
        )
    if contents.metadata.get(register.TENSORS_SHA256, "") not in ("", register.sha256_of_tensors(contents.tensors)):
        raise UserError(f"{path} has been damaged since it was converted: convert it again")
    library = library or _library(contents.tensors, path)
    variant = getattr(network.module, "variant", None)
    if variant is not None and variant.value != library.value:
        raise UserError(
            f"{path} has {library.value}'s weights, and {name} was built with variant {variant.value}, in which they "
            f"compute something else: build it with variant {library.value}"
        )
    return _fill(variables, contents.tensors, path, _FAMILIES[name], library, keep_head, origin)


def _fill(
    variables: Variables,
    tensors: Mapping[str, np.ndarray],
    path: pathlib.Path,
    family: _Family,
    library: Library,
    keep_head: bool,
    origin: register.Origin,
) -> Loaded:
    names = _names(family, library)
    leaves = [tuple(leaf[1:]) for leaf in traverse_util.flatten_dict(variables)]
    head = [leaf for leaf in leaves if is_frozen(leaf, family.head)]
    wanted = [leaf for leaf in leaves if keep_head or leaf not in head]
    there = {_canonical(tensor): tensor for tensor in tensors}
    if len(there) < len(tensors):
        raise UserError(f"{path} has tensors whose names differ in nothing but spelling: wrong file?")
    found = {leaf: there.get(_canonical(names(leaf))) for leaf in wanted}
    heads = {_layer(_canonical(spelling)) for leaf in head for spelling in _spellings(names(leaf), library)}
    for leaf in head if keep_head else ():
        spelled = (there.get(_canonical(spelling)) for spelling in _spellings(names(leaf), library))
        found[leaf] = next((tensor for tensor in spelled if tensor is not None), None)
    unused = set(tensors) - set(found.values())
    strange = [
        tensor for tensor in unused if not _IGNORED.fullmatch(tensor) and _layer(_canonical(tensor)) not in heads
    ]
    try:
        carried = carry(
            variables, {names(leaf): tensors[tensor] for leaf, tensor in found.items() if tensor is not None}, names,
            library, () if keep_head else family.head,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if strange:
        raise UserError(
            f"{path} has {len(strange)} tensors that this network has no place for, such as {min(strange)!r}: "
            "wrong file or options?"
        )
    return Loaded(carried, origin, library, _joined(wanted), _joined(set(leaves) - set(wanted)), tuple(sorted(unused)))


def _names(family: _Family, library: Library) -> Names:
    module = importlib.import_module(f"hsjax.models.pretrained.names.{family.module}")
    names = getattr(module, family.keras if library is Library.KERAS else family.torchvision, None)
    if names is None:
        raise UserError(f"{library.value} has no such network: give weights of the other library")
    return names


def _library(tensors: Iterable[str], path: pathlib.Path) -> Library:
    """By the names: `layer/kernel` is Keras's, `layer.weight` torchvision's."""
    names = list(tensors)
    if any(re.fullmatch(r".+/(kernel|gamma)", name) for name in names):
        return Library.KERAS
    if any(re.fullmatch(r".+\.weight", name) for name in names):
        return Library.TORCHVISION
    raise UserError(f"{path} has no tensors with names of torchvision's or Keras's, such as {names[:1]}: wrong file?")


def _canonical(name: str) -> str:
    """One name for all spellings that a tensor has had.

    Keras 2 wrote `expanded_conv/depthwise/BatchNorm` and `conv1/bn` where Keras 3 has `expanded_conv_depthwise_bn` and
    `conv1_bn`; torchvision's DenseNet of 2017 has `norm.1` for `norm1`.
    """
    if "/" in name:
        layer, _, variable = name.rpartition("/")
        return f"{layer.lower().replace('/batchnorm', '_bn').replace('/', '_')}/{variable}"
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


def _spellings(name: str, library: Library) -> list[str]:
    """Names that a tensor of a head may have."""
    others = [f"{head}/{name.rpartition('/')[2]}" for head in _KERAS_HEADS] if library is Library.KERAS else []
    return [name, *others]


def _layer(name: str) -> str:
    return name.rpartition("/" if "/" in name else ".")[0]


def _joined(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(sorted("/".join(path) for path in paths))
