"""Calls in a process of their own, whose end is an error here and not the end of everything.

The runtimes verify the form of a model file, but what its graph says can still crash them: a file of unknown origin is
run apart. That is no sandbox, what runs there has the rights of this user.
"""

import contextlib
import enum
import os
import pickle
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import IO, Any, NamedTuple, NoReturn, ParamSpec, TypeVar

from hsjax.types import UserError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Start(enum.Enum):
    """How the other process begins.

    FORK: as a copy of this one, within milliseconds; only where no other threads are at work, whose locks would never
      open in the copy.
    FRESH: as a new interpreter.
    """

    FORK = "fork"
    FRESH = "fresh"


def quickest() -> Start:
    """FORK where it does no harm: JAX and TensorFlow have threads, and so have the libraries of other systems."""
    threads = sys.platform != "linux" or "jax" in sys.modules or "tensorflow" in sys.modules
    return Start.FRESH if threads else Start.FORK


class Died(UserError):  # noqa: N818, what has died is not this program
    """The other process ended, or was silent for too long, before it answered.

    Attributes:
      how: in words, `was killed by SIGSEGV`.
    """

    def __init__(self, how: str):
        super().__init__(f"the process that was to do it {how}")
        self.how = how


class Late(Died):
    """The other process was silent for too long, and was ended."""


class Isolated:
    """Another process, which calls functions for this one; a new one takes its place when it has died.

    Not for use by two threads at once. A context manager: its end ends the process.
    """

    def __init__(self, start: Start | None = None, seconds: float | None = None):
        """Nothing starts before the first call.

        Args:
          start: how the process begins; None for the quickest way.
          seconds: that one call may take; None for any time.
        """
        self._start, self._seconds = start or quickest(), seconds
        self._other: _Other | None = None

    def call(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """The result of a function, called in the other process.

        Args:
          function: of a module; it, its arguments and its result are pickled. What it keeps (a cache) is there at the
            next call, unless the process has died meanwhile.
          *args: of the function.
          **kwargs: of the function.

        Raises:
          Died: the process did not survive it.
          Late: it did not answer in time.
          Exception: what the function raises.
        """
        other = self._other = self._other or (_forked() if self._start is Start.FORK else _fresh())
        try:
            pickle.dump((function, args, kwargs), other.requests)
            other.requests.flush()
            if self._seconds is not None and not select.select([other.answers], [], [], self._seconds)[0]:
                self.close()
                raise Late(f"gave no answer within {self._seconds:g} s")
            succeeded, outcome = pickle.load(other.answers)
        except (EOFError, ConnectionError, pickle.UnpicklingError) as error:
            self._other = None
            raise Died(_words(other.ended())) from error
        if not succeeded:
            raise outcome
        return outcome

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        if self._other is not None:
            self._other.ended()
            self._other = None

    def __enter__(self) -> "Isolated":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _words(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class _Other(NamedTuple):
    """The other process as this one sees it.

    Attributes:
      requests: to it.
      answers: from it.
      end: ends it where it has not ended by itself; its exit code, or minus the signal that killed it.
    """

    requests: IO[bytes]
    answers: IO[bytes]
    end: Callable[[], int]

    def ended(self) -> int:
        """What `end` gives, once there is nothing left to say."""
        with contextlib.suppress(ConnectionError):  # what is still in the buffer has nobody to go to
            self.requests.close()
        self.answers.close()
        return self.end()


def _forked() -> _Other:
    """A copy of this process."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # or the copy would write it once more
    there, requests = os.pipe()
    answers, back = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(requests)
        os.close(answers)
        _be_the_copy(there, back)
    os.close(there)
    os.close(back)

    def end() -> int:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    return _Other(os.fdopen(requests, "wb"), os.fdopen(answers, "rb"), end)


def _be_the_copy(there: int, back: int) -> NoReturn:
    code = 1
    try:
        with os.fdopen(there, "rb") as received, os.fdopen(back, "wb") as sent:
            _serve(received, sent)
        code = 0
    except BaseException:  # whatever it is, it must not go on as if this were the process it is a copy of
        traceback.print_exc()
    os._exit(code)  # what the copy has inherited is not its to clean up


def _fresh() -> _Other:
    """A new interpreter."""
    program = "from hsjax.runtime import isolated; isolated.main()"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None

    def end() -> int:
        if process.poll() is None:
            process.kill()
        return process.wait()

    return _Other(process.stdin, process.stdout, end)


def main() -> None:
    """The other process, when it is a fresh one: requests come on standard input, answers go to standard output."""
    received, sent = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anybody prints is no answer
    _serve(received, sent)


def _serve(received: IO[bytes], sent: IO[bytes]) -> None:
    """Answers requests until there are no more."""
    while True:
        try:
            function, args, kwargs = pickle.load(received)
        except (EOFError, KeyboardInterrupt):
            return
        answer: tuple[bool, Any]
        try:
            answer = (True, function(*args, **kwargs))
        except KeyboardInterrupt:
            return
        except UserError as error:
            answer = (False, error)
        except MemoryError:
            answer = (False, UserError("there is not enough memory for it"))
        except Exception as error:  # it is raised where the call came from
            error.add_note(f"in another process: {traceback.format_exc()}")
            answer = (False, error)
        pickle.dump(answer, sent)
        sent.flush()
