"""The file beside an exported front end that says in numbers what it computes, so that C code can be made of it."""

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from hsjax import config
from hsjax.features import FeatureState
from hsjax.runtime import files, sidecar
from hsjax.types import UserError

FILE = "front-end.json"
"""Its name."""

FORMAT = 1

_KEYS = {"format", "front_end", "sample_rate", "window", "features", "state"}


class FrontEndFile(NamedTuple):
    """What a front end is made from.

    Attributes:
      features: `config.features`.
      sample_rate: Hz.
      window: samples.
      state: what was fitted.
    """

    features: ml_collections.ConfigDict
    sample_rate: int
    window: int
    state: FeatureState


def write(front_end: pathlib.Path, content: FrontEndFile) -> pathlib.Path:
    """Writes the file beside an exported front end, bound to that very one, and returns where."""
    described = {
        "format": FORMAT,
        "front_end": {"file": front_end.name, "sha256": files.sha256(front_end)},
        "sample_rate": content.sample_rate,
        "window": content.window,
        "features": content.features.to_dict(),
        "state": {name: np.asarray(values).ravel().tolist() for name, values in content.state._asdict().items()},
    }
    path = front_end.parent / FILE
    files.write_atomically(path, (json.dumps(described, indent=1, allow_nan=False) + "\n").encode())
    return path


def read(model: pathlib.Path, described: sidecar.Sidecar) -> FrontEndFile:
    """Reads the file that lies beside a model and belongs to its front end.

    Args:
      model: takes features.
      described: its sidecar.

    Raises:
      UserError: the model has no front end, or the file is missing, damaged or of another one.
    """
    path = model.parent / FILE
    if described.front_end is None:
        raise UserError(f"{model} takes samples; C code is made for models with input features")
    if not path.is_file():
        raise UserError(f"{path} is missing, which says what the front end computes: export the model again")
    try:
        content = json.loads(path.read_text())
        problem = _problem(content, described, described.front_end)
        if problem is None:
            return _build(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"it is damaged: {error}"
    raise UserError(f"{path}: {problem}; export the model again")


def _problem(content: Any, described: sidecar.Sidecar, front_end: sidecar.Fingerprint) -> str | None:
    """Why the content of a file is not that of a model's front end, None where it may be."""
    if not isinstance(content, dict) or content.keys() != _KEYS:
        return "it has other fields"
    if content["format"] != FORMAT:
        return f"it has format {content['format']!r}, this version reads format {FORMAT}"
    if content["front_end"] != dataclasses.asdict(front_end):
        return f"it describes another front end than {front_end.file}, a stale file"
    if (content["sample_rate"], content["window"]) != (described.sample_rate, described.window):
        return "its sample rate and window are not those of the model's sidecar"
    return None


def _same_kind(values: Any, like: Any) -> bool:
    """Whether values have the keys and types of a config; a whole number may stand for any."""
    if isinstance(like, dict):
        return (
            isinstance(values, dict)
            and values.keys() == like.keys()
            and all(_same_kind(values[key], like[key]) for key in like)
        )
    return type(values) is type(like) or (type(values) is int and type(like) is float)


def _build(content: dict[str, Any]) -> FrontEndFile:
    if not _same_kind(content["features"], config.base().features.to_dict()):
        raise ValueError("features are not those of a config")
    state = {name: np.array(values, np.float32) for name, values in content["state"].items()}
    if not all(np.isfinite(values).all() for values in state.values()) or not (state["std"] > 0).all():
        raise ValueError("what was fitted is not finite")
    return FrontEndFile(
        ml_collections.ConfigDict(content["features"]),
        content["sample_rate"],
        content["window"],
        FeatureState(state["mean"][:, None], state["std"][:, None], state["center"], state["width"]),
    )
