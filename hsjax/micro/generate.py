"""An exported int8 model to a folder of C code: the model, and the front end before it."""

import dataclasses
import pathlib

import numpy as np

import hsjax
from hsjax import runtime
from hsjax.micro import front_end_file, model_source, reference, tables
from hsjax.micro.design import Design, design
from hsjax.micro.session import Arena, MicroSession
from hsjax.runtime import files, sidecar
from hsjax.runtime.sidecar import Input, Sidecar
from hsjax.types import UserError

_C = pathlib.Path(__file__).parent / "c"  # what is the same for all models

_PROBES = 4
# Of features, relative to their largest: rounding in float32 is far below, other settings are far above.
_MOST_DEVIATION = 1e-2


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was made.

    Attributes:
      model: the file it was made of.
      output: the folder.
      files: in it.
      model_bytes: of flash.
      arena: of RAM.
    """

    model: str
    output: str
    files: tuple[str, ...]
    model_bytes: int
    arena: Arena


def generate(model: pathlib.Path, output: pathlib.Path, model_only: bool = False) -> Summary:
    """Writes C code.

    Args:
      model: an int8 `.tflite` file with input features, its sidecar, front end and `front-end.json` beside it.
      output: folder to write into, made if need be; files of the same names in it are replaced.
      model_only: leave the front end out, for those that there is no C code for.

    Raises:
      UserError: a file is missing, damaged, swapped or not int8 from features, there is no C code for its front end,
        or `front-end.json` does not describe that.
    """
    described = sidecar.read(model)
    if described.input is not Input.FEATURES:
        raise UserError(f"{model} takes {described.input}; C code is made for models with input features")
    session = MicroSession(model)
    quantisation = model_source.quantised(session.input_quantisation, session)
    content = model.read_bytes()
    arena = session.arena()
    sizes = {"HS_FEATURES": int(np.prod(session.input_shape))}
    texts: dict[str, str] = {}
    if not model_only:
        made = checked_design(model, described, session.input_shape)
        sizes = tables.sizes(made)
        texts["hs_tables_band_pass.h"] = tables.band_pass(made)
        texts["hs_tables_fixed.h"] = tables.fixed(made, quantisation)
        texts["hs_tables_float.h"] = tables.float32(made)
    texts["hs_config.h"] = model_source.config(described, quantisation, sizes)
    texts["hs_model.h"] = model_source.header(described, session, arena, model_source.operators(content))
    texts["hs_model.c"] = model_source.source(described, content)
    output.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        files.write_atomically(output / name, _framed(name, text, described).encode())
    copied = [] if model_only else sorted(path for path in _C.iterdir() if path.suffix in (".c", ".h"))
    for path in copied:
        files.write_atomically(output / path.name, path.read_bytes())
    names = sorted([*texts, *(path.name for path in copied)])
    return Summary(str(model), str(output), tuple(names), described.bytes, arena)


def checked_design(model: pathlib.Path, described: Sidecar, shape: tuple[int, ...]) -> Design:
    """The front end of a model in numbers, once it is known to be what the exported front end computes.

    Raises:
      UserError: it is not, or there is no C code for it.
    """
    made = design(front_end_file.read(model, described))
    path = model.parent / front_end_file.FILE
    if made.shape != shape:
        raise UserError(f"{path} makes features of {made.shape}, {model.name} takes {shape}: export both again")
    exported = runtime.load(model.parent / described.front_end.file) if described.front_end else None
    probes = _probes(made.window)
    expected = reference.features(made, probes)
    measured = exported.run(probes) if exported else expected
    deviation = np.abs(measured - expected).max() / np.abs(expected).max()
    if not deviation <= _MOST_DEVIATION:
        raise UserError(
            f"{path} does not describe what the front end computes (features differ by {deviation:.2g} of their "
            "largest), a stale file or one of another version of hsjax: export the model again"
        )
    return made


def _probes(window: int) -> np.ndarray:
    """Windows that all of a front end has something to do with: noise that swells, of several levels, on an offset."""
    rng = np.random.default_rng(0)
    swelling = np.square(np.sin(np.linspace(0, 20, window)))
    level = 10.0 ** -np.arange(1, 1 + _PROBES)[:, None]
    return (level * (0.2 + swelling * rng.normal(size=(_PROBES, window)))).astype(np.float32)


def _framed(name: str, text: str, described: Sidecar) -> str:
    note = (
        f"/* Made by hsjax {hsjax.__version__} of {described.model} (SHA-256 {described.sha256[:16]}...); "
        "not to be edited. */\n"
    )
    if not name.endswith(".h"):
        return note + text
    guard = name.upper().replace(".", "_")
    return f"{note}#ifndef {guard}\n#define {guard}\n\n{text}\n#endif\n"
