"""torch is in no extra that the tests install, so that a stand-in takes its place, with tensors of NumPy."""

import hashlib
import sys
import types

import numpy as np
import pytest

from hsjax.models.pretrained import convert, files, register
from hsjax.types import UserError


class Tensor:
    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def is_floating_point(self):
        return np.issubdtype(self.values.dtype, np.floating)

    def float(self):
        return Tensor(self.values.astype(np.float32))

    def numpy(self):
        return self.values


@pytest.fixture
def torch(monkeypatch):
    """What `torch.load` gives is in the attribute `state`; it fails where that is an exception."""
    module = types.ModuleType("torch")
    module.Tensor = Tensor
    module.state = {
        "conv.weight": Tensor(np.arange(8.0).reshape(2, 4).T),  # not contiguous, float64
        "bn.num_batches_tracked": Tensor(np.array(3)),
    }

    def load(path, *, map_location, weights_only):
        assert weights_only is True
        assert map_location == "cpu"
        if isinstance(module.state, Exception):
            raise module.state
        return module.state

    module.load = load
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


@pytest.fixture
def path(tmp_path):
    """A file whose name holds the beginning of its SHA-256."""
    content = b"a state dict"
    made = tmp_path / f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    made.write_bytes(content)
    return made


def test_tensors_and_origin(torch, path):
    target = convert.convert(path)
    assert target == path.with_suffix(".safetensors")
    contents = files.read(target)
    np.testing.assert_array_equal(contents.tensors["conv.weight"], [[0, 4], [1, 5], [2, 6], [3, 7]])
    assert contents.tensors["conv.weight"].dtype == np.float32
    assert contents.tensors["bn.num_batches_tracked"] == 3
    assert contents.metadata == {
        "origin": path.name,
        "origin_sha256": hashlib.sha256(b"a state dict").hexdigest(),
        "tensors_sha256": register.sha256_of_tensors(contents.tensors),
    }


def test_another_checksum_than_in_the_name(torch, path):
    path.write_bytes(b"a state dicT")
    with pytest.raises(UserError, match=r"not .* as in its name: it is damaged"):
        convert.convert(path)
    assert not path.with_suffix(".safetensors").exists()


def test_names_without_a_checksum_are_taken(torch, tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(b"x")
    assert convert.convert(path, tmp_path / "other.safetensors") == tmp_path / "other.safetensors"


@pytest.mark.parametrize("state", [{"model": {"w": 1}}, [1], {"epoch": 3}])
def test_what_is_no_state_dict(torch, path, state):
    torch.state = state
    with pytest.raises(UserError, match="no plain state dict"):
        convert.convert(path)


def test_what_torch_refuses(torch, path):
    torch.state = RuntimeError("Weights only load failed.\n\t\x1b[1mDo so\x1b[0m")
    with pytest.raises(UserError, match=r"holds more than tensors \(Weights only load failed\.?( Do so)?\)"):
        convert.convert(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"third_party/weights\.toml says where to fetch it"):
        convert.convert(tmp_path / "a.pth")


@pytest.mark.parametrize("library", ["torch", "safetensors.numpy"])
def test_missing_library(torch, path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match="run it where both"):
        convert.convert(path)
