"""Recording to probability beside the usual tools: `python tests/benchmarks/devices.py`, CSV on standard output.

Ours is an exported file from samples through `hsjax.predict.Predictor`; the peer is SciPy's filter, librosa's features
and ONNX Runtime with the dynamic int8 form of the same network (`device_peer`), on the same windows with the same mean.
The peer's best case has a row, too: all windows of a recording at once. Weights are random (`device_files`), recordings
those of PhysioNet/CinC 2016 in HSJAX_DATA. Before anything is timed, float32 files of both sides have to give the same
probability within 0.001, and int8 ones the same class.

One thread on each side, in a process that is confined to one core and has no JAX in it; models are loaded, caches warm,
decoding has rows of its own. The sides take turns. A ratio above 1 means that we are faster; its bounds are the 5 % and
95 % quantiles of the turns. `ms of CPU` is processor time of the whole process, which a busy machine disturbs less.

Rows by what `work` says:
  NAME, S s recording          the file with a float32 front end and an int8 network, decoding not included
  NAME, S s recording, FORM    other forms of it
  decoding, S s recording      beside librosa.load
  NAME, network alone, FORM    against the float32 file for the same runtime: below 1, the smaller form is slower
  start predict                until --help is printed and until a model is loaded, beside importing the peer's tools
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

# Not this folder, whose coverage.py numba, behind librosa, would take for the package of that name.
sys.path.pop(0)
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))

from tests.benchmarks import device_files, pairing
from tests.benchmarks.signals import COLUMNS, limit

RECORDINGS = ("training-b/b0409", "training-e/e00864", "training-c/c0031")
"""Of 6, 21 and 122 seconds: the shortest, the median and the longest."""

PEERS = {"scipy + librosa + onnxruntime": False, "scipy + librosa + onnxruntime, windows at once": True}
"""Whether all windows go through each step together."""

_INT8, _PEER = "tflite-int8", "onnx-int8-dynamic"
_TOLERANCE = 1e-3  # of a probability; the feedback filter against its cut response, logarithms of quiet bands
_LEAST_SECONDS = 0.05  # that one side computes before the other takes its turn
_THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
Row = dict[str, str | float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    works = tuple(device_files.WORKS)
    parser.add_argument("works", nargs="*", default=works, help=f"of {', '.join(works)}; all by default")
    parser.add_argument("--repetitions", type=int, default=31, help="turns behind a row")
    parser.add_argument("--quick", action="store_true", help="3 turns on the shortest recording: a test of the script")
    parser.add_argument("--files", type=pathlib.Path, help="folder to keep the exported files in, or to find them in")
    root = os.environ.get("HSJAX_DATA", "")
    parser.add_argument("--data", default=root, help="folder of the distributions, HSJAX_DATA by default")
    parser.add_argument("--child", choices=("write", "rows"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.works) - set(works):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(works)}")
    if not arguments.data:
        parser.error("set HSJAX_DATA or --data to the folder with physionet2016 in it")
    recordings = [pathlib.Path(arguments.data, "physionet2016", f"{name}.wav") for name in RECORDINGS]
    if arguments.child == "write":
        (name,) = arguments.works
        device_files.write(name, arguments.files / name, recordings)
        return
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    if arguments.child == "rows":
        limit(1)
        _print(writer, rows(arguments, recordings[: 1 if arguments.quick else None]))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files or pathlib.Path(folder)
        given = [f"--files={files}", f"--data={arguments.data}", f"--repetitions={arguments.repetitions}"]
        given += ["--quick"] if arguments.quick else []
        command = [sys.executable, __file__, *given]
        for name in arguments.works:
            if not (files / name / device_files.STATE).exists():
                subprocess.run([*command, name, "--child=write"], check=True, stdout=sys.stderr)
        writer.writeheader()
        sys.stdout.flush()
        subprocess.run([*command, *arguments.works, "--child=rows"], check=True, env=os.environ | _THREADS)


def _print(writer: csv.DictWriter, table: Iterator[Row]) -> None:
    for row in table:
        writer.writerow({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()})
        sys.stdout.flush()


def rows(arguments: argparse.Namespace, recordings: Sequence[pathlib.Path]) -> Iterator[Row]:
    """All rows; this process is confined to one core before.

    Args:
      arguments: of the command line.
      recordings: to hear.

    Raises:
      RuntimeError: the sides compute something else.
    """
    turns = 3 if arguments.quick else arguments.repetitions
    for name in arguments.works:
        folder = arguments.files / name
        yield from _recordings(name, folder, recordings, turns)
        yield from _alone(name, folder, turns)
    yield from _decoding(recordings, turns)
    name = arguments.works[0]
    yield from _start(arguments.files / name, max(3, turns // 3))


def _recordings(name: str, folder: pathlib.Path, recordings: Sequence[pathlib.Path], turns: int) -> Iterator[Row]:
    from hsjax.data import audio
    from hsjax.predict import Predictor
    from hsjax.runtime import Input, Variant

    work = device_files.WORKS[name]
    # As in `predict`, nothing else is there when ours are loaded: ONNX Runtime asks Linux for AMX when it is imported,
    # and LiteRT would use it, too (`runtime.matrix_tiles`).
    ours = {
        str(variant): Predictor(folder / f"{variant}-{Input.SAMPLES}.{variant.runtime}")
        for variant in Variant
        if variant not in work.left_out
    }
    from tests.benchmarks.device_peer import Peer

    peers = {peer: Peer(work, folder / f"{_PEER}-features.onnx", at_once) for peer, at_once in PEERS.items()}
    sounds = {path: audio.decode(path) for path in recordings}
    exact = Peer(work, folder / "onnx-float32-features.onnx", at_once=False)
    for path, (samples, rate) in sounds.items():
        float32 = exact.probability(samples, rate)
        agree(ours["tflite-float32"].samples(samples, rate).probabilities["abnormal"], float32, path)
        for peer in peers.values():
            same_class(ours[_INT8].samples(samples, rate).label, peer.probability(samples, rate), path)
    for samples, rate in sounds.values():
        seconds = f"{name}, {len(samples) / rate:.0f} s recording"
        for peer, theirs in peers.items():
            yield from timed(
                f"{seconds}, one core",
                peer,
                lambda samples=samples, rate=rate: ours[_INT8].samples(samples, rate),
                lambda theirs=theirs, samples=samples, rate=rate: theirs.probability(samples, rate),
                turns,
            )
    path = recordings[len(recordings) // 2]
    samples, rate = sounds[path]
    for variant, predictor in ours.items():
        if variant != _INT8:
            peer, theirs = next(iter(peers.items()))
            yield from timed(
                f"{name}, {len(samples) / rate:.0f} s recording, {variant}, one core",
                peer,
                lambda predictor=predictor: predictor.samples(samples, rate),
                lambda theirs=theirs: theirs.probability(samples, rate),
                turns,
            )


def agree(ours: float, theirs: float, path: pathlib.Path) -> None:
    """Holds the probabilities of float32 files against each other.

    Raises:
      RuntimeError: they differ by more than 0.001.
    """
    if not abs(ours - theirs) <= _TOLERANCE:
        raise RuntimeError(f"{path.name}: the probability is {ours:.5f} of ours and {theirs:.5f} of the peer's")


def same_class(ours: str, theirs: float, path: pathlib.Path) -> None:
    """Holds the classes of int8 files against each other.

    Raises:
      RuntimeError: they differ.
    """
    if ours != ("abnormal" if theirs >= 0.5 else "normal"):
        raise RuntimeError(f"{path.name}: {ours} by ours, the peer gives {theirs:.3f} for abnormal")


def _alone(name: str, folder: pathlib.Path, turns: int) -> Iterator[Row]:
    import numpy as np

    from hsjax import runtime

    for base in ("tflite-float32", "onnx-float32"):
        kind = base.partition("-")[0]
        theirs = runtime.load(folder / f"{base}-features.{kind}")
        example = np.random.default_rng(0).standard_normal((1, *theirs.input_shape), np.float32)
        for variant in runtime.Variant:
            file = folder / f"{variant}-features.{kind}"
            if variant.runtime == kind and variant != base and file.exists():
                ours = runtime.load(file)
                work = f"{name}, network alone, {variant}, one core"
                yield from timed(work, base, ours.bind(example), theirs.bind(example), turns, "us", 1e6)


def _decoding(recordings: Sequence[pathlib.Path], turns: int) -> Iterator[Row]:
    import librosa

    from hsjax.data import audio

    for path in recordings:
        samples, rate = audio.decode(path)
        yield from timed(
            f"decoding, {len(samples) / rate:.0f} s recording, one core",
            "librosa.load",
            lambda path=path: audio.decode(path),
            lambda path=path: librosa.load(path, sr=None),
            turns,
        )


def timed(
    work: str,
    peer: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    turns: int,
    unit: str = "ms",
    scale: float = 1e3,
) -> Iterator[Row]:
    """Two rows, of wall and of processor time, of two calls that take turns."""
    sides = (ours, theirs)
    for side in sides:
        side()
    counts = []
    for side in sides:
        began = time.perf_counter()
        side()
        counts.append(max(1, round(_LEAST_SECONDS / max(time.perf_counter() - began, 1e-7))))
    spent: tuple[list[tuple[float, float]], ...] = ([], [])
    for turn in range(turns):
        for index in (0, 1) if turn % 2 else (1, 0):
            spent[index].append(_seconds(sides[index], counts[index]))
    for column, what in enumerate((unit, f"{unit} of CPU")):
        yield _row(work, peer, what, scale, [(a[column], b[column]) for a, b in zip(*spent, strict=True)])


def _seconds(call: Callable[[], object], count: int) -> tuple[float, float]:
    """Wall and processor time of one call, as the mean over a few."""
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    return (time.perf_counter() - clock) / count, (time.process_time() - processor) / count


def _row(work: str, peer: str, unit: str, scale: float, pairs: list[tuple[float, float]]) -> Row:
    ours, theirs, *ratios = pairing.summary(pairs)
    values = scale * ours, scale * theirs, *ratios
    return {"work": work, "peer": peer, "unit": unit} | dict(zip(COLUMNS[3:], values, strict=True))


def _start(folder: pathlib.Path, turns: int) -> Iterator[Row]:
    """Fresh interpreters: what a user waits for before the first recording."""
    ours, theirs = (str(folder / name) for name in (f"{_INT8}-samples.tflite", f"{_PEER}-features.onnx"))
    tools = "import librosa, scipy.signal, onnxruntime; librosa.stft, librosa.filters.mel"  # which it imports when used
    session = f"onnxruntime.InferenceSession({theirs!r}, providers=['CPUExecutionProvider'])"
    works = {
        "start predict, --help": (["-m", "hsjax.predict", "--help"], ["-c", tools]),
        "start predict, model loaded": (
            ["-c", f"import pathlib; from hsjax.predict import Predictor; Predictor(pathlib.Path({ours!r}))"],
            ["-c", f"{tools}; {session}"],
        ),
    }
    for work, commands in works.items():
        for command in commands:
            _child(command)
        spent: tuple[list[tuple[float, float]], ...] = ([], [])
        for turn in range(turns):
            for index in (0, 1) if turn % 2 else (1, 0):
                spent[index].append(_child(commands[index]))
        for column, unit in enumerate(("s", "s of CPU")):
            pairs = [(a[column], b[column]) for a, b in zip(*spent, strict=True)]
            yield _row(f"{work}, one core", "import librosa, scipy, onnxruntime", unit, 1.0, pairs)


def _child(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor time of an interpreter from its start to its end."""
    clock, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - clock, spent


if __name__ == "__main__":
    main()
