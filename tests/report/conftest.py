import pytest

from hsjax.report import page
from tests.report.fabricated import PUBLISHED, Page, add_optional, fabricate

# Pages are drawn once for all tests that only read them.


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """A run on real data with everything that is optional: its folder, results and page."""
    run_dir = tmp_path_factory.mktemp("real")
    rows = fabricate(run_dir)
    add_optional(run_dir)
    return run_dir, rows, Page(page.build(run_dir, PUBLISHED))


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """A run of two seeds on synthetic data."""
    run_dir = tmp_path_factory.mktemp("synthetic")
    rows = fabricate(run_dir, dataset="synthetic", seeds=(0, 1))
    add_optional(run_dir)
    return rows, Page(page.build(run_dir, PUBLISHED))


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    """A run of three classes without anything that is optional: its folder and page."""
    run_dir = tmp_path_factory.mktemp("bare")
    fabricate(run_dir, classes=("AS", "MR", "N"))
    return run_dir, Page(page.build(run_dir, None))


@pytest.fixture(scope="session")
def bare(three):
    """Its page."""
    return three[1]
