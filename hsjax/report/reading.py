"""Reads the files of one run."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from hsjax.evaluate.rows import MEAN
from hsjax.report import tables
from hsjax.report.run import (
    CONTROL,
    DATA,
    EXPLANATIONS,
    FINDINGS,
    LAYERS,
    MODEL,
    REPORT,
    Check,
    Explained,
    File,
    Listed,
    Run,
    Window,
    file_of,
)
from hsjax.types import Predictions, UserError

_TEST, _VALIDATION = "test", "validation"


def load(run_dir: pathlib.Path, published: pathlib.Path | None) -> Run:
    """Reads config.json and what there is in report/.

    Args:
      run_dir: the run's folder.
      published: figures of papers, in the columns of results.csv; None shows none.

    Raises:
      UserError: the config or a table is missing or damaged, or there is no result of a test part.
    """
    folder = run_dir / REPORT
    if not (run_dir / "config.json").is_file():
        raise UserError(f"{run_dir / 'config.json'} is missing; give the folder of a run")
    rows, layers = tables.read_results(folder / tables.RESULTS), folder / LAYERS
    results = [row for row in rows if row.split == _TEST or row.unit == MODEL]
    predictions = [one for one in tables.read_predictions(folder / tables.PREDICTIONS) if one.key.split == _TEST]
    if not results or not predictions:
        raise UserError(f"{folder} has no result of a test part; run its stages first")
    several = {row.protocol for row in results if row.fold == MEAN}
    single = [row for row in results if row.protocol in several and row.fold != MEAN and row.unit != MODEL]
    kept_apart = set(single)
    return Run(
        config=json.loads((run_dir / "config.json").read_text(encoding="utf-8")),
        results=tuple(row for row in results if row not in kept_apart),
        folds=tuple(single),
        validation=tuple(
            row for row in rows if row.split == _VALIDATION and (row.protocol not in several or row.fold == MEAN)
        ),
        published=tuple(tables.read_results(published)) if published is not None else (),
        predictions=tuple(_joined(predictions)),
        curves=tuple(tables.read_curves(folder / tables.CURVES)),
        errors=tuple(tables.read_errors(folder / tables.ERRORS) if (folder / tables.ERRORS).is_file() else ()),
        controls=tuple(row for row in results if row.stage == CONTROL),
        data=_data(folder / DATA),
        findings=_findings(folder / FINDINGS),
        checks=_checks(folder / "gate.json"),
        examples=_examples(folder / "examples.npz"),
        networks_drawn=tuple(json.loads(layers.read_text(encoding="utf-8"))) if layers.is_file() else (),
        explained=tuple(one for path in sorted((folder / EXPLANATIONS).glob("*.npz")) for one in _explained(path)),
    )


def _joined(predictions: Iterable[Predictions]) -> Iterator[Predictions]:
    """Each model's predictions of one unit, those of its folds behind each other."""
    models: dict[tuple[File, str], list[Predictions]] = {}
    for one in predictions:
        models.setdefault((file_of(one.key), one.unit), []).append(one)
    for folds in models.values():
        yield dataclasses.replace(
            folds[0],
            recording=np.concatenate([one.recording for one in folds]),
            start=np.concatenate([one.start for one in folds]),
            group=np.concatenate([one.group for one in folds]),
            label=np.concatenate([one.label for one in folds]),
            probabilities=np.concatenate([one.probabilities for one in folds]),
        )


def _findings(path: pathlib.Path) -> tuple[Listed, ...] | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Listed(row["id"], row["path"], row["used"] == "yes", row["reason"]) for row in csv.DictReader(file)
        )


def _data(path: pathlib.Path) -> Mapping[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _checks(path: pathlib.Path) -> tuple[Check, ...]:
    return tuple(Check(**check) for check in json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else ()


def _examples(path: pathlib.Path) -> tuple[Window, ...]:
    if not path.is_file():
        return ()
    with np.load(path, allow_pickle=False) as stored:
        rate, hertz, hop = (float(stored[name]) for name in ("sample_rate", "max_hertz", "hop_seconds"))
        windows = zip(stored["title"], stored["samples"], stored["spectrogram"], stored["features"], strict=True)
        return tuple(
            Window(str(title), samples, rate, spectrogram, hertz, features, hop)
            for title, samples, spectrogram, features in windows
        )


def _explained(path: pathlib.Path) -> Iterator[Explained]:
    with np.load(path, allow_pickle=False) as stored:
        of_network = {"stage": str(stored["stage"]), "protocol": str(stored["protocol"]), "seed": int(stored["seed"])}
        classes = tuple(str(name) for name in stored["classes"])
        columns = {name: stored[name] for name in ("features", "values", "expected", "output")}
        for number, (title, label) in enumerate(zip(stored["title"], stored["label"], strict=True)):
            yield Explained(
                **of_network, title=str(title), seconds=float(stored["seconds"]), classes=classes, label=int(label),
                **{name: values[number] for name, values in columns.items()},
            )  # fmt: skip
