"""Tests marked `realdata` need HSJAX_DATA; without it they are deselected, and their number is printed."""

import os
import pathlib

import numpy as np
import pytest

_REQUIRE = "HSJAX_REQUIRE_REALDATA"
_unrun = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config, items):
    real = [item for item in items if item.get_closest_marker("realdata")]
    config.stash[_unrun] = [item.nodeid for item in real]
    if not os.environ.get("HSJAX_DATA"):
        items[:] = [item for item in items if item not in real]
        config.hook.pytest_deselected(items=real)


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed and report.nodeid in _config.stash.get(_unrun, []):
        _config.stash[_unrun].remove(report.nodeid)


def pytest_configure(config):
    global _config
    _config = config


def pytest_terminal_summary(terminalreporter, config):
    if unrun := config.stash.get(_unrun, []):
        where = "set HSJAX_DATA to run them" if not os.environ.get("HSJAX_DATA") else "see above"
        terminalreporter.write_line(f"{len(unrun)} tests on real recordings did not run or did not pass: {where}")


def pytest_sessionfinish(session, exitstatus):
    """Where real data must be there (continuous integration), a real-data test that did not run is a failure."""
    if os.environ.get(_REQUIRE) and session.config.stash.get(_unrun, []) and exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(scope="session")
def real_root() -> pathlib.Path:
    """Folder of the official distributions."""
    return pathlib.Path(os.environ["HSJAX_DATA"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
