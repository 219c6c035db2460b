"""Generated C code as functions of NumPy arrays."""

import ctypes
import dataclasses
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import ml_collections
import numpy as np
import pytest

from hsjax import config
from hsjax.micro import front_end_file, tables
from hsjax.micro.design import Design, design
from hsjax.micro.front_end_file import FrontEndFile
from hsjax.runtime.litert import Quantisation

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-O2")
SOURCES = pathlib.Path(front_end_file.__file__).parent / "c"
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclasses.dataclass(frozen=True)
class Code:
    """A compiled front end.

    Attributes:
      folder: of the sources.
      fixed: int16 windows to int8 features.
      single: int16 windows to float32 features.
      quantise: float32 features of one window to int8 ones.
    """

    folder: pathlib.Path
    fixed: Callable[[np.ndarray], np.ndarray]
    single: Callable[[np.ndarray], np.ndarray]
    quantise: Callable[[np.ndarray], np.ndarray]


def program(name: str) -> str:
    """Path of a compiler or of what comes with it; a test without it fails."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing, which tests of C code need: apt-get install build-essential", pytrace=False)
    return path


def output(folder: pathlib.Path, name: str, *arguments: str) -> str:
    """What a program says of files in a folder."""
    command = [program(name), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def compile_c(folder: pathlib.Path, *arguments: str) -> None:
    """Runs gcc on what lies in a folder of generated code and fails on any warning."""
    command = [program("gcc"), *STRICT, f"-I{folder}", *arguments, "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def load(folder: pathlib.Path) -> ctypes.CDLL:
    """All C code of a folder as a library."""
    compile_c(folder, "-shared", "-fPIC", "-o", "code.so", *(path.name for path in folder.glob("*.c")))
    return ctypes.CDLL(str(folder / "code.so"))


def functions(folder: pathlib.Path, shape: tuple[int, int]) -> Code:
    """Compiles generated front ends."""
    library = load(folder)

    def call(name: str, dtype: type) -> Callable[[np.ndarray], np.ndarray]:
        function = getattr(library, name)
        function.restype = None

        def run(windows: np.ndarray) -> np.ndarray:
            scratch = ctypes.create_string_buffer(2**18)
            results = np.zeros((len(windows), *shape), dtype)
            for window, result in zip(np.ascontiguousarray(windows), results, strict=True):
                assert window.dtype == np.int16
                function(window.ctypes.data_as(ctypes.c_void_p), result.ctypes.data_as(ctypes.c_void_p), scratch)
            return results

        return run

    def quantise(features: np.ndarray) -> np.ndarray:
        result = np.zeros(features.shape, np.int8)
        library.hs_quantise.restype = None
        library.hs_quantise(features.ctypes.data_as(ctypes.c_void_p), result.ctypes.data_as(ctypes.c_void_p))
        return result

    return Code(folder, call("hs_features_fixed", np.int8), call("hs_features_float", np.float32), quantise)


def front_end_code(
    folder: pathlib.Path, content: FrontEndFile, quantisation: Quantisation, hop: int | None = None
) -> tuple[Design, Code]:
    """Generates and compiles the front end alone."""
    made = design(content)
    sizes = {
        "HS_SAMPLE_RATE": content.sample_rate,
        "HS_WINDOW": content.window,
        "HS_HOP": hop or content.window,
        **tables.sizes(made),
        "HS_INPUT_SCALE": f"{quantisation.scale!r}f",
        "HS_INPUT_ZERO_POINT": f"({quantisation.zero_point})",
    }
    (folder / "hs_config.h").write_text(tables.definitions(sizes))
    (folder / "hs_tables_band_pass.h").write_text(tables.band_pass(made))
    (folder / "hs_tables_fixed.h").write_text(tables.fixed(made, quantisation))
    (folder / "hs_tables_float.h").write_text(tables.float32(made))
    for path in SOURCES.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return made, functions(folder, made.shape)


def settings(**changes) -> ml_collections.ConfigDict:
    """`config.features` with some changes."""
    chosen = config.base().features
    chosen.update(changes)
    return chosen


def quantisation_of(values: np.ndarray) -> Quantisation:
    """int8 over the range of these values."""
    scale = float(np.float32((values.max() - values.min()) / 255))
    return Quantisation(scale, int(np.round(-128 - values.min() / scale)))
