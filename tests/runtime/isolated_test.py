import os
import signal
import subprocess
import sys
import time

import pytest

from hsjax.runtime.isolated import Died, Isolated, Start
from hsjax.types import UserError

pytestmark = pytest.mark.filterwarnings("ignore:os.fork")  # the threads of libraries that other tests have imported

# Functions of a module that both processes can import: a fresh one knows nothing of pytest's way to import tests.
FUNCTIONS = """
import functools
import os
import signal
import time

from hsjax.types import UserError

def shout(text):
    print("this is no answer", flush=True)
    return text.upper()

def die(number):
    os.kill(os.getpid(), number)

def leave():
    os._exit(3)

def refuse():
    raise UserError("mend it")

def err():
    return {}["absent"]

def claim():
    return bytearray(2**60)

def sleep():
    time.sleep(60)

@functools.cache
def process():
    return os.getpid()
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "functions_of_a_test.py").write_text(FUNCTIONS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("functions_of_a_test", None)
    import functions_of_a_test

    return functions_of_a_test


@pytest.fixture(params=list(Start), ids=lambda start: start.value)
def apart(request):
    with Isolated(request.param, seconds=30.0) as apart:
        yield apart


def test_what_is_called_elsewhere_is_as_if_it_were_called_here(apart, functions):
    assert apart.call(functions.shout, text="abc") == "ABC"
    assert apart.call(functions.process) != os.getpid()
    assert apart.call(functions.process) == apart.call(functions.process)  # one process, which keeps what it has
    with pytest.raises(UserError, match=r"^mend it$"):
        apart.call(functions.refuse)
    with pytest.raises(KeyError, match="absent") as error:
        apart.call(functions.err)
    assert "in err" in error.value.__notes__[0]  # where it happened, over there
    with pytest.raises(UserError, match="not enough memory"):
        apart.call(functions.claim)


@pytest.mark.parametrize(
    ("name", "arguments", "how"),
    [
        ("die", (signal.SIGKILL,), "was killed by SIGKILL"),
        ("die", (signal.SIGTERM,), "was killed by SIGTERM"),
        ("leave", (), "ended with exit code 3"),
    ],
)
def test_a_death_is_an_error_and_the_next_call_has_a_new_process(apart, functions, name, arguments, how):
    before = apart.call(functions.process)
    with pytest.raises(Died) as error:
        apart.call(getattr(functions, name), *arguments)
    assert error.value.how == how
    assert apart.call(functions.process) != before


def test_silence_is_a_death(functions):
    with Isolated(Start.FORK, seconds=1.0) as apart:
        process = apart.call(functions.process)
        with pytest.raises(Died, match="gave no answer within 1 s"):
            apart.call(functions.sleep)
        assert gone(process)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_end_ends_the_other_process(apart, functions):
    process = apart.call(functions.process)
    assert not gone(process)
    apart.close()
    assert gone(process)


@pytest.mark.parametrize("start", list(Start))
def test_the_other_process_does_not_outlive_this_one(functions, start):
    program = f"""
import functions_of_a_test, os, signal
from hsjax.runtime.isolated import Isolated, Start
apart = Isolated(Start({start.value!r}))
print(apart.call(functions_of_a_test.process), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    deadline = time.monotonic() + 10
    while not gone(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(int(done.stdout))


def test_a_copy_writes_nothing_twice(functions, capfd):
    # What is still in a buffer when the copy is made would be written by both.
    sys.stdout.write("once")
    with Isolated(Start.FORK) as apart:
        apart.call(functions.process)
    sys.stdout.flush()
    assert capfd.readouterr().out == "once"


def test_the_quickest_way_is_a_copy_unless_there_are_threads():
    program = """
import sys
from hsjax.runtime.isolated import Start, quickest
assert (quickest() is Start.FORK) == (sys.platform == "linux")
sys.modules["jax"] = sys
assert quickest() is Start.FRESH
"""
    subprocess.run([sys.executable, "-c", program], check=True)
