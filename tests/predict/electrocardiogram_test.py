import dataclasses
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.special
import wfdb

from hsjax import predict
from hsjax.data.readers import mitdb
from hsjax.export import tflite
from hsjax.predict import electrocardiogram
from hsjax.runtime import BeatCut, Input, Variant, sidecar
from hsjax.types import Beats, UserError
from tests.predict.toy import DESCRIPTION, MODELS

RATE, WINDOW = 250, 150
BEATS = np.array([0.7, 1.5, 2.4, 3.1, 3.5, 4.6])
NAME = "tflite-float32-samples.tflite"


def ecg(rate: int) -> np.ndarray:
    """R peaks of 1 mV at known seconds; the fifth is wide and follows soon."""
    times = np.arange(6 * rate)[:, None] / rate
    width = np.array([0.012, 0.012, 0.012, 0.012, 0.025, 0.012])
    return 0.3 + np.exp(-0.5 * np.square((times - BEATS) / width)).sum(axis=1)


def area(windows):
    """Logits (n, 2) that say wide where a window has much in it."""
    total = abs(windows).sum(axis=1, keepdims=True)
    return (total - 75.0) * np.array([[-0.1, 0.1]], np.float32)


@pytest.fixture(scope="module")
def content() -> bytes:
    return tflite.float32(area, (1, WINDOW))


def describe(folder, **changes):
    settings: dict[str, Any] = {
        "labels": ("narrow", "wide"), "positive": None, "threshold": None, "sample_rate": RATE, "window": WINDOW,
        "hop": WINDOW, "beats": BeatCut(("MLII", "II")),
    }  # fmt: skip
    description = dataclasses.replace(DESCRIPTION, **settings | changes)
    sidecar.write(folder, sidecar.describe(description, folder / NAME, Variant.TFLITE_FLOAT32, Input.SAMPLES, None))


@pytest.fixture
def model(content, tmp_path):
    (tmp_path / NAME).write_bytes(content)
    describe(tmp_path)
    return tmp_path / NAME


def by_hand(samples: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Probabilities beat by beat: the z-score, a window each, 0 beyond half the way to a neighbour."""
    z = (samples - samples.mean()) / samples.std()
    windows = []
    for number, peak in enumerate(peaks):
        window = np.zeros(WINDOW)
        for place in range(WINDOW):
            at = peak - WINDOW // 2 + place
            nearest = np.abs(peaks - at).min()
            if 0 <= at < len(z) and abs(peaks[number] - at) == nearest:
                window[place] = z[at]
        windows.append(window)
    return scipy.special.softmax(area(np.array(windows)), axis=1)


def write_table(path, samples, rate):
    rows = [f"{place / rate:.6f},0,{value:.9g}" for place, value in enumerate(samples)]
    path.write_text("\n".join(["time,V5,MLII", *rows]) + "\n")


def test_every_beat_of_a_table(model):
    path = model.with_name("lead.csv")
    write_table(path, ecg(RATE), RATE)
    found = electrocardiogram.of_record(predict.Predictor(model), path, predict.Reading())
    peaks = np.rint(BEATS * RATE).astype(int)
    np.testing.assert_allclose([beat.time for beat in found.beats], BEATS, atol=0.005)
    given = np.rint(np.array([beat.time for beat in found.beats]) * RATE).astype(int)
    want = by_hand(ecg(RATE), given)
    np.testing.assert_allclose([list(beat.probabilities.values()) for beat in found.beats], want, atol=1e-4)
    assert [beat.label for beat in found.beats] == [("narrow", "wide")[row.argmax()] for row in want]
    assert found.lead == "MLII"
    assert found.counts == {"narrow": sum(want[:, 0] > 0.5), "wide": sum(want[:, 1] > 0.5)}
    assert found.label == max(found.counts, key=found.counts.__getitem__)
    assert 0 < found.decode_milliseconds < found.milliseconds
    annotated = Beats(peaks, np.full(6, "N"), np.array(["n", "n", "", "n", "n", "n"]))
    told = electrocardiogram.of_record(predict.Predictor(model), path, predict.Reading(beats=annotated))
    assert [beat.time for beat in told.beats] == pytest.approx(np.delete(peaks, 2) / RATE)
    np.testing.assert_allclose(
        [list(beat.probabilities.values()) for beat in told.beats],
        np.delete(by_hand(ecg(RATE), peaks), 2, 0),
        atol=1e-4,
    )


def test_at_another_rate(model):
    found = []
    for rate in (RATE, 360, 1000):
        path = model.with_name(f"{rate}.csv")
        write_table(path, ecg(rate), rate)
        found.append(electrocardiogram.of_record(predict.Predictor(model), path, predict.Reading()))
    for other in found[1:]:
        assert other.counts == found[0].counts
        np.testing.assert_allclose([beat.time for beat in other.beats], BEATS, atol=0.008)


def test_what_is_refused(model):
    path = model.with_name("flat.csv")
    write_table(path, np.ones(1000), RATE)
    predictor = predict.Predictor(model)
    with pytest.raises(UserError, match=r"no heartbeat was found in 4.0 s of MLII"):
        electrocardiogram.of_record(predictor, path, predict.Reading())
    late = Beats(np.array([2000]), np.array(["N"]), np.array(["N"]))
    with pytest.raises(UserError, match="not in ascending order within 1000 samples"):
        electrocardiogram.of_record(predictor, path, predict.Reading(beats=late))
    with pytest.raises(UserError, match="has no lead aVF, its leads are: V5, MLII"):
        electrocardiogram.of_record(predictor, path, predict.Reading(lead="aVF"))
    with pytest.raises(UserError, match="takes beats of an ECG, not sound"):
        predictor.samples(np.ones(1000, np.float32), RATE)
    describe(model.parent, sample_rate=50)
    with pytest.raises(UserError, match="100 to 1000 Hz, got 50 Hz"):
        electrocardiogram.of_record(predict.Predictor(model), path, predict.Reading())


def test_samples_beyond_float32(model):
    path = model.with_name("large.csv")
    write_table(path, 1e300 * ecg(RATE), RATE)
    with pytest.raises(UserError, match="samples of MLII are too large for float32"):
        electrocardiogram.of_record(predict.Predictor(model), path, predict.Reading())


def test_a_model_of_sounds_takes_no_ecg(folder):
    with pytest.raises(UserError, match="takes sound, not an ECG"):
        electrocardiogram.of_record(predict.Predictor(folder / MODELS[0]), folder / "x.csv", predict.Reading())


def test_the_command(model):
    path, bare = model.with_name("lead.csv"), model.with_name("bare.csv")
    write_table(path, ecg(RATE), RATE)
    bare.write_text("\n".join(map(str, ecg(RATE))))
    wfdb.wrsamp(
        "r1",
        RATE,
        ["mV"],
        ["II"],
        p_signal=ecg(RATE)[:, None],
        fmt=["16"],
        adc_gain=[1000],
        baseline=[0],
        write_dir=str(model.parent),
    )
    files = [path, bare, model.with_name("r1.hea"), model.with_name("none.hea"), model.with_name("r1")]
    code = f"""
import sys
from typing import Any
from hsjax import predict
code = predict.main({[str(model), "--sample-rate", str(RATE), *map(str, files)]})
heavy = {{"jax", "flax", "tensorflow", "scipy", "wfdb", "pandas"}} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    fields = {"file", "label", "counts", "beats", "lead", "milliseconds", "decode_milliseconds"}
    assert [line.keys() for line in lines] == [fields, fields, fields, {"file", "error"}, fields]
    assert [line.get("lead") for line in lines] == ["MLII", "", "II", None, "II"]
    assert len({json.dumps(line.get("counts")) for line in lines}) == 2  # and none of what has failed
    assert lines[0]["beats"][0].keys() == {"time", "label", "probabilities"}


def test_no_stream_of_beats(model, capsys):
    assert predict.main([str(model), "--stream", "-"]) == 2
    assert "R peaks are found in whole records: give them as files" in capsys.readouterr().err


@pytest.mark.realdata
def test_a_real_record_from_both_kinds_of_file(model, real_root):
    describe(model.parent, sample_rate=360, beats=BeatCut(("MLII",)))
    predictor = predict.Predictor(model)
    lead = mitdb.lead(real_root, "100")
    path = model.with_name("100.csv")
    write_table(path, lead.samples[: 60 * 360], 360)
    of_table = electrocardiogram.of_record(predictor, path, predict.Reading())
    of_record = electrocardiogram.of_record(predictor, real_root / mitdb.FOLDER / "100.hea", predict.Reading())
    assert len(of_record.beats) == 2273
    early = [beat.time for beat in of_record.beats if beat.time < 60]
    assert [beat.time for beat in of_table.beats] == pytest.approx(early)
