"""Memory of this process, as Linux tells it."""

import pathlib

_STATUS = pathlib.Path("/proc/self/status")


def peak() -> int | None:
    """Peak resident memory, bytes; None where the system has no /proc."""
    return _status("VmHWM")


def reset_peak() -> int | None:
    """Forgets the peak so far (proc(5), clear_refs) and returns the resident memory it starts from, bytes.

    None where the system has no such file: nothing is known then.
    """
    if _status("VmRSS") is None:
        return None
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # in some sandboxes
        return None
    return _status("VmHWM")


def _status(key: str) -> int | None:
    """Bytes of a line of the process's status, None where there is none."""
    if not _STATUS.is_file():
        return None
    lines = [line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:")]
    return 1024 * int(lines[0].split()[1]) if lines else None
