"""Lint, format and types are part of what passes."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
CHECKS = {
    "lint": ["ruff", "check", "--quiet"],
    "format": ["ruff", "format", "--check", "--quiet"],
    "types": ["pyrefly", "check", f"--python-interpreter-path={sys.executable}"],
}


@pytest.mark.parametrize("check", CHECKS)
def test_clean(check):
    tool, *arguments = CHECKS[check]
    done = subprocess.run([sys.executable, "-m", tool, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
