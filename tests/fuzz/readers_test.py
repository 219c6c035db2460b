import csv
import importlib
import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent


def test_damaged_files_are_read_or_put_aside(tmp_path):
    command = [sys.executable, str(FOLDER / "readers.py"), "--count=200", "--seed=1", f"--failures={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HSJAX_DATA": ""})
    assert done.returncode == 0, done.stderr
    rows = {
        row["format"]: {name: int(row[name]) for name in row if name != "format"}
        for row in csv.DictReader(done.stdout.splitlines())
    }
    every = rows.pop("all")
    assert list(rows) == ["wav", "csv", "mat", "tsv", "flac", "hea", "dat", "atr"]
    assert {row["mutants"] for row in rows.values()} == {25}
    assert every["mutants"] == every["read"] + every["quarantined"] + every["refused"] == 200
    assert every["quarantined"] > 50
    assert every["read"] > 10
    assert list(tmp_path.iterdir()) == []


# Reads what is whole, and does what its name says with anything else.
FAULTY = """
import os, pathlib, time
import numpy as np
from hsjax.types import Dataset, Finding, UserError

def act(root, what):
    if (root / "a").read_bytes() != b"whole":
        found = what()
        if found is not None:
            return found
    return Dataset("made", (), None, False, ())

def refuses(root): return act(root, lambda: exec("raise UserError('mend it')", globals()))
def quarantines(root): return act(root, lambda: Dataset("made", (), None, False, (), (Finding("a", "a", "bad"),)))
def reads(root): return act(root, lambda: None)
def raises(root): return act(root, lambda: 1 / 0)
def crashes(root): return act(root, os.abort)
def hangs(root): return act(root, lambda: time.sleep(60))
def claims(root): return act(root, lambda: bytearray(2**33) and None)
def fills(root): return act(root, lambda: np.ones(2**25 + 2**23) is None or None)
def is_silent(root): return act(root, lambda: Dataset("made", (), None, False, (), (Finding("a", "a", ""),)))
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(FOLDER)
    return [importlib.import_module(name) for name in ("cases", "readers", "worker")]


def test_every_way_to_fail_is_seen(modules):
    cases, readers, _ = modules
    outcomes = {
        "refuses": "refused mend it",
        "quarantines": "quarantined bad",
        "reads": "read ",
        "raises": "failed ZeroDivisionError",
        "crashes": "failed the process ended with -6",
        "hangs": "failed no answer within 5 s",
        "claims": "failed MemoryError",
        "fills": "failed MiB of memory were used",
        "is_silent": "failed AssertionError: no reason is given",
    }
    chosen = tuple(cases.Case(name, f"faulty:{name}", {"a": b"whole"}, "a") for name in outcomes)
    results = readers.run(chosen, count=len(chosen), seed=0, seconds=5.0)
    assert [result.index for result in results] == list(range(len(chosen)))
    for result, (name, want) in zip(results, outcomes.items(), strict=True):
        outcome, _, detail = want.partition(" ")
        assert (name, result.outcome) == (name, outcome)
        assert detail in result.detail
    rows = readers.table(chosen, results)
    assert rows[-1] == {"format": "all", "mutants": 9, "read": 1, "quarantined": 1, "refused": 1, "failed": 6}


def test_mutants_are_the_same_everywhere(modules):
    cases, _, worker = modules
    chosen = cases.made()
    by_format = cases.by_format(chosen)
    assert set(by_format) == set(cases.FORMATS)
    mutants = {}
    for index in range(400):
        case = worker.choose(by_format, index)
        mutants[index] = worker.mutant(case, 0, index)
        assert worker.mutant(case, 0, index) == mutants[index]
    assert len(set(mutants.values())) > 350
    assert sum(worker.mutant(worker.choose(by_format, index), 1, index) == mutants[index] for index in mutants) < 20
