"""Every config's embedded form as a user starts it: it ends in time, and its page and tables are there."""

import os
import pathlib
import resource
import subprocess
import sys

import pytest

from hsjax.report.tables import read_results

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.py"))
_PROCESSOR_SECONDS = 240
"""Two minutes on two cores. Processor time does not grow with what else the machine does, as the clock's would; the
system itself ends a run that takes more."""


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))


@pytest.mark.parametrize("name", CONFIGS)
def test_embedded_form_ends_in_time_with_page_and_tables(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hsjax.launch", f"--config=configs/{name}", f"--workdir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, preexec_fn=_limited, env=os.environ | {"HSJAX_DATA": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = tmp_path / "report"
    assert (report / "index.html").read_text().rstrip().endswith("</html>")
    assert all((report / f"{table}.csv").stat().st_size > 0 for table in ("results", "predictions", "curves"))
    trained = {path.parent.name.partition("@")[0] for path in (tmp_path / "stages").rglob("done.json")}
    scored = {row.stage.partition("@")[0] for row in read_results(report / "results.csv")}
    assert trained
    assert trained <= scored
