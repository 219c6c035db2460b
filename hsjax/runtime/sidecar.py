"""The JSON file beside an exported model that says how to feed it and what its outputs mean."""

import dataclasses
import enum
import json
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from hsjax.runtime import files
from hsjax.types import Aggregation, Fit, Level, UserError

FORMAT = 3
"""Of the sidecar; another number means other fields."""

# What older formats did not say, by format, and what was meant.
_MEANT: Mapping[int, Mapping[str, Any]] = {
    1: {"beats": None, "first": False, "level": "none", "fit": "end"},
    2: {"first": False, "level": "none", "fit": "end"},
}

MAX_RATE = 1_000_000
"""Hz. Nothing that is recorded of a heart is as fast."""

OUTPUT = "logits"
"""What every exported model puts out: one number a class, before softmax."""


class Variant(enum.StrEnum):
    """How a network was exported, as in the column `variant` of results: runtime and numbers.

    float16: weights in half precision, computed in float32. dynamic and int8-dynamic: weights of products of 8 bits (in
    TFLite of convolutions, too), activations float32 between them. int8-dynamic-all: likewise, convolutions included.
    int8-weights: weights of 8 bits, computed in float32. int8 and
    int8-static: weights and activations of 8 bits. int16: weights of 8 bits, activations of 16. Where a file takes
    samples, what makes features of them is float32 in all of these.
    """

    TFLITE_FLOAT32 = "tflite-float32"
    TFLITE_FLOAT16 = "tflite-float16"
    TFLITE_DYNAMIC = "tflite-dynamic"
    TFLITE_INT8 = "tflite-int8"
    TFLITE_INT16 = "tflite-int16"
    ONNX_FLOAT32 = "onnx-float32"
    ONNX_FLOAT16 = "onnx-float16"
    ONNX_INT8_STATIC = "onnx-int8-static"
    ONNX_INT8_DYNAMIC = "onnx-int8-dynamic"
    ONNX_INT8_DYNAMIC_ALL = "onnx-int8-dynamic-all"
    ONNX_INT8_WEIGHTS = "onnx-int8-weights"

    @property
    def runtime(self) -> str:
        """Which runtime's file it is, and how its name ends."""
        return self.partition("-")[0]

    @property
    def exact(self) -> bool:
        """Whether a file gives its network's numbers to rounding."""
        return self in (Variant.TFLITE_FLOAT32, Variant.ONNX_FLOAT32)

    @property
    def calibrated(self) -> bool:
        """Whether the ranges of its activations are in the file."""
        return self in (Variant.TFLITE_INT8, Variant.TFLITE_INT16, Variant.ONNX_INT8_STATIC)


class Input(enum.StrEnum):
    """What an exported model takes: one window of samples, or the features of one."""

    SAMPLES = "samples"
    FEATURES = "features"


class Normalisation(enum.StrEnum):
    """What is done to the whole record of an ECG before it is cut: mean 0 and standard deviation 1 over all of it."""

    RECORD = "record-z-score"


class Neighbours(enum.StrEnum):
    """What a beat's window has of the beats before and behind: nothing, samples nearer to their R peaks are 0."""

    HALF_RR = "zero-beyond-half-rr"


@dataclasses.dataclass(frozen=True)
class BeatCut:
    """How an ECG becomes the windows that a model takes: one a beat, its R peak first of the second half.

    Attributes:
      leads: names, of which the first one that a record has is used.
      normalisation: of the record.
      neighbours: of a beat.
    """

    leads: tuple[str, ...]
    normalisation: Normalisation = Normalisation.RECORD
    neighbours: Neighbours = Neighbours.HALF_RR


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """A file in the model's own folder, and its content."""

    file: str
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What all files exported from one trained model have in common.

    Attributes:
      stage: that trained it.
      protocol: it was trained under.
      seed: of the training.
      dataset: it was trained on.
      synthetic: whether that dataset is; such a model says nothing about patients.
      labels: names of the classes, in the order of the logits.
      positive: the class to detect, of two; None otherwise.
      threshold: `positive` is predicted for a recording if its probability is at least this; None predicts the
        likeliest class.
      aggregation: of windows to recordings.
      sample_rate: Hz; recordings are resampled to it.
      window: samples per window.
      hop: samples between the beginnings of neighbouring windows; without a meaning where `beats` says how to cut.
      versions: of the packages that made the file, by name.
      beats: of an ECG; None where sounds are cut into windows, a `hop` apart.
      first: whether only the first window of a recording is looked at.
      level: of a whole recording, before it is cut.
      fit: where zeros go in a recording that is shorter than a window.
    """

    stage: str
    protocol: str
    seed: int
    dataset: str
    synthetic: bool
    labels: tuple[str, ...]
    positive: str | None
    threshold: float | None
    aggregation: Aggregation
    sample_rate: int
    window: int
    hop: int
    versions: Mapping[str, str]
    beats: BeatCut | None = None
    first: bool = False
    level: Level = Level.NONE
    fit: Fit = Fit.END

    @property
    def whole(self) -> bool:
        """Whether something is done to a recording that can only be done to all of it."""
        return self.first or self.level is not Level.NONE or self.fit is not Fit.END


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sidecar(Description):
    """All that has to be known to run one exported file.

    Attributes:
      model: name of the file.
      sha256: of its content.
      bytes: its size.
      variant: how it was exported.
      input: what it takes.
      front_end: for input `features`, the float32 TFLite model in the same folder that makes features (1, ...) of
        samples (1, window); None for input `samples`.
    """

    model: str
    sha256: str
    bytes: int
    variant: Variant
    input: Input
    front_end: Fingerprint | None


def describe(
    description: Description, model: pathlib.Path, variant: Variant, input: Input, front_end: pathlib.Path | None
) -> Sidecar:
    """The sidecar of a model file that has been written, and of its front end, if it takes features."""
    return Sidecar(
        **{field.name: getattr(description, field.name) for field in dataclasses.fields(Description)},
        model=model.name,
        sha256=files.sha256(model),
        bytes=model.stat().st_size,
        variant=variant,
        input=input,
        front_end=Fingerprint(front_end.name, files.sha256(front_end)) if front_end else None,
    )


def path_of(model: pathlib.Path) -> pathlib.Path:
    """Where the sidecar of a model lies."""
    return model.with_suffix(".json")


def write(folder: pathlib.Path, sidecar: Sidecar) -> pathlib.Path:
    """Writes a sidecar beside its model and returns where."""
    path = path_of(folder / sidecar.model)
    content = {"format": FORMAT, **dataclasses.asdict(sidecar), "output": OUTPUT}
    files.write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    return path


def read(model: pathlib.Path) -> Sidecar:
    """Reads the sidecar of a model and makes sure that it belongs to that very file, and its front end too.

    Raises:
      UserError: model, sidecar or front end is missing, the sidecar is damaged or of another format, or a file is not
        the one that the sidecar describes.
    """
    together = "a model and its sidecar stay together, copy both"
    if not files.is_file(model):
        raise UserError(f"{model} is missing: {together}")
    path = path_of(model)
    if not files.is_file(path):
        raise UserError(f"{path} is missing: {together}")
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON, export the model again: {error}") from error
    if isinstance(content, dict) and (meant := _meant(content.get("format"))) and not meant.keys() & content.keys():
        content |= {"format": FORMAT, **meant}
    problem = _problem(content)
    if problem:
        raise UserError(f"{path}: {problem}; export the model again")
    sidecar = _build(content)
    if sidecar.model != model.name:
        raise UserError(f"{path} describes {sidecar.model}, not {model.name}: stale or swapped file")
    _check(model, sidecar.sha256, path)
    if sidecar.front_end:
        _check(model.parent / sidecar.front_end.file, sidecar.front_end.sha256, path)
    return sidecar


def _meant(version: Any) -> Mapping[str, Any]:
    return _MEANT.get(version, {}) if type(version) is int else {}


def _check(file: pathlib.Path, sha256: str, path: pathlib.Path) -> None:
    if not files.is_file(file):
        raise UserError(f"{file} is missing, {path.name} names it: copy the whole folder")
    if files.sha256(file) != sha256:
        raise UserError(f"{file} is not the file that {path.name} describes: stale or swapped file, export both again")


def _build(content: dict[str, Any]) -> Sidecar:
    values = {name: value for name, value in content.items() if name not in ("format", "output")}
    values |= {
        "labels": tuple(content["labels"]),
        "threshold": None if content["threshold"] is None else float(content["threshold"]),
        "aggregation": Aggregation(content["aggregation"]),
        "variant": Variant(content["variant"]),
        "input": Input(content["input"]),
        "front_end": Fingerprint(**content["front_end"]) if content["front_end"] else None,
        "beats": _beat_cut(content["beats"]) if content["beats"] else None,
        "level": Level(content["level"]),
        "fit": Fit(content["fit"]),
    }
    return Sidecar(**values)


def _beat_cut(content: dict[str, Any]) -> BeatCut:
    return BeatCut(tuple(content["leads"]), Normalisation(content["normalisation"]), Neighbours(content["neighbours"]))


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _positive_whole(value: Any) -> bool:
    return type(value) is int and value > 0


def _samples(value: Any) -> bool:
    return _positive_whole(value) and value < 2**31


def _rate(value: Any) -> bool:
    return _positive_whole(value) and value <= MAX_RATE


def _file_name(value: Any) -> bool:
    return _text(value) and value == pathlib.PurePath(value).name and "\\" not in value


def _digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _labels(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value)) and len(value) == len(set(value)) >= 2


def _probability(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _fingerprint(value: Any) -> bool:
    fields = isinstance(value, dict) and value.keys() == {"file", "sha256"}
    return fields and _file_name(value["file"]) and _digest(value["sha256"])


def _beats(value: Any) -> bool:
    fields = isinstance(value, dict) and value.keys() == {"leads", "normalisation", "neighbours"}
    leads = fields and isinstance(value["leads"], list) and value["leads"] and all(map(_text, value["leads"]))
    return bool(leads) and value["normalisation"] in list(Normalisation) and value["neighbours"] in list(Neighbours)


def _strings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(version, str) for version in value.values())


def _member(members: type[enum.StrEnum]) -> tuple[Callable[[Any], bool], str]:
    names = [member.value for member in members]
    return (lambda value: value in names), f"one of {', '.join(names)}"


# Of each key: what its value has to be, as a test and in words.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (lambda value: value == FORMAT, f"{FORMAT}"),
    "stage": (_text, "a name"),
    "protocol": (_text, "a name"),
    "seed": (lambda value: type(value) is int, "a whole number"),
    "dataset": (_text, "a name"),
    "synthetic": (lambda value: isinstance(value, bool), "true or false"),
    "labels": (_labels, "two or more different names"),
    "positive": (lambda value: value is None or _text(value), "a label or null"),
    "threshold": (lambda value: value is None or _probability(value), "between 0 and 1, or null"),
    "aggregation": _member(Aggregation),
    "sample_rate": (_rate, f"a whole number of 1 to {MAX_RATE}"),
    "window": (_samples, "a positive whole number below 2^31"),
    "hop": (_samples, "a positive whole number below 2^31"),
    "versions": (_strings, "versions by name"),
    "beats": (
        lambda value: value is None or _beats(value),
        f"leads, normalisation ({', '.join(Normalisation)}) and neighbours ({', '.join(Neighbours)}), or null",
    ),
    "first": (lambda value: isinstance(value, bool), "true or false"),
    "level": _member(Level),
    "fit": _member(Fit),
    "model": (_file_name, "the name of a file in the same folder"),
    "sha256": (_digest, "64 hexadecimal digits"),
    "bytes": (_positive_whole, "a positive whole number"),
    "variant": _member(Variant),
    "input": _member(Input),
    "front_end": (lambda value: value is None or _fingerprint(value), "a file and its sha256, or null"),
    "output": (lambda value: value == OUTPUT, OUTPUT),
}


def _problem(content: Any) -> str | None:
    """What is wrong with the content of a sidecar, in words; None if nothing is."""
    if not isinstance(content, dict):
        return "it is not a JSON object"
    if "format" in content and content["format"] != FORMAT:
        return f"it has format {content['format']!r}, this version reads format {FORMAT} and older ones"
    if content.keys() != _RULES.keys():
        return f"missing or unknown: {', '.join(sorted(content.keys() ^ _RULES.keys()))}"
    for name, (holds, words) in _RULES.items():
        if not holds(content[name]):
            return f"{name} has to be {words}, not {content[name]!r}"
    if content["positive"] is not None and content["positive"] not in content["labels"]:
        return f"positive is {content['positive']!r}, which is none of the labels"
    if content["threshold"] is not None and (content["positive"] is None or len(content["labels"]) != 2):
        return "a threshold needs two labels and a positive one"
    if content["beats"] is not None and content["window"] % 2:
        return f"window has to be even around a beat, not {content['window']}"
    if (content["input"] == Input.FEATURES) != (content["front_end"] is not None):
        return "a front end belongs to a model with input features, and only to one"
    return None
