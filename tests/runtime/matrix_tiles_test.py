import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from hsjax.export import tflite
from hsjax.runtime import matrix_tiles

CODE = """
import faulthandler, hashlib, pathlib, sys
faulthandler.enable()  # it has an alternate signal stack of its own
import numpy as np
from hsjax import runtime
from hsjax.runtime import matrix_tiles
session = runtime.load(pathlib.Path(sys.argv[1]), kernels=runtime.Kernels(sys.argv[2]))
out = session.run(np.random.default_rng(0).normal(size=(20, 9, 9, 1)).astype(np.float32))
print(matrix_tiles.permitted(), hashlib.sha256(out.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 1, 16)).astype(np.float32)

    def conv(x):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    path = tmp_path_factory.mktemp("models") / "conv.tflite"
    path.write_bytes(tflite.int8(conv, (1, 9, 9, 1), rng.normal(size=(20, 9, 9, 1)).astype(np.float32)))
    return path


def run(model, kernels):
    child = subprocess.run([sys.executable, "-c", CODE, model, kernels], capture_output=True, text=True, check=True)
    return child.stdout.split()


def processor_has_tiles() -> bool:
    information = pathlib.Path("/proc/cpuinfo")
    return information.is_file() and "amx_int8" in information.read_text()


def test_vector_kernels_do_without_tiles_and_give_the_same_numbers(model):
    vector, auto = run(model, "vector"), run(model, "auto")
    assert vector[0] == "False"
    assert auto[0] == str(processor_has_tiles())
    assert vector[1] == auto[1]


def test_the_signal_stack_is_put_back():
    code = """
import ctypes
from hsjax.runtime import matrix_tiles
def stack():
    state = matrix_tiles._SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(state))
    return state.pointer, state.flags, state.size
before = stack()
with matrix_tiles.refused():
    print(stack() != before)
print(stack() == before)
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    inside, after = child.stdout.split()
    assert inside == str(matrix_tiles._linux_x86())
    assert after == "True"


def test_nothing_happens_on_other_systems(monkeypatch):
    monkeypatch.setattr(matrix_tiles.platform, "machine", lambda: "aarch64")
    with matrix_tiles.refused():
        assert not matrix_tiles.permitted()
