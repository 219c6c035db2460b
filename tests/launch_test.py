"""Mistakes are answered at once, by one sentence and exit code 1."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def launch(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hsjax.launch", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no --config is given; try --config=configs/kd.py"),
        (["--config=configs/nothing.py"], "there is no file configs/nothing.py"),
        (["--config=configs/kd.py:nothing"], "physionet2016"),
        (["--config=configs/kd.py", "--config.stages.kd.alhpa=1"], "did you mean alpha?"),
        (["--config=configs/kd.py", "--config.stages.kd.epochs=many"], "invalid literal"),
        (["--config=configs/kd.py", "--config.stages.nothing.epochs=1"], "the config has no 'nothing'"),
        (["--conf=configs/kd.py"], "Did you mean: config"),
        (["--config=configs/kd.py", "extra"], "'extra' is no flag"),
        (["--config=configs/kd.py", "--config.dispatch=fast"], "must be one of auto, steps, scan"),
        (["--config=configs/kd.py", "--config.stages.student.objective=distill"], "must be one of supervised, distil"),
    ],
)
def test_mistakes(arguments, message, tmp_path):
    done = launch(*arguments, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_missing_data_says_where_to_get_it(tmp_path):
    done = launch("--config=configs/kd.py:physionet2016", f"--workdir={tmp_path / 'run'}", HSJAX_DATA="")
    assert done.returncode == 1
    assert "HSJAX_DATA" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_quick_and_names_the_flags():
    done = launch("--help")
    assert "--config" in done.stdout
    assert "--workdir" in done.stdout
