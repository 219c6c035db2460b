import dataclasses
import hashlib
import json
import pathlib

import pytest

from hsjax.runtime import Aggregation, BeatCut, Description, Input, Variant, sidecar
from hsjax.types import Fit, Level, UserError

DESCRIPTION = Description(
    stage="kd",
    protocol="grouped",
    seed=3,
    dataset="physionet2016",
    synthetic=False,
    labels=("normal", "abnormal"),
    positive="abnormal",
    threshold=0.25,
    aggregation=Aggregation.MEAN,
    sample_rate=2000,
    window=5000,
    hop=2500,
    versions={"jax": "0.10.2"},
)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tflite-int8-features.tflite"
    path.write_bytes(b"a model")
    front_end = tmp_path / "front-end.tflite"
    front_end.write_bytes(b"a front end")
    described = sidecar.describe(DESCRIPTION, path, Variant.TFLITE_INT8, Input.FEATURES, front_end)
    assert sidecar.write(tmp_path, described) == tmp_path / "tflite-int8-features.json"
    return path


def content(model: pathlib.Path) -> dict:
    return json.loads(model.with_suffix(".json").read_text())


def test_written_as_plain_json(model):
    assert content(model) == {
        "format": 3,
        "first": False,
        "level": "none",
        "fit": "end",
        "model": "tflite-int8-features.tflite",
        "sha256": hashlib.sha256(b"a model").hexdigest(),
        "bytes": 7,
        "variant": "tflite-int8",
        "input": "features",
        "stage": "kd",
        "protocol": "grouped",
        "seed": 3,
        "dataset": "physionet2016",
        "synthetic": False,
        "labels": ["normal", "abnormal"],
        "positive": "abnormal",
        "threshold": 0.25,
        "aggregation": "mean",
        "sample_rate": 2000,
        "window": 5000,
        "hop": 2500,
        "front_end": {"file": "front-end.tflite", "sha256": hashlib.sha256(b"a front end").hexdigest()},
        "output": "logits",
        "versions": {"jax": "0.10.2"},
        "beats": None,
    }


def test_read_gives_back_what_was_written(model):
    described = sidecar.read(model)
    assert described == sidecar.describe(
        DESCRIPTION, model, Variant.TFLITE_INT8, Input.FEATURES, model.with_name("front-end.tflite")
    )
    assert isinstance(described.variant, Variant)


@pytest.mark.parametrize("name", ["tflite-int8-features.tflite", "tflite-int8-features.json", "front-end.tflite"])
def test_missing_files_are_named(model, name):
    model.with_name(name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        sidecar.read(model)


@pytest.mark.parametrize("name", ["tflite-int8-features.tflite", "front-end.tflite"])
def test_another_file_of_the_same_name_is_found_out(model, name):
    model.with_name(name).write_bytes(b"another")
    with pytest.raises(UserError, match=f"{name} is not the file .* stale or swapped file"):
        sidecar.read(model)


def test_a_sidecar_of_another_model_is_found_out(model):
    renamed = model.with_name("renamed.tflite")
    model.rename(renamed)
    model.with_suffix(".json").rename(renamed.with_suffix(".json"))
    with pytest.raises(UserError, match=r"describes tflite-int8-features.tflite, not renamed.tflite"):
        sidecar.read(renamed)


@pytest.mark.parametrize("text", ["", "{", "\xff\xfe", "[" * 100_000])
def test_broken_json_is_found_out(model, text):
    model.with_suffix(".json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="export the model again"):
        sidecar.read(model)


BAD = [
    ("format", 4),
    ("first", None),
    ("level", "loud"),
    ("fit", "start"),
    ("beats", {}),
    ("beats", {"leads": [], "normalisation": "record-z-score", "neighbours": "zero-beyond-half-rr"}),
    ("beats", {"leads": ["II"], "normalisation": "none", "neighbours": "zero-beyond-half-rr"}),
    ("stage", ""),
    ("protocol", None),
    ("seed", "0"),
    ("dataset", 1),
    ("synthetic", 0),
    ("labels", ["normal"]),
    ("labels", ["normal", "normal"]),
    ("labels", "ab"),
    ("positive", "murmur"),
    ("positive", None),
    ("threshold", 1.5),
    ("threshold", float("nan")),
    ("threshold", "0.5"),
    ("threshold", True),
    ("aggregation", "max"),
    ("aggregation", []),
    ("sample_rate", 0),
    ("sample_rate", 2000.0),
    ("sample_rate", 10**400),
    ("hop", 2**31),
    ("window", -1),
    ("hop", True),
    ("versions", ["jax"]),
    ("model", "../tflite-int8-features.tflite"),
    ("sha256", "abc"),
    ("bytes", 0),
    ("variant", "tflite-int4"),
    ("input", "pixels"),
    ("input", "samples"),
    ("front_end", None),
    ("front_end", {"file": "/etc/passwd", "sha256": "0" * 64}),
    ("front_end", {"file": "front-end.tflite"}),
    ("output", "probabilities"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_every_field_is_checked(model, name, value):
    model.with_suffix(".json").write_text(json.dumps(content(model) | {name: value}))
    with pytest.raises(UserError, match=name.replace("_", ".")):
        sidecar.read(model)


def test_every_field_has_a_bad_example():
    assert {name for name, _ in BAD} == set(sidecar._RULES)


@pytest.mark.parametrize("name", ["labels", "front_end", "format", "beats"])
def test_missing_fields_are_named(model, name):
    fields = content(model)
    del fields[name]
    model.with_suffix(".json").write_text(json.dumps(fields))
    with pytest.raises(UserError, match=f"missing or unknown: {name}"):
        sidecar.read(model)


def test_unknown_fields_and_other_types_are_refused(model):
    model.with_suffix(".json").write_text(json.dumps(content(model) | {"extra": 1}))
    with pytest.raises(UserError, match="missing or unknown: extra"):
        sidecar.read(model)
    model.with_suffix(".json").write_text("[]")
    with pytest.raises(UserError, match="not a JSON object"):
        sidecar.read(model)


def test_how_beats_are_cut_is_read_back(model):
    cut = BeatCut(("MLII", "II"))
    described = dataclasses.replace(sidecar.read(model), beats=cut)
    sidecar.write(model.parent, described)
    beats = {"leads": ["MLII", "II"], "normalisation": "record-z-score", "neighbours": "zero-beyond-half-rr"}
    assert content(model)["beats"] == beats
    assert sidecar.read(model) == described
    model.with_suffix(".json").write_text(json.dumps(content(model) | {"window": 5001}))
    with pytest.raises(UserError, match="window has to be even around a beat, not 5001"):
        sidecar.read(model)


def test_format_1_had_windows_alone(model):
    """What was exported before there were beats goes on being read, with that meaning."""
    fields = content(model) | {"format": 1}
    for name in ("beats", "first", "level", "fit"):
        del fields[name]
    model.with_suffix(".json").write_text(json.dumps(fields))
    assert sidecar.read(model).beats is None
    model.with_suffix(".json").write_text(json.dumps(fields | {"format": 2, "beats": None}))
    described = sidecar.read(model)
    assert (described.first, described.level, described.fit, described.whole) == (False, Level.NONE, Fit.END, False)
    model.with_suffix(".json").write_text(json.dumps(fields | {"beats": None}))
    with pytest.raises(UserError, match="it has format 1, this version reads format 3 and older ones"):
        sidecar.read(model)


def test_three_classes_have_no_threshold(model):
    fields = content(model) | {"labels": ["a", "b", "c"], "positive": "a"}
    model.with_suffix(".json").write_text(json.dumps(fields))
    with pytest.raises(UserError, match="threshold needs two labels"):
        sidecar.read(model)
    model.with_suffix(".json").write_text(json.dumps(fields | {"positive": None, "threshold": None}))
    assert sidecar.read(model).threshold is None
