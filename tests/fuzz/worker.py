"""Reads mutants, one after the other, within limits of memory, and says of each on one line what became of it."""

import faulthandler
import importlib
import json
import os
import pathlib
import pickle
import random
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from typing import Any

import cases
import mutations
import numpy as np

from hsjax.data import quarantine, screening
from hsjax.types import Dataset, Recording, UserError

ADDRESS_SPACE = 2**31
"""Bytes that a mutant may ask for beyond what the libraries have taken."""

RESIDENT = 2**28
"""Bytes that it may really use."""

_MESSAGE = 2000  # characters


def mutant(case: cases.Case, seed: int, index: int) -> bytes:
    """The same bytes for the same case, seed and index, in any process."""
    return mutations.mutate(case.files[case.target], case.format, random.Random(f"{seed} {index}"))


def choose(by_format: dict[str, list[cases.Case]], index: int) -> cases.Case:
    """Formats take turns, and within one its cases."""
    formats = list(by_format)
    of_format = by_format[formats[index % len(formats)]]
    return of_format[index // len(formats) % len(of_format)]


def judge(case: cases.Case, root: pathlib.Path) -> tuple[str, str]:
    """What a reader makes of a distribution: read, quarantined, refused or failed, and why."""
    module, function = case.reader.split(":")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            try:
                found = getattr(importlib.import_module(module), function)(root, **case.options)
            except UserError as error:
                _check_message(str(error))
                return "refused", str(error)
            if not isinstance(found, Dataset):
                return "read", _check_timings(found)
            for dataset in (found, screening.screen(found, root)):
                quarantine.table(dataset).encode()
            for finding in (*found.quarantined, *found.noted):
                _check_message(finding.reason)
            for recording in (*found.recordings, *found.unlabelled):
                _check_recording(recording, found, root)
            for warning in caught:
                _check_message(str(warning.message))
        except Exception:  # whatever it is, it is a fault of the reader
            return "failed", traceback.format_exc(limit=-6)
    if found.quarantined:
        return "quarantined", found.quarantined[0].reason
    # Heart states that cannot be read are declared unknown.
    told = [str(warning.message) for warning in caught if "its states are unknown" in str(warning.message)]
    return ("quarantined", told[0]) if told else ("read", "")


def _check_message(text: str) -> None:
    text.encode()
    assert text, "no reason is given"
    assert len(text) <= _MESSAGE, f"{len(text)} characters are no sentence: {text[:100]}"


def _check_recording(recording: Recording, dataset: Dataset, root: pathlib.Path) -> None:
    """Whether a recording keeps what `types.Recording` promises."""
    assert recording.path is not None
    assert recording.path.resolve().is_relative_to(root.resolve()), recording.path
    samples = recording.read()
    assert samples.dtype == np.float32
    assert samples.shape == (recording.num_samples,)
    assert np.isfinite(samples).all()
    assert samples.min() < samples.max()
    assert isinstance(recording.sample_rate, int)
    assert recording.sample_rate > 0
    if recording.annotation is not None:
        states = recording.annotation()
        assert states.dtype == np.int8
        assert states.shape == samples.shape
        assert set(np.unique(states).tolist()) <= set(range(5))
    if recording.beats is None:
        assert recording.label in (*dataset.classes, ""), recording.label
        return
    beats = recording.beats()
    assert len(beats.index) == len(beats.symbol) == len(beats.label) > 0
    assert (np.diff(beats.index) > 0).all()
    assert beats.index[0] >= 0
    assert beats.index[-1] < recording.num_samples
    assert set(beats.label.tolist()) <= {*dataset.classes, ""}


def _check_timings(found: Any) -> str:
    for timing in found:
        for marks in (timing.s1, timing.s2):
            assert np.isfinite(marks).all()
            assert (marks >= 0).all()
    return ""


def _peak() -> int:
    """Bytes of memory that this process has used at once; ru_maxrss would count what it was before `exec`, too."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    """Reads mutants `start`, `start + step`, ... below `count`."""
    pickled, seed, start, step, count = sys.argv[1], *map(int, sys.argv[2:])
    by_format = cases.by_format(pickle.loads(pathlib.Path(pickled).read_bytes()))
    faulthandler.enable()
    # One worker is one process: pools for one file take no time, and more address space than the file.
    os.cpu_count = lambda: 2
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-", dir=pathlib.Path(pickled).parent))
    roots: dict[int, pathlib.Path] = {}

    def root_of(case: cases.Case) -> pathlib.Path:
        root = roots.get(id(case))
        if root is None:
            root = roots[id(case)] = folder / str(len(roots))
            cases.write(case, root)
        return root

    for of_format in by_format.values():  # imports all libraries, and shows that what is whole is read
        for case in of_format:
            outcome, detail = judge(case, root_of(case))
            if outcome == "failed" and case.reader.startswith("hsjax"):
                raise SystemExit(f"{case.name} is not read as it is: {detail}")
    taken = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ADDRESS_SPACE, resource.RLIM_INFINITY))
    resident = _peak()
    print(json.dumps({"ready": True}), flush=True)
    for index in range(start, count, step):
        case = choose(by_format, index)
        path = root_of(case) / case.target
        path.write_bytes(mutant(case, seed, index))
        outcome, detail = judge(case, root_of(case))
        used = _peak() - resident
        if outcome != "failed" and used > RESIDENT:
            outcome, detail = "failed", f"{used // 2**20} MiB of memory were used"
        print(json.dumps({"index": index, "outcome": outcome, "detail": detail}), flush=True)
        if used > RESIDENT:
            break  # the next mutants are another process's, or this one's would hide theirs
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
