"""Keeping LiteRT from Intel's AMX tiles, which slow small networks down.

XNNPACK, the library of kernels in LiteRT, gives every int8 convolution to AMX where the processor has it. One AMX step
multiplies a tile of 16 pixels by 64 bytes into 64 channels and costs the same when little of it is used: a first layer
with one input channel fills 1/64 of it. Song's student takes three times as long with AMX tiles as with vector
instructions, twice as long as its own float32 file; the results are the same, bit for bit.

LiteRT has no option for it. But a process must ask the kernel for AMX, and Linux refuses while a thread's alternate
signal stack is too small for the tile registers (Documentation/arch/x86/xstate.rst). XNNPACK asks once, when the first
model is loaded.
"""

import contextlib
import ctypes
import platform
from collections.abc import Iterator

# Large enough for sigaltstack(2) (2048), too small for the 8 KiB of tile registers that come on top of the rest.
_SMALL = 4096

_SYS_ARCH_PRCTL = 158
_ARCH_GET_XCOMP_PERM = 0x1022
_XFEATURE_XTILEDATA = 18


class _SignalStack(ctypes.Structure):
    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _linux_x86() -> bool:
    return platform.system() == "Linux" and platform.machine() == "x86_64"


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """While the body runs, the kernel refuses AMX to whoever asks for the first time; elsewhere it does nothing.

    It is an optimisation and no promise: permission that the process has (another library asked first) stays.
    """
    if not _linux_x86():
        yield
        return
    libc = ctypes.CDLL(None)
    memory = ctypes.create_string_buffer(_SMALL)
    small = _SignalStack(ctypes.addressof(memory), 0, _SMALL)
    before = _SignalStack()
    changed = libc.sigaltstack(ctypes.byref(small), ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if changed:
            libc.sigaltstack(ctypes.byref(before), None)


def permitted() -> bool:
    """Whether this process may use AMX tiles now, because some library has asked for them."""
    if not _linux_x86():
        return False
    permissions = ctypes.c_uint64(0)
    request = (ctypes.c_long(_SYS_ARCH_PRCTL), ctypes.c_long(_ARCH_GET_XCOMP_PERM), ctypes.byref(permissions))
    answered = ctypes.CDLL(None).syscall(*request) == 0
    return answered and bool(permissions.value >> _XFEATURE_XTILEDATA & 1)
