import csv
import pathlib
import re
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent


def test_damaged_models_are_run_or_refused(tmp_path):
    command = [sys.executable, str(FOLDER / "models.py"), "--count=200", "--seed=1", f"--failures={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["format"]: {name: int(row[name]) for name in row if name != "format"}
            for row in csv.DictReader(done.stdout.splitlines())}  # fmt: skip
    assert list(rows) == ["tflite", "onnx", "all"]
    assert rows["tflite"]["mutants"] == rows["onnx"]["mutants"] == 100
    every = rows["all"]
    assert every["read"] + every["refused"] == 200
    assert every["refused"] > 50
    assert every["read"] > 20
    assert re.search(r"of them died: \{", done.stderr)
    assert list(tmp_path.iterdir()) == []
