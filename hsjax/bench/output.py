"""A profile as a record for machines and as tables to read."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from hsjax.bench.profile import Profile


def record(profile: Profile) -> dict[str, Any]:
    """What becomes one JSON object; on top the first measurement."""
    return dataclasses.asdict(profile.measurements[0]) | {
        "zipped_bytes": profile.zipped_bytes,
        "measurements": [dataclasses.asdict(measurement) for measurement in profile.measurements],
        "macs": profile.count.total,
        "layers": [dataclasses.asdict(layer) for layer in profile.count.layers],
        "not_counted": profile.count.not_counted,
        "arena": dataclasses.asdict(profile.arena) if profile.arena else None,
        "no_arena": profile.no_arena,
        "seconds": profile.seconds,
        "tiers": [dataclasses.asdict(fit) for fit in profile.fits],
    }


def table(profile: Profile) -> str:
    """Several tables one below the other."""
    first = profile.measurements[0]
    lines = [
        f"{profile.model}: {profile.bytes:,} bytes, zipped {profile.zipped_bytes:,}",
        f"times on {first.processor}, {first.kernels} kernels",
        "",
        *_columns(("batch", "threads", "how", "median", "5 %", "95 %", "runs", "process", "model"), _times(profile)),
        "",
        *_columns(("multiply-accumulates", "operator", "output", "layer"), _layers(profile), left=(1, 2, 3)),
    ]
    if profile.count.not_counted:
        lines.append(f"at least: what {', '.join(profile.count.not_counted)} multiply is not counted")
    if profile.arena:
        arena = profile.arena
        words = f"{arena.total:,} bytes, {arena.activations:,} of them for activations"
    else:
        words = f"none: {profile.no_arena}"
    lines += ["", f"TFLite Micro's arena: {words}", f"devices, with a window every {profile.seconds:g} s:"]
    answers = {True: "fits", False: "does not fit", None: "not known"}
    lines += _columns(("", "", ""), [(fit.tier, answers[fit.fits], fit.reason) for fit in profile.fits], left=(0, 1, 2))
    return "\n".join(lines) + "\n"


def _times(profile: Profile) -> list[tuple[str, ...]]:
    return [
        (
            str(one.batch),
            str(one.threads),
            one.batching,
            *(f"{value:,.0f} us" for value in (one.median_microseconds, one.p5_microseconds, one.p95_microseconds)),
            str(one.runs),
            *("?" if value is None else f"{value / 2**20:.1f} MiB"
              for value in (one.peak_memory_bytes, one.model_memory_bytes)),
        )
        for one in profile.measurements
    ]  # fmt: skip


def _layers(profile: Profile) -> list[tuple[str, ...]]:
    rows = [
        (f"{layer.macs:,}", layer.operator, "x".join(map(str, layer.shape)), _short(layer.name))
        for layer in profile.count.layers
    ]
    return [*rows, (f"{profile.count.total:,}", "all", "", "")]


def _short(name: str) -> str:
    """The module in a name like `max;SongStudent/conv1/conv_general_dilated`."""
    return max(name.split(";"), key=lambda part: part.count("/"))


def _columns(titles: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (2,)) -> list[str]:
    """Lines of cells one below the other, all but the columns `left` to the right."""
    lines = [titles, *rows] if any(titles) else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
