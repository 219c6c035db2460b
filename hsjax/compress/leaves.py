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


def kernels(params: Mapping[str, Any], patterns: Sequence[str] = ALL) -> Kernels:
    """The kernels of a tree of parameters, those of recurrent layers too.

    Args:
      params: nested dictionaries.
      patterns: of paths: `hidden` for one layer, `block*` for several; one after `!` exempts what it matches, so that
        `*` and `!logits` are all but the last layer.

    Raises:
      UserError: a pattern matches no kernel, or no kernel is left.
    """
    found = {path: leaf for path, leaf in _leaves(params) if path[-1].endswith("kernel")}
    for pattern in patterns:
        if not any(is_frozen(path, (pattern.removeprefix("!"),)) for path in found):
            raise UserError(f"no kernel is at {pattern!r}; there are {', '.join('/'.join(path) for path in found)}")
    chosen = {"/".join(path): leaf for path, leaf in found.items() if is_frozen(path, tuple(patterns))}
    if not chosen:
        raise UserError(f"the patterns {', '.join(patterns) or '()'} leave no kernel; name some")
    return chosen


def replaced(params: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
    """The same tree with some leaves exchanged, by path."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: new.get("/".join(_names(path)), leaf), params)


def _leaves(params: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    return [(_names(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]


def _names(path: Any) -> tuple[str, ...]:
    return tuple(key.key for key in path)
