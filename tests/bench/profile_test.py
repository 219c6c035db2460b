"""What a sidecar says is read before anything is measured."""

import sys

import pytest

from hsjax import bench
from hsjax.types import UserError


def test_a_stale_sidecar_is_refused_before_the_file_is_measured(tmp_path, monkeypatch):
    """Of which nothing would be left, after minutes."""

    def measured(*_):
        pytest.fail("it was measured")

    monkeypatch.setattr(sys.modules["hsjax.bench.profile"], "measure", measured)
    model = tmp_path / "model.tflite"
    model.write_bytes(b"a model")
    model.with_suffix(".json").write_text("{}")
    with pytest.raises(UserError, match=r"model.json: missing or unknown: .*; export the model again"):
        bench.profile(model)
