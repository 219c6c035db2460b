import csv
import dataclasses

import numpy as np
import pytest

from hsjax.report import tables
from hsjax.types import CurveRow, Predictions, ResultRow, RunKey, UserError

ROW = ResultRow(
    "physionet2016",
    "grouped",
    "kd",
    0,
    0,
    "test",
    "segment",
    "jax",
    "features",
    "accuracy",
    "",
    0.875,
    0.8,
    0.9,
    40,
    12,
)


def cells(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_results_round_trip_in_deterministic_order(tmp_path):
    rows = [
        dataclasses.replace(ROW, seed="mean"),
        dataclasses.replace(ROW, seed=10, metric="macc"),
        dataclasses.replace(ROW, seed=2, metric="precision", label='odd, "name"', value=float("inf")),
        dataclasses.replace(ROW, seed=2, metric="auroc", low=None, high=None, n=None, n_groups=None),
        dataclasses.replace(ROW, unit="model", metric="latency_ms", value=0.0471, volatile=1),
    ]
    path = tmp_path / "report" / tables.RESULTS
    tables.write_results(path, rows)
    # Seeds as numbers, then words; the metrics of one model (precision, auroc) as they came.
    assert tables.read_results(path) == [rows[4], rows[2], rows[3], rows[1], rows[0]]
    first = path.read_bytes()
    tables.write_results(path, [rows[1], rows[4], rows[2], rows[0], rows[3]])
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == [tables.RESULTS]


def test_columns_are_those_of_the_design(tmp_path):
    tables.write_results(tmp_path / "r.csv", [])
    columns = (
        "dataset,protocol,stage,seed,fold,split,unit,variant,input,metric,label,value,low,high,n,n_groups,volatile"
    )
    assert (tmp_path / "r.csv").read_text() == columns + "\n"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""), (float("nan"), "nan"), (0.1, "0.1"), (1 / 3, "0.333333333"), (11170240.0, "11170240"),
        (7, "7"), (0.0, "0"), (-2.5, "-2.5"), (1e-7, "1e-07"), (1e20, "1e+20"), ("mean", "mean"),
    ],
)  # fmt: skip
def test_cells(value, cell):
    assert tables.text(value) == cell


def test_nan_comes_back_as_nan_and_none_as_none(tmp_path):
    tables.write_results(tmp_path / "r.csv", [dataclasses.replace(ROW, value=float("nan"), low=None, high=None)])
    (row,) = tables.read_results(tmp_path / "r.csv")
    assert np.isnan(row.value)
    assert row.low is None


def test_curves_round_trip(tmp_path):
    rows = [
        CurveRow("d", "grouped", "student", seed, 0, epoch, split, "loss", 0.1 * epoch)
        for seed in (0, 1) for epoch in (1, 2, 10) for split in ("train", "validation")
    ]  # fmt: skip
    tables.write_curves(tmp_path / "c.csv", rows[6:] + rows[:6])
    back = tables.read_curves(tmp_path / "c.csv")
    assert [row[:-1] for row in back] == [row[:-1] for row in rows]
    np.testing.assert_allclose([row.value for row in back], [row.value for row in rows], rtol=1e-8)


def predictions(**key):
    rng = np.random.default_rng(0)
    probability = rng.random(6).astype(np.float32)
    return Predictions(
        key=RunKey("physionet2016", "grouped", "kd", 0, **key),
        unit="segment",
        classes=("normal", "abnormal"),
        recording=np.array(["a2", "a1", "a2", "a1", "b", "b"]),
        start=np.array([2.5, 0, 0, 10, 0, 2.5]),
        group=np.array(["s1", "s1", "s1", "s1", "s2", "s2"]),
        label=np.array([1, 0, 1, 0, 1, 1], np.int32),
        probabilities=np.stack([1 - probability, probability], 1),
    )


def test_predictions_round_trip_exactly(tmp_path):
    models = [predictions(variant="tflite-int8"), predictions(variant="jax"), predictions(split="train")]
    path = tmp_path / tables.PREDICTIONS
    tables.write_predictions(path, models)
    header, first, *_ = cells(path)
    assert header[9:] == ["recording", "start", "group", "label", "p_normal", "p_abnormal"]
    assert first[9:13] == ["a1", "0", "s1", "normal"]
    back = tables.read_predictions(path)
    assert [one.key for one in back] == [models[1].key, models[0].key, models[2].key]
    order = [1, 3, 2, 0, 4, 5]  # by recording, then start as a number
    for column in ("recording", "start", "group", "label", "probabilities"):
        expected, got = getattr(models[0], column)[order], getattr(back[0], column)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype.kind == expected.dtype.kind
    assert back[0].probabilities.dtype == np.float32
    assert (back[0].unit, back[0].classes) == ("segment", ("normal", "abnormal"))


def test_predictions_of_other_classes_are_refused(tmp_path):
    other = dataclasses.replace(predictions(), classes=("N", "AS"))
    with pytest.raises(ValueError, match="same classes"):
        tables.write_predictions(tmp_path / "p.csv", [predictions(), other])
    with pytest.raises(ValueError, match="same classes"):
        tables.write_predictions(tmp_path / "p.csv", [])


def test_what_a_user_can_mend_is_said(tmp_path):
    path = tmp_path / "r.csv"
    with pytest.raises(UserError, match="is missing"):
        tables.read_results(path)
    path.write_text("dataset,stage\nd,kd\n")
    with pytest.raises(UserError, match="must have the columns dataset,protocol"):
        tables.read_results(path)
    path.write_text("")
    with pytest.raises(UserError, match="must have the columns"):
        tables.read_results(path)
    tables.write_results(path, [ROW])
    path.write_text(path.read_text().replace("0.875", "high"))
    with pytest.raises(UserError, match="damaged"):
        tables.read_results(path)
    path.write_text(path.read_text().replace("high,0.8", "0.1"))
    with pytest.raises(UserError, match="damaged"):
        tables.read_results(path)
    tables.write_predictions(path, [predictions()])
    path.write_text(path.read_text().replace(",abnormal,", ",unknown,"))
    with pytest.raises(UserError, match="damaged"):
        tables.read_predictions(path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.csv"
    tables.write_results(path, [ROW])

    def rows():
        yield ROW
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables._write(path, tables.RESULT_COLUMNS, ([tables.text(row.value)] for row in rows()))
    assert tables.read_results(path) == [ROW]
