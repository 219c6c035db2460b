"""Tests marked `realdata` need HSJAX_DATA; without it they are deselected, and their number is printed.

Tests run in a process for each core (pytest-xdist). Which of them are on real recordings every process tells the one
that started it, who counts what passed: a test whose process died did not.
"""

import os
import pathlib
import sys

import numpy as np
import pytest

_REQUIRE = "HSJAX_REQUIRE_REALDATA"
_MARKER = "realdata"
# XLA keeps every program that it compiled mapped into memory, and ends in a segmentation fault where Linux gives no
# more mappings (65,530 unless vm.max_map_count says otherwise).
_MAPS, _MANY_MAPS = pathlib.Path("/proc/self/maps"), 15_000


class _Counted:
    """Tests on real recordings that were collected, and those that passed, of all processes."""

    def __init__(self, config):
        self._config = config
        self.collected, self.passed = set(), set()

    @property
    def unrun(self):
        return self.collected - self.passed

    def pytest_collection_modifyitems(self, items):
        real = [item for item in items if item.get_closest_marker(_MARKER)]
        self.collected.update(item.nodeid for item in real)
        if not os.environ.get("HSJAX_DATA"):
            items[:] = [item for item in items if item not in real]
            self._config.hook.pytest_deselected(items=real)

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed and _MARKER in report.keywords:
            self.passed.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        self.collected.update((getattr(node, "workeroutput", None) or {}).get(_MARKER, ()))

    def pytest_terminal_summary(self, terminalreporter):
        if self.unrun:
            where = "set HSJAX_DATA to run them" if not os.environ.get("HSJAX_DATA") else "see above"
            count = len(self.unrun)
            terminalreporter.write_line(f"{count} tests on real recordings did not run or did not pass: {where}")

    def pytest_sessionfinish(self, session, exitstatus):
        """Where real data must be there (continuous integration), a real-data test that did not run is a failure."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_MARKER] = sorted(self.collected)
        elif os.environ.get(_REQUIRE) and self.unrun and exitstatus == 0:
            session.exitstatus = 1


def pytest_configure(config):
    config.pluginmanager.register(_Counted(config))


@pytest.fixture(scope="module", autouse=True)
def _programs_are_forgotten():
    yield
    if "jax" in sys.modules and (not _MAPS.exists() or _MAPS.read_bytes().count(b"\n") > _MANY_MAPS):
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def real_root() -> pathlib.Path:
    """Folder of the official distributions."""
    return pathlib.Path(os.environ["HSJAX_DATA"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
