"""In a process of its own: the setting is for the whole process."""

import platform
import subprocess
import sys

import pytest

_PAGE_FAULTS = """
import resource, sys
import numpy as np
from hsjax.train import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(50):
    np.ones(2**22)  # 32 MiB, above the default threshold
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting exists in glibc alone")
def test_large_blocks_are_not_cleared_again_and_again():
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", _PAGE_FAULTS, mode], capture_output=True, check=True).stdout)
        for mode in ("default", "keep")
    }
    # 49 blocks of 8192 pages are saved (fewer, larger pages where the kernel gives such)
    assert faults["keep"] < faults["default"]
