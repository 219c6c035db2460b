"""The file beside an exported front end that says in numbers what it computes, so that C code can be made of it."""

import json
import pathlib
from typing import Any, NamedTuple

import ml_collections
import numpy as np

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
        problem = None if isinstance(content, dict) and content.keys() == _KEYS else "it has other fields"
        if problem is None and content["format"] != FORMAT:
            problem = f"it has format {content['format']!r}, this version reads format {FORMAT}"
        if problem is None and content["front_end"] != {
            "file": described.front_end.file,
            "sha256": described.front_end.sha256,
        }:
            problem = f"it describes another front end than {described.front_end.file}, a stale file"
        if problem is None and (content["sample_rate"], content["window"]) != (
            described.sample_rate,
            described.window,
        ):
            problem = "its sample rate and window are not those of the model's sidecar"
        if problem is None:
            return _build(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"it is damaged: {error}"
    raise UserError(f"{path}: {problem}; export the model again")


def _build(content: dict[str, Any]) -> FrontEndFile:
    state = {name: np.array(values, np.float32) for name, values in content["state"].items()}
    if not all(np.isfinite(values).all() for values in state.values()) or not (state["std"] > 0).all():
        raise ValueError("what was fitted is not finite")
    return FrontEndFile(
        ml_collections.ConfigDict(content["features"]),
        content["sample_rate"],
        content["window"],
        FeatureState(state["mean"][:, None], state["std"][:, None], state["center"], state["width"]),
    )
