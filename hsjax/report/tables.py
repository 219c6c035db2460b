"""The tidy tables: results.csv, predictions.csv, curves.csv, errors.csv.

The same content gives the same bytes: rows are sorted by what identifies a model, numbers written with nine significant
digits (a float32 comes back exactly) and whole numbers in full. Files are replaced whole.
"""

import csv
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hsjax.types import CurveRow, ErrorRow, Predictions, ResultRow, RunKey, UserError

RESULTS, PREDICTIONS, CURVES, ERRORS = "results.csv", "predictions.csv", "curves.csv", "errors.csv"

RESULT_COLUMNS = tuple(field.name for field in dataclasses.fields(ResultRow))
CURVE_COLUMNS = CurveRow._fields
ERROR_COLUMNS = ErrorRow._fields
# What identifies a model and its unit; then what identifies a unit; then one column `p_CLASS` a class.
_MODEL_COLUMNS = ("dataset", "protocol", "stage", "seed", "fold", "split", "unit", "variant", "input")
PREDICTION_COLUMNS = (*_MODEL_COLUMNS, "recording", "start", "group", "label")
_PROBABILITY = "p_"


def text(value: float | int | str | None) -> str:
    """A cell: empty for None, `nan`, whole numbers in full, others with nine significant digits."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    number = float(value)
    if number.is_integer() and abs(number) < 2**53:
        return str(int(number))
    return f"{number:.9g}"


def write_results(path: pathlib.Path, rows: Iterable[ResultRow]) -> None:
    """Writes results.csv; the metrics of one model keep their order."""
    ordered = sorted(rows, key=lambda row: _order([getattr(row, name) for name in _MODEL_COLUMNS]))
    _write(path, RESULT_COLUMNS, ([text(getattr(row, name)) for name in RESULT_COLUMNS] for row in ordered))


def read_results(path: pathlib.Path) -> list[ResultRow]:
    """Reads results.csv, or the published figures, which have the same columns.

    Raises:
      UserError: the file or a column is missing, or a cell is not what it should be.
    """
    return [ResultRow(**row) for row in _parsed(path, RESULT_COLUMNS)]


def write_curves(path: pathlib.Path, rows: Iterable[CurveRow]) -> None:
    """Writes curves.csv; the epochs of one model keep their order."""
    ordered = sorted(rows, key=lambda row: _order(row[: CURVE_COLUMNS.index("epoch")]))
    _write(path, CURVE_COLUMNS, ([text(value) for value in row] for row in ordered))


def read_curves(path: pathlib.Path) -> list[CurveRow]:
    """Reads curves.csv.

    Raises:
      UserError: the file or a column is missing, or a cell is not what it should be.
    """
    return [CurveRow(**row) for row in _parsed(path, CURVE_COLUMNS)]


def write_errors(path: pathlib.Path, rows: Iterable[ErrorRow]) -> None:
    """Writes errors.csv; the errors of one model keep their order."""
    ordered = sorted(rows, key=lambda row: _order(row[: len(_MODEL_COLUMNS)]))
    _write(path, ERROR_COLUMNS, ([text(value) for value in row] for row in ordered))


def read_errors(path: pathlib.Path) -> list[ErrorRow]:
    """Reads errors.csv.

    Raises:
      UserError: the file or a column is missing, or a cell is not what it should be.
    """
    return [ErrorRow(**row) for row in _parsed(path, ERROR_COLUMNS)]


def write_predictions(path: pathlib.Path, predictions: Sequence[Predictions]) -> None:
    """Writes predictions.csv: models sorted by their key, units by recording and start, labels by name.

    Args:
      path: of the file.
      predictions: of any models that share their classes.

    Raises:
      ValueError: the classes differ, or there are no predictions at all.
    """
    if len({one.classes for one in predictions}) != 1:
        raise ValueError("predictions.csv holds models of the same classes, at least one")
    ordered = sorted(predictions, key=lambda one: _order(_model(one)))
    columns = (*PREDICTION_COLUMNS, *(_PROBABILITY + name for name in predictions[0].classes))
    _write(path, columns, itertools.chain.from_iterable(_prediction_cells(one) for one in ordered))


def read_predictions(path: pathlib.Path) -> list[Predictions]:
    """Reads predictions.csv.

    Raises:
      UserError: the file or a column is missing, or a cell is not what it should be.
    """
    header, rows = _read(path, PREDICTION_COLUMNS)
    classes = tuple(name.removeprefix(_PROBABILITY) for name in header[len(PREDICTION_COLUMNS) :])
    models = itertools.groupby(rows, key=lambda row: row[: len(_MODEL_COLUMNS)])
    try:
        return [_predictions(model, list(units), classes) for model, units in models]
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}); run the command again to write it anew") from error


def _model(predictions: Predictions) -> list[int | str]:
    key = dataclasses.asdict(predictions.key) | {"unit": predictions.unit}
    return [key[name] for name in _MODEL_COLUMNS]


def _order(key: Iterable[int | float | str]) -> list[tuple[bool, int | float | str]]:
    """Sorts seeds as numbers, before the words `all` and `mean`."""
    return [(isinstance(value, str), value) for value in key]


def _prediction_cells(predictions: Predictions) -> Iterator[list[str]]:
    model = [text(value) for value in _model(predictions)]
    for index in np.lexsort((predictions.start, predictions.recording)):
        yield [
            *model,
            str(predictions.recording[index]),
            text(float(predictions.start[index])),
            str(predictions.group[index]),
            predictions.classes[predictions.label[index]],
            *(text(float(probability)) for probability in predictions.probabilities[index]),
        ]


def _predictions(model: list[str], units: list[list[str]], classes: tuple[str, ...]) -> Predictions:
    key = {name: _PARSERS.get(name, str)(cell) for name, cell in zip(_MODEL_COLUMNS, model, strict=True)}
    unit = key.pop("unit")
    index = {name: position for position, name in enumerate(classes)}
    recording, start, group, label, *probabilities = zip(*(row[len(_MODEL_COLUMNS) :] for row in units), strict=True)
    return Predictions(
        key=RunKey(**key),
        unit=unit,
        classes=classes,
        recording=np.array(recording),
        start=np.array(start, np.float64),
        group=np.array(group),
        label=np.array([index[name] for name in label], np.int32),
        probabilities=np.array(probabilities, np.float32).T,
    )


def _whole_or_word(cell: str) -> int | str:
    return int(cell) if cell.isdecimal() else cell


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda cell: parse(cell) if cell else None


# Of the columns that are not text.
_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "seed": _whole_or_word,
    "fold": _whole_or_word,
    "epoch": int,
    "start": float,
    "confidence": float,
    "seconds": float,
    "snr_db": float,
    "value": float,
    "low": _optional(float),
    "high": _optional(float),
    "n": _optional(int),
    "n_groups": _optional(int),
    "volatile": int,
}


def _parsed(path: pathlib.Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    _, rows = _read(path, columns)
    for row in rows:
        try:
            yield {name: _PARSERS.get(name, str)(cell) for name, cell in zip(columns, row, strict=True)}
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); run the command again to write it anew") from error


def _read(path: pathlib.Path, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a file that begins with these columns."""
    if not path.is_file():
        raise UserError(f"{path} is missing; run the stages that come before the report")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header, rows = next(reader, []), list(reader)
    if header[: len(columns)] != list(columns):
        raise UserError(f"{path} must have the columns {','.join(columns)}, but has {','.join(header)}")
    return header, rows


def _write(path: pathlib.Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
    os.replace(partial, path)
