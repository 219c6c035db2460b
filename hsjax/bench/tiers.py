"""Kinds of devices, and whether a file fits them by memory and by multiply-accumulates.

A device has to hear as fast as it is told: the network's products for one window have to be done before the next one is
there. What a processor can do is an order of magnitude (the sources say how it was found), never a time that was
measured on that device; filters and features that are not in the file are not in it either.
"""

import dataclasses
import enum

_KIB, _MIB = 2**10, 2**20


class Memory(enum.Enum):
    """What of a file's memory a device has to hold.

    MODEL: what loading and running it adds to a process, runtime and Python apart: as an app that is compiled takes it.
    PROCESS: the whole process, Python, NumPy and runtime included.
    ARENA: TFLite Micro's arena.
    """

    MODEL = "model"
    PROCESS = "process"
    ARENA = "arena"


@dataclasses.dataclass(frozen=True)
class Tier:
    """A kind of device.

    Attributes:
      name: in a word or two.
      memory_bytes: it has at most (or, where it starts from a number, at least) so much.
      memory: what has to fit into that.
      flash_bytes: for the file, where that is another memory; None where it is a disk.
      macs_per_second: multiply-accumulates that it does, one being two operations.
      source: of each number.
    """

    name: str
    memory_bytes: int
    memory: Memory
    flash_bytes: int | None
    macs_per_second: float
    source: str


TIERS = (
    Tier(
        "ultra-low resource", 20 * _MIB, Memory.MODEL, None, 0.5e12,
        "Mahapatra 2025, 5.6.1: below 20 MB RAM and 1 TOPS (an upper bound: what fits it may be too slow for less)",
    ),
    Tier("mobile", 50 * _MIB, Memory.MODEL, None, 2.5e12, "Mahapatra 2025, 5.6.2: above 50 MB RAM and 5 TOPS"),
    Tier("edge", 100 * _MIB, Memory.MODEL, None, 5e12, "Mahapatra 2025, 5.6.3: above 100 MB RAM and 10 TOPS"),
    Tier(
        "Raspberry Pi Zero", 512 * _MIB, Memory.PROCESS, None, 0.029e9,
        "Birton, 4.1: BCM2835 of one ARMv6 core at 1 GHz, 512 MB; 0.041 GFLOPS at 700 MHz (Wikipedia, Raspberry "
        "Pi, Performance) are 0.029 G multiply-accumulates a second at 1 GHz",
    ),
    Tier(
        "microcontroller", 256 * _KIB, Memory.ARENA, _MIB, 6.4e6,
        "nRF52840 (Nordic, product specification): Cortex-M4 at 64 MHz, 256 KB RAM, 1 MB flash; a tenth of a "
        "multiply-accumulate a cycle is assumed, for kernels that are not tuned to the processor",
    ),
)  # fmt: skip
"""From the paper's three to the smallest; its MB are MiB."""


@dataclasses.dataclass(frozen=True)
class Need:
    """What a file needs.

    Attributes:
      bytes: its size.
      model_memory_bytes: what it adds to a process; None where it is not known.
      peak_memory_bytes: of the process that runs it; None likewise.
      arena_bytes: in TFLite Micro; None where it does not run there.
      no_arena: why not, in words.
      macs: of one example; a lower bound where something was not counted.
      seconds: from one example to the next.
    """

    bytes: int
    model_memory_bytes: int | None
    peak_memory_bytes: int | None
    arena_bytes: int | None
    no_arena: str
    macs: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Fit:
    """Whether a file fits a kind of device.

    Attributes:
      tier: name of it.
      fits: whether it does; None where its memory is not known.
      reason: why not; empty where it fits.
      source: of the device's numbers.
    """

    tier: str
    fits: bool | None
    reason: str
    source: str


def fits(need: Need) -> list[Fit]:
    """Whether a file fits each of `TIERS`."""
    return [_fit(need, tier) for tier in TIERS]


def _fit(need: Need, tier: Tier) -> Fit:
    reasons, unknown = [], False
    memory = {
        Memory.MODEL: need.model_memory_bytes,
        Memory.PROCESS: need.peak_memory_bytes,
        Memory.ARENA: need.arena_bytes,
    }[tier.memory]
    if memory is not None and memory > tier.memory_bytes:
        reasons.append(f"its {tier.memory.value} takes {_size(memory)} of memory, there are {_size(tier.memory_bytes)}")
    elif memory is None and tier.memory is Memory.ARENA:
        reasons.append(need.no_arena)
    elif memory is None:
        unknown = True
    if tier.flash_bytes is not None and need.bytes > tier.flash_bytes:
        reasons.append(f"the file has {_size(need.bytes)}, flash {_size(tier.flash_bytes)}")
    seconds = need.macs / tier.macs_per_second
    if seconds > need.seconds:
        reasons.append(
            f"{need.macs:,} multiply-accumulates take {seconds:.2g} s, the next window is there in {need.seconds:g}"
        )
    if unknown and not reasons:
        return Fit(tier.name, None, "this system does not say how much memory it takes", tier.source)
    return Fit(tier.name, not reasons, "; ".join(reasons), tier.source)


def _size(count: int) -> str:
    return f"{count / _MIB:.3g} MiB" if count >= _MIB else f"{count / _KIB:.3g} KiB"
