"""Samples of WFDB records in formats 16 and 212, in NumPy alone: `predict` reads them on a device without wfdb.

Formats: signal(5) of the WFDB Applications Guide. The strict `wfdb_header` has found before that they are all there.
"""

import pathlib

import numpy as np
from jaxtyping import Int16, UInt8

from hsjax.data.readers import wfdb_header
from hsjax.data.readers.wfdb_header import Header, UnreadableRecord


def digital(path: pathlib.Path) -> tuple[Header, Int16[np.ndarray, "time leads"]]:
    """Reads all leads as the converter gave them.

    Args:
      path: the `.hea` file, with the `.dat` of the same name beside it.

    Raises:
      UnreadableRecord: as `wfdb_header.read`, or a lead does not have its header's checksum.
    """
    header = wfdb_header.read(path)
    data = path.with_suffix(".dat")
    try:
        content = np.fromfile(data, np.uint8)
    except OSError as error:
        raise UnreadableRecord(data, f"cannot be opened: {error.strerror}") from error
    count = header.num_samples * len(header.signals)
    flat = content[: 2 * count].view("<i2") if header.format == "16" else _format_212(content, count)
    samples = flat.astype(np.int16, copy=False).reshape(header.num_samples, len(header.signals))
    for signal, total in zip(header.signals, samples.sum(axis=0, dtype=np.int64).tolist(), strict=True):
        if total % 2**16 != signal.checksum:
            raise UnreadableRecord(data, f"damaged: {signal.name} has another checksum in its header")
    return header, samples


def _format_212(content: UInt8[np.ndarray, " bytes"], count: int) -> Int16[np.ndarray, " samples"]:
    """Two samples of 12 bits in three bytes: low bytes outside, and between them the high four bits of both."""
    pairs = -(-count // 2)
    whole = np.pad(content[: 3 * pairs], (0, max(0, 3 * pairs - len(content)))).reshape(-1, 3).astype(np.int16)
    first, both, second = whole.T
    values = np.stack([first | (both & 0x0F) << 8, second | (both & 0xF0) << 4], axis=1).ravel()[:count]
    return (values ^ 0x800) - np.int16(0x800)  # the sign is in bit 11
