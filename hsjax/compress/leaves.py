"""Which of a network's parameters are compressed: kernels, by their paths. Biases and norms never are."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, Float

from hsjax.models.layers import is_frozen
from hsjax.types import UserError

Kernels = dict[str, Float[Array, "..."]]
"""Kernels by path, `conv1/kernel`."""

ALL = ("*",)
"""Patterns that match every kernel."""


def every(params: Mapping[str, Any]) -> Kernels:
    """All kernels of a tree of parameters, those of recurrent layers too."""
    leaves = ((_names(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params))
    return {"/".join(path): leaf for path, leaf in leaves if path[-1].endswith("kernel")}


def kernels(params: Mapping[str, Any], patterns: Sequence[str] = ALL) -> Kernels:
    """The kernels of a tree of parameters at some paths.

    Args:
      params: nested dictionaries.
      patterns: of paths: `hidden` for one layer, `block*` for several; one after `!` exempts what it matches, so that
        `*` and `!logits` are all but the last layer.

    Raises:
      UserError: a pattern matches no kernel, or no kernel is left.
    """
    found = every(params)
    paths = {path: tuple(path.split("/")) for path in found}
    for pattern in patterns:
        if not any(is_frozen(path, (pattern.removeprefix("!"),)) for path in paths.values()):
            raise UserError(f"no kernel is at {pattern!r}; there are {', '.join(found) or 'none'}")
    chosen = {path: leaf for path, leaf in found.items() if is_frozen(paths[path], tuple(patterns))}
    if not chosen:
        raise UserError(f"the patterns {', '.join(patterns) or '()'} leave no kernel; name some")
    return chosen


def replaced(params: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
    """The same tree with some leaves exchanged, by path."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: new.get("/".join(_names(path)), leaf), params)


def _names(path: Any) -> tuple[str, ...]:
    return tuple(key.key for key in path)
