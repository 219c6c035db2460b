import os
import subprocess
import sys

import pytest

from hsjax.runtime import quiet


def test_holds_native_output_back(capfd):
    with quiet.native_stderr():
        os.write(2, b"chatter")
    os.write(2, b"word")
    assert capfd.readouterr().err == "word"


def test_shows_it_if_the_body_fails(capfd):
    @quiet.native_stderr()
    def fails():
        os.write(2, b"reason")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert capfd.readouterr().err == "reason"


def test_does_without_a_standard_error():
    code = "from hsjax.runtime import quiet\nwith quiet.native_stderr(): pass\nprint('done')"
    child = subprocess.run(["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code], capture_output=True, check=False)
    assert child.stdout == b"done\n"
