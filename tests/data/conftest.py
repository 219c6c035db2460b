import pathlib

import pytest


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory) -> pathlib.Path:
    """What inspecting the real files found is kept here, so that one test of a session pays for it."""
    return tmp_path_factory.mktemp("inspected")
