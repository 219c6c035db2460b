"""WFDB headers (`.hea`), read strictly: no claim is believed that the file of samples does not bear out.

Grammar: header(5) of the WFDB Applications Guide, restricted to records of one segment with all signals in one file of
format 16 or 212.
"""

import dataclasses
import math
import pathlib
import re

from hsjax.types import UnreadableFile

MAX_BYTES = 2**16
"""Of a header; those of MIT-BIH have less than 1 KiB."""

MAX_SAMPLES = 2**28
"""Of all signals of a record."""

_BYTES = {"16": 2.0, "212": 1.5}  # of a sample in each format
_MISSING = {"16": -(2**15), "212": -(2**11)}

_RECORD = re.compile(
    r"(?P<name>[-\w]+)[ \t]+(?P<signals>\d+)[ \t]+(?P<rate>\d+(\.\d*)?)[ \t]+(?P<samples>\d+)([ \t].*)?"
)
_SIGNAL = re.compile(
    r"(?P<file>[-\w]+\.\w+)[ \t]+(?P<format>\d+)"
    r"[ \t]+(?P<gain>\d{1,20}(\.\d*)?(e[+-]?\d{1,3})?)(\((?P<baseline>-?\d{1,10})\))?(/(?P<unit>\w+))?"
    r"[ \t]+\d+[ \t]+(?P<zero>-?\d{1,10})[ \t]+-?\d+[ \t]+(?P<checksum>-?\d{1,10})"
    r"[ \t]+\d+[ \t]+(?P<name>\S[^\t]{0,40})"
)


class UnreadableRecord(UnreadableFile):
    """No usable samples or beats can be had from a record."""


@dataclasses.dataclass(frozen=True)
class Signal:
    """One channel.

    Attributes:
      name: of the lead.
      gain: converter steps per millivolt.
      baseline: converter value of 0 mV.
      checksum: sum of all samples modulo 2^16.
    """

    name: str
    gain: float
    baseline: int
    checksum: int


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known of a record without its samples.

    Attributes:
      sample_rate: Hz.
      num_samples: of each signal.
      format: of the samples, 16 or 212.
      missing: value of samples that were not recorded.
      comments: the lines that begin with `#`, without it.
    """

    sample_rate: float
    num_samples: int
    format: str
    missing: int
    signals: tuple[Signal, ...]
    comments: tuple[str, ...]


def read(path: pathlib.Path) -> Header:
    """Reads a header and makes sure that the samples it promises are there.

    Args:
      path: the `.hea` file, with the `.dat` of the same name beside it.

    Raises:
      UnreadableRecord: there is no header or no file of samples, the header says what no record can be, or it claims
        another number of samples than the file holds.
    """
    lines, comments = _lines(path)
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None or record["name"] != path.stem:
        raise UnreadableRecord(path, f"its header does not begin with a record line of {path.stem}")
    # Numbers are compared as text or as Python's integers, so that huge ones overflow nothing.
    if len(lines) == 1 or record["signals"].lstrip("0") != str(len(lines) - 1):
        claimed = _shown(record["signals"])
        raise UnreadableRecord(path, f"its header claims {claimed} signals and has {len(lines) - 1} lines")
    fields = [_signal_line(path, index, line) for index, line in enumerate(lines[1:], 1)]
    signals = tuple(_signal(path, line) for line in fields)
    formats = {line["format"] for line in fields}
    if len(formats) > 1 or not formats <= _BYTES.keys():
        raise UnreadableRecord(
            path, f"its samples are in format {_shown(' and '.join(sorted(formats)))}, not 212 or 16"
        )
    data = path.with_suffix(".dat")
    if any(line["file"] != data.name for line in fields):
        raise UnreadableRecord(path, f"its header names another file of samples than {data.name}")
    (kind,) = formats
    num_samples = _num_samples(path, record["samples"], len(signals), _BYTES[kind])
    rate = float(record["rate"])
    if not 0 < rate < math.inf:
        raise UnreadableRecord(path, f"its header claims a sample rate of {_shown(record['rate'])} Hz")
    return Header(rate, num_samples, kind, _MISSING[kind], signals, comments)


def _lines(path: pathlib.Path) -> tuple[list[str], tuple[str, ...]]:
    """The lines that say something, and the comments."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableRecord(path, f"its header has {size} bytes, more than {MAX_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableRecord(path, f"cannot be opened: {error.strerror}") from error
    # wfdb drops what is not ASCII and other readers do not: then they see different headers, which no sound one allows.
    lines = [line.strip(b" \t") for line in re.split(rb"\r\n|\r|\n", content)]
    said = [line for line in lines if line and not line.startswith(b"#")]
    if any(not line.isascii() or any(byte < 32 and byte != 9 for byte in line) for line in said):
        raise UnreadableRecord(path, "its header is not text")
    comments = (line[1:].strip() for line in lines if line.startswith(b"#"))
    return [line.decode("ascii") for line in said], tuple(line.decode("ascii", "replace") for line in comments)


def _signal_line(path: pathlib.Path, index: int, line: str) -> re.Match[str]:
    fields = _SIGNAL.fullmatch(line)
    if fields is None:
        raise UnreadableRecord(path, f"line {index} of the signals in its header is damaged")
    return fields


def _signal(path: pathlib.Path, line: re.Match[str]) -> Signal:
    gain, baseline = float(line["gain"]), int(line["baseline"] or line["zero"])
    if not 0 < gain < 1e9 or abs(baseline) >= 2**31:
        raise UnreadableRecord(path, f"its header claims a gain of {gain:g} and a baseline of {baseline:.3g}")
    if line["unit"] not in (None, "mV"):
        raise UnreadableRecord(path, f"its header claims the unit {_shown(line['unit'])}, not mV")
    return Signal(line["name"].strip(), gain, baseline, int(line["checksum"]) % 2**16)


def _num_samples(path: pathlib.Path, claim: str, num_signals: int, sample_bytes: float) -> int:
    """The length of each signal, which the size of the file of samples must bear out."""
    data = path.with_suffix(".dat")
    claim = claim.lstrip("0")
    if not claim:
        raise UnreadableRecord(path, "its header claims no samples")
    if len(claim) > len(str(MAX_SAMPLES)) or int(claim) * num_signals > MAX_SAMPLES:
        raise UnreadableRecord(path, f"too long or damaged: its header claims {_shown(claim)} samples per signal")
    try:
        if not data.is_file():
            raise UnreadableRecord(data, "is not a file" if data.exists() else "does not exist")
        size = data.stat().st_size
    except OSError as error:
        raise UnreadableRecord(data, f"cannot be opened: {error.strerror}") from error
    want = int(claim) * num_signals * sample_bytes
    if size < want:
        raise UnreadableRecord(data, f"truncated: {math.ceil(want) - size} bytes fewer than its header claims")
    # The last pair of samples of format 212 may be half empty.
    if size > math.ceil(want) + 1:
        raise UnreadableRecord(data, f"holds {size - math.ceil(want)} bytes more than its header claims")
    return int(claim)


def _shown(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:20]}..."
