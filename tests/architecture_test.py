"""The rooms import in one direction only."""

import ast
import pathlib
import subprocess
import sys

import pytest

import hsjax

PACKAGE = pathlib.Path(hsjax.__file__).parent

# A room imports only from the lines above its own; rooms of one line never import each other.
LINES = [
    {"types"},
    {"config", "progress"},
    {"data", "dsp", "models", "losses", "runtime"},
    {"prepare", "features", "compress"},
    {"train", "evaluate", "export", "micro", "predict"},
    {"bench"},
    {"report"},
    {"experiment", "segment"},
    {"launch"},
]
LEVEL = {room: level for level, rooms in enumerate(LINES) for room in rooms}

# What each room alone may import, of what comes from outside.
CONFINED = {
    "flax": {"models"},
    "orbax": {"train"},
    "tensorflow": {"export"},
    "tf2onnx": {"export"},
    "onnx": {"export"},
    "ai_edge_litert": {"runtime"},
    "onnxruntime": {"runtime"},
    "matplotlib": {"report"},
    "shap": {"evaluate"},
    "tensorboardX": {"train"},
    "tflite_micro": {"micro"},
    "wandb": {"train"},
}
NO_JAX = {"types", "config", "progress", "data", "runtime", "predict", "bench", "evaluate", "report", "launch"}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = room_of(path)
    if room == "__init__":
        assert not any(name.startswith("hsjax") for name in imports(path))
        return
    assert room in LEVEL, f"{room} is on no line: give it one here and in CONTRIBUTING.md"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "hsjax" and len(parts) > 1 and parts[1] != room and parts[1] != "__version__":
            assert LEVEL[parts[1]] < LEVEL[room], f"{path} imports {name}"
        if parts[0] in CONFINED:
            assert room in CONFINED[parts[0]], f"{path} imports {name}"
        if parts[0] == "jax":
            assert room not in NO_JAX, f"{path} imports {name}"


def test_every_room_is_there():
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms == set(LEVEL)


def test_no_utils():
    assert not [path for path in FILES if "util" in path.stem or "helper" in path.stem or path.stem == "common"]


def test_the_core_imports_without_the_extras():
    """Where TensorFlow and the runtimes do not install, runs without an export stage go on all the same."""
    extras = (
        "tensorflow",
        "tf2onnx",
        "onnx",
        "onnxruntime",
        "ai_edge_litert",
        "beartype",
        "librosa",
        "sklearn",
        "shap",
        "tensorboardX",
        "wandb",
    )
    blocked = "; ".join(f"sys.modules['{name}'] = None" for name in extras)
    program = f"import sys; {blocked}; import hsjax.experiment.run, hsjax.predict, hsjax.bench, hsjax.data.__main__"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
