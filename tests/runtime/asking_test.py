import operator
import os
import signal
import time

import pytest

from hsjax.runtime import asking
from hsjax.runtime.isolated import Isolated, Start
from hsjax.types import UserError

pytestmark = pytest.mark.filterwarnings("ignore:os.fork")  # the threads of libraries that other tests have imported


def test_whatever_goes_wrong_is_told_and_the_next_is_asked():
    with Isolated(Start.FORK, seconds=1.0) as apart:
        assert asking.ask(apart, "added", operator.add, 1, 2) == 3
        with pytest.raises(UserError, match=r"^the process that ran m.onnx on a.wav was killed by SIGTERM: a file of"):
            asking.ask(apart, "ran m.onnx on a.wav", signal.raise_signal, signal.SIGTERM)
        with pytest.raises(UserError, match=r"ended with exit code 3: a file of these is damaged"):
            asking.ask(apart, "ran m.onnx on a.wav", os._exit, 3)
        with pytest.raises(UserError, match=r"ran m.onnx gave no answer within 1 s: allow more with --timeout"):
            asking.ask(apart, "ran m.onnx", time.sleep, 60)
        with pytest.raises(asking.Unforeseen, match=r"ran m.onnx met with ZeroDivisionError \(division by zero\)"):
            asking.ask(apart, "ran m.onnx", operator.truediv, 1, 0)
        assert asking.ask(apart, "added", operator.add, 1, 2) == 3
