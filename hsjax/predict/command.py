"""`python -m hsjax.predict MODEL FILE...`, and `--stream` for what is long or does not end."""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NoReturn

import numpy as np
from jaxtyping import Float

from hsjax.data import audio, ecg_files, pipe
from hsjax.predict import calls, stream
from hsjax.predict.electrocardiogram import Reading
from hsjax.runtime import asking, isolated
from hsjax.runtime.sidecar import Sidecar
from hsjax.types import UserError

_FAILED_FILES, _BAD_MODEL = 1, 2
_SIGNALLED = 128  # and the signal's number, as shells count
_STANDARD_INPUT = pathlib.Path("-")
_WAV = (b"RIFF", b"RF64")
_LONGEST_HOP = 2**62  # samples
_MAX_THREADS = 1000

_EPILOG = f"""\
One JSON object a line goes to standard output.

Sound: WAV, FLAC or OGG of any rate, depth and number of channels. A line a file: file, label, probabilities, windows,
milliseconds and decode_milliseconds (the part of them that decoding took).

ECG, where the model takes beats: a WFDB record (its .hea, .dat or bare name; one segment, format 16 or 212), or a table
({", ".join(ecg_files.TABLES)}) with a column a lead. The first line of a table names its columns, unless there is but
one; a column `time` (seconds) or `milliseconds` tells the rate, or else --sample-rate does. A line a file: file, label
(of most beats), counts (beats by label), beats (time of the R peak in seconds, label, probabilities), lead,
milliseconds and decode_milliseconds. R peaks are found in the whole record.

--stream: sound, a line a window: start and end in seconds, label, probabilities; written as soon as the window is
whole. The last window is flush with the end if half a window or more is left, and what is less gets none; a stream
shorter than one window is one with zeros behind. WAV and RF64 may be of unknown length. A recording that does not end
is safest raw, because arecord begins another WAV, header and all, after 2 GiB:
arecord -f S16_LE -r 4000 -t raw | python -m hsjax.predict MODEL --stream - --raw s16le --sample-rate 4000
A last line `error` tells that the stream broke.

What fails has a line with file and error, and the files behind it are still done. To take longer than --timeout, which
a model with an endless loop does, is to fail; it holds for a file, for a window of a stream, and for loading the model.
The exit code is 0 if all went well, {_FAILED_FILES} if a file or a stream failed, {_BAD_MODEL} if the model cannot
be used, or not with these flags, and {_SIGNALLED} and its number if a signal ended it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a JSON object for each file or window, and returns the exit code."""
    flags = _flags(arguments)
    try:
        with _terminated_by_signal(), isolated.Isolated(seconds=flags.timeout) as apart:
            return _run(apart, flags)
    except KeyboardInterrupt:
        return _SIGNALLED + signal.SIGINT
    except BrokenPipeError:
        # Whoever read this has gone: what is still in the buffer would be complained about at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGNALLED + signal.SIGPIPE


def _run(apart: isolated.Isolated, flags: argparse.Namespace) -> int:
    try:
        described = asking.ask(apart, f"loaded {flags.model}", calls.load, flags.model, flags.threads)
        _require_ecg(described, flags)
        hop = _hop(described, flags)
    except UserError as error:
        print(error, file=sys.stderr)
        return _BAD_MODEL
    if flags.stream:
        return _FAILED_FILES if _stream(apart, flags, described, hop) else 0
    failed = False
    reading = Reading(flags.lead, flags.sample_rate)
    for file in flags.files:
        doing = f"ran {flags.model} on {file}"
        try:
            if described.beats:
                found = asking.ask(apart, doing, calls.of_record, flags.model, flags.threads, file, reading)
            else:
                found = asking.ask(apart, doing, calls.of_file, flags.model, flags.threads, file)
            line = {"file": str(file), **dataclasses.asdict(found)}
        except UserError as error:
            line = {"file": str(file), "error": str(error)}
            failed = True
        print(json.dumps(line), flush=True)
    return _FAILED_FILES if failed else 0


def _stream(apart: isolated.Isolated, flags: argparse.Namespace, described: Sidecar, hop: int) -> bool:
    """Prints the events of a stream; whether it broke."""
    doing = f"ran {flags.model} on {flags.stream}"
    try:
        pieces = stream.resampled(_blocks(flags), described.sample_rate)
        for window in stream.windows(pieces, described.window, hop):
            found = asking.ask(apart, doing, calls.of_window, flags.model, flags.threads, window)
            print(json.dumps(dataclasses.asdict(found)), flush=True)
    except UserError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return True
    return False


def _blocks(flags: argparse.Namespace) -> Iterator[tuple[int, Float[np.ndarray, " _"]]]:
    """The samples of a stream: what a pipe brings, or of a file, which may be of any kind."""
    raw = pipe.Raw(pipe.Encoding(flags.raw), flags.sample_rate, flags.channels) if flags.raw else None
    if flags.stream == _STANDARD_INPUT:
        yield from pipe.blocks(sys.stdin.buffer, raw)
        return
    file = _opened(flags.stream)
    with file:
        if raw or not flags.stream.is_file() or _begins(file) in _WAV:
            yield from pipe.blocks(file, raw)
            return
    yield from audio.stream(flags.stream)


def _opened(path: pathlib.Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be opened: {error.strerror}") from error


def _begins(file: BinaryIO) -> bytes:
    beginning = file.read(len(_WAV[0]))
    file.seek(0)
    return beginning


def _require_ecg(described: Sidecar, flags: argparse.Namespace) -> None:
    """Flags that are for ECGs alone are not passed over in silence."""
    if described.beats is None and flags.lead is not None:
        raise UserError(f"{flags.model} takes sound, which has no leads: leave out --lead")
    if described.beats is None and flags.sample_rate is not None and not flags.stream:
        raise UserError(f"{flags.model} takes sound, and its files say their rates themselves: leave out --sample-rate")


def _hop(described: Sidecar, flags: argparse.Namespace) -> int:
    """Samples between two windows of a stream."""
    if flags.stream and described.beats:
        raise UserError(
            f"{flags.model} takes beats of an ECG, and R peaks are found in whole records: give them as files, not as "
            "a stream"
        )
    if flags.stream and described.whole:
        raise UserError(
            f"{flags.model} takes whole recordings (their level is normalised, or only their beginning is looked at): "
            "give them as files, not as a stream"
        )
    if flags.hop is None:
        return described.hop
    hop = flags.hop * described.sample_rate
    if not 0.5 < hop < _LONGEST_HOP:
        least = f"{1 / described.sample_rate:g}"
        raise UserError(
            f"--hop {flags.hop:g} is less than a sample at {described.sample_rate} Hz, or without end: give seconds "
            f"from {least} on"
        )
    return round(hop)


@contextlib.contextmanager
def _terminated_by_signal() -> Iterator[None]:
    """Has SIGTERM end this process as an exception does, so that the other process ends with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    here = os.getpid()

    def end(number: int, _: object) -> NoReturn:
        if os.getpid() != here:  # a copy, which has nothing to clean up
            os._exit(_SIGNALLED + number)
        raise SystemExit(_SIGNALLED + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hsjax.predict",
        description="Classifies recordings with an exported model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=pathlib.Path, help=".tflite or .onnx file with its .json beside it")
    add("files", type=pathlib.Path, nargs="*", metavar="file", help="recordings: sounds or ECGs, as the model takes")
    add("--threads", type=int, default=1, help="threads the model may use (default: %(default)s)")
    add(
        "--timeout", type=float, metavar="SECONDS", default=asking.SECONDS,
        help="that a file, or a window of a stream, may take (default: %(default)g)",
    )  # fmt: skip
    add("--lead", help="of an ECG (default: the one that the model was trained on)")
    add("--sample-rate", type=int, metavar="HZ", help="of a table without times, or of raw samples")
    add("--stream", type=pathlib.Path, metavar="FILE", help="a file of any length, or - for standard input")
    add("--hop", type=float, metavar="SECONDS", help="between two windows of a stream (default: the model's)")
    add("--raw", choices=[str(one) for one in pipe.Encoding], help="the stream has no header and is encoded so")
    add("--channels", type=int, default=1, help="of raw samples (default: %(default)s)")
    flags = parser.parse_intermixed_args(arguments)  # flags may stand between the model and its files
    problem = _problem(flags)
    if problem:
        parser.error(problem)
    return flags


def _problem(flags: argparse.Namespace) -> str | None:
    if not 1 <= flags.threads <= _MAX_THREADS:
        return f"--threads has to be at least 1 and at most {_MAX_THREADS}"
    if not 0 < flags.timeout <= asking.MAX_SECONDS:
        return f"--timeout has to be above 0 and at most {asking.MAX_SECONDS:g} seconds"
    if bool(flags.files) == bool(flags.stream):
        return "give files, or one --stream"
    if (flags.raw or flags.hop is not None) and not flags.stream:
        return "--raw and --hop belong to --stream"
    if flags.raw and flags.sample_rate is None:
        return "--raw needs --sample-rate: nothing else says it"
    if flags.sample_rate is not None and not 1 <= flags.sample_rate <= audio.MAX_RATE:
        return f"--sample-rate has to be from 1 to {audio.MAX_RATE}"
    if flags.stream and not flags.raw and flags.sample_rate is not None:
        return "--sample-rate belongs to --raw, or to tables: a stream with a header says its rate itself"
    if not 1 <= flags.channels <= pipe.MAX_CHANNELS or (flags.channels > 1 and not flags.raw):
        return f"--channels has to be from 1 to {pipe.MAX_CHANNELS}, and belongs to --raw"
    if flags.hop is not None and not 0 < flags.hop < float("inf"):
        return "--hop has to be positive"
    return None
