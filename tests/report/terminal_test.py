"""What a run says, read from a terminal of 80 columns and from a pipe, each with a process at its end."""

import os
import pathlib
import pty
import re
import subprocess
import sys
import termios

ROOT = pathlib.Path(__file__).parents[2]
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NAMES = ("student", "pruned-clustered-int8-learned-kd", "grid@T=7,alpha=0.1")
TABLE = f"""
from hsjax.report import terminal
figures = ("0.887 .80-.96", "0.951 .90-.99")
lines = [("stage", "file", "MAcc", "AUROC")]
lines += [(name, "onnx-int8-static-features", *figures) for name in {NAMES}]
terminal.table(lines, "physionet2016, protocol leave-one-subset-out, per test recording, n = 2,820 of 1,044 groups")
terminal.note("a note" + 20 * " that is long")
"""
BAR = """
import sys
from hsjax import progress
with progress.bar("leave-one-subset-out, seed 0, fold training-a: student", 12345) as advance:
    advance(12345)
"""


def environment() -> dict[str, str]:
    """Without what tells rich of another terminal than the one at hand."""
    told = ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR")
    return {name: value for name, value in os.environ.items() if name not in told} | {"TERM": "xterm"}


def piped(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, env=environment(), timeout=600
    )
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode()


def shown(program: str, columns: int = 80) -> str:
    """What reaches a terminal."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=its, stderr=its, env=environment())
    os.close(its)
    found = b""
    while True:
        try:
            some = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not some:
            break
        found += some
    os.close(ours)
    assert process.wait(timeout=600) == 0, found
    return found.decode()


def rows(text: str) -> list[str]:
    """Lines as they are seen, without what only styles them."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", STYLE.sub("", text))]


def test_a_piped_table_has_a_line_for_each_row_and_nothing_but_text():
    text = piped(TABLE)
    assert not [character for character in text if ord(character) < 32 and character != "\n"]
    lines = text.splitlines()
    for name in NAMES:
        (line,) = [line for line in lines if line.startswith(name)]
        assert line.split() == [name, "onnx-int8-static-features", "0.887", ".80-.96", "0.951", ".90-.99"]
    assert lines[-1] == "a note" + 20 * " that is long"


def test_on_a_terminal_only_the_first_column_gives_way():
    lines = rows(shown(TABLE))
    for figures in ("0.887 .80-.96", "0.951 .90-.99"):
        assert sum(figures in line for line in lines) == len(NAMES)
    table = [line for line in lines if "onnx-int8-static-features" in line]
    assert len(table) == len(NAMES)
    assert max(map(len, table)) <= 80


def test_a_bar_fits_the_terminal_and_says_how_far_it_is():
    lines = rows(shown(BAR))
    assert max(map(len, lines)) <= 80
    (end,) = {line for line in lines if "12345/12345" in line}
    assert re.search(r"^leave-one-subset-out, seed 0, fold.*… .* 12345/12345 0:\d\d:\d\d left 0:00:00$", end)


def test_a_piped_bar_writes_no_control_characters():
    assert piped(BAR) == ""  # done at once: there was nothing to wait for
