import pytest

from tests.predict import toy


@pytest.fixture(scope="session")
def converted() -> dict[str, bytes]:
    return toy.convert()


@pytest.fixture
def folder(converted, tmp_path):
    return toy.write(tmp_path, converted)
