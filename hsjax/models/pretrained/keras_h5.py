"""The layouts of Keras's h5 weight files, all to `LAYER/VARIABLE` (`Conv1/kernel`), as Keras 3 calls its variables.

* Legacy, all that keras.applications distributes: the root, or its group `model_weights`, lists `layer_names`, and each
  layer's group lists `weight_names` (`Conv1/kernel:0`).
* Keras 3 (`.weights.h5`): `layers/CLASS_n/vars/0`, the layer's name in an attribute, the variables only numbered.
"""

import re
from collections.abc import Iterator
from typing import Any

from hsjax.types import UserError

# What the numbers stand for, by the layer's class in the file.
_VARIABLES = {
    "conv1d": ("kernel", "bias"),
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "normalization": ("mean", "variance", "count"),
}


def tensors(file: Any, h5py: Any) -> dict[str, Any]:
    """Datasets of an open file by name, none of them read yet.

    Args:
      file: the open file.
      h5py: the library, which is only imported where there is such a file.

    Raises:
      UserError: neither layout, something that leads out of the file, or no numbers.
    """
    if "model_weights" in file:
        return dict(_legacy(_group(file, "model_weights", h5py), h5py))
    if _listed(file, "layer_names"):
        return dict(_legacy(file, h5py))
    if "layers" in file:
        return dict(_numbered(_group(file, "layers", h5py), h5py))
    raise UserError("it is no file of Keras weights: write it by `model.save_weights('NAME.weights.h5')`")


def _legacy(root: Any, h5py: Any) -> Iterator[tuple[str, Any]]:
    for layer in _listed(root, "layer_names"):
        group = _group(root, layer, h5py)
        names = [re.sub(r":\d+$", "", name) for name in _listed(group, "weight_names")]
        scopes = {name.rpartition("/")[0] for name in names}
        for name, listed in zip(names, _listed(group, "weight_names"), strict=True):
            scope, _, variable = name.rpartition("/")
            # A layer's own variables go by its name, whatever scope they were made in; of a network inside a network,
            # whose group holds many layers, by those layers' names.
            variable = re.sub(r"_\d+$", "", variable).replace("depthwise_kernel", "kernel")
            yield f"{layer if len(scopes) == 1 else scope}/{variable}", _dataset(group, listed, h5py)


def _numbered(root: Any, h5py: Any) -> Iterator[tuple[str, Any]]:
    for member in root:
        group = _group(root, member, h5py)
        if "layers" in group:
            yield from _numbered(_group(group, "layers", h5py), h5py)
        if "vars" not in group or not len(group["vars"]):
            continue
        variables = _group(group, "vars", h5py)
        layer, kind = variables.attrs.get("name"), re.sub(r"_\d+$", "", member)
        if layer is None:
            raise UserError("it does not name its layers: write it again by `save_weights` of a newer Keras")
        if kind not in _VARIABLES or len(variables) > len(_VARIABLES[kind]):
            raise UserError(f"layer {layer!r} is a {kind} with {len(variables)} variables, which no network here has")
        for number, variable in zip(range(len(variables)), _VARIABLES[kind], strict=False):
            yield f"{layer}/{variable}", _dataset(variables, str(number), h5py)


def _listed(group: Any, attribute: str) -> list[str]:
    """A list of names in an attribute, or in several, numbered from 0, where it is too long for one."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        parts = []
        while f"{attribute}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _group(parent: Any, name: str, h5py: Any) -> Any:
    found = _inside(parent, name, h5py)
    if not isinstance(found, h5py.Group):
        raise UserError(f"{name!r} is no group: the file is damaged")
    return found


def _dataset(parent: Any, name: str, h5py: Any) -> Any:
    found = _inside(parent, name, h5py)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
        raise UserError(f"{name!r} holds no numbers: wrong file?")
    if found.external or found.is_virtual:
        raise UserError(f"{name!r} lies in another file, which is not followed: write it into one file")
    return found


def _inside(parent: Any, name: str, h5py: Any) -> Any:
    """A member, every step to which is a plain link."""
    for part in name.split("/"):
        if not isinstance(parent, h5py.Group) or part not in parent:
            raise UserError(f"{name!r} is listed and not there: the file is damaged, get it again")
        if not isinstance(parent.get(part, getlink=True), h5py.HardLink):
            raise UserError(f"{name!r} is a link, which is not followed: write it into one file")
        parent = parent[part]
    return parent
