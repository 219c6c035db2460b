"""Which files no run may use, and why: inspection of their content, and the report."""

import concurrent.futures
import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterable

from hsjax.data import audio
from hsjax.types import Dataset

COLUMNS = ("id", "path", "reason")

_CACHE = "inspected.json"
_RULES = 1  # increase when `inspect` judges differently: older caches are then forgotten


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What decoding a file from beginning to end has shown.

    Attributes:
      sample_rate: Hz, 0 where the file is unreadable.
      num_samples: per channel, 0 where the file is unreadable.
      reason: why no run may use the file; None for a sound one.
    """

    sample_rate: int
    num_samples: int
    reason: str | None


def inspect(path: pathlib.Path) -> Inspection:
    """Decodes a file and judges its content: readable to the end, finite, neither silent nor constant."""
    try:
        samples, sample_rate = audio.decode(path)
    except audio.UnreadableAudio as error:
        return Inspection(0, 0, error.reason)
    low, high = samples.min(), samples.max()
    reason = None
    if low == high:
        reason = "silent: every sample is 0" if low == 0 else f"constant: every sample is {low:g}"
    return Inspection(sample_rate, len(samples), reason)


def inspect_all(paths: Iterable[pathlib.Path], cache_dir: pathlib.Path | None = None) -> dict[pathlib.Path, Inspection]:
    """Inspects files in parallel threads (decoding releases the GIL).

    Args:
      paths: files.
      cache_dir: where findings are kept between runs; a file is inspected again when its size or time of
        modification has changed. None inspects every file every time.
    """
    known = _load_cache(cache_dir)
    keys = {path: _key(path) for path in paths}
    kept = {path: known[key] for path, key in keys.items() if key in known}
    new = [path for path in keys if path not in kept]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(new, pool.map(inspect, new), strict=True))
    if cache_dir is not None and found:
        known |= {key: found[path] for path, key in keys.items() if path in found and key is not None}
        _save_cache(cache_dir, known)
    return kept | found


def write(dataset: Dataset, path: pathlib.Path) -> None:
    """Writes the quarantined files of a dataset as CSV, whole or not at all."""
    _write_whole(path, table(dataset))


def table(dataset: Dataset) -> str:
    """The quarantined files of a dataset as CSV with the header `COLUMNS`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((item.id, item.path, item.reason) for item in dataset.quarantined)
    return text.getvalue()


def _write_whole(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _key(path: pathlib.Path) -> str | None:
    try:
        stat = path.stat()
    except OSError:
        return None  # a dangling link, say: not worth remembering
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


def _load_cache(cache_dir: pathlib.Path | None) -> dict[str, Inspection]:
    if cache_dir is None or not (cache_dir / _CACHE).is_file():
        return {}
    try:
        content = json.loads((cache_dir / _CACHE).read_text(encoding="utf-8"))
        if content["rules"] != _RULES:
            return {}
        return {key: Inspection(*fields) for key, fields in content["files"].items()}
    except (ValueError, KeyError, TypeError):
        return {}  # damaged: it holds nothing that decoding the files again does not give


def _save_cache(cache_dir: pathlib.Path, known: dict[str, Inspection]) -> None:
    files = {key: dataclasses.astuple(inspection) for key, inspection in known.items()}
    _write_whole(cache_dir / _CACHE, json.dumps({"rules": _RULES, "files": files}))
