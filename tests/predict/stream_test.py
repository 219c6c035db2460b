import functools
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from hsjax import predict
from hsjax.data import audio
from hsjax.predict import stream
from tests.predict.toy import HOP, MODELS, RATE, WINDOW, tone


def in_blocks(samples, rate, size):
    return [(rate, samples[start : start + size]) for start in range(0, len(samples), size)]


def streamed(samples, rate, size, to_rate, window, hop):
    return list(stream.windows(stream.resampled(in_blocks(samples, rate, size), to_rate), window, hop))


@pytest.mark.parametrize(
    ("time", "starts", "last_end"),
    [
        (10, [0, 3], 9),  # 4 to 9 fit behind 0 and 3; the one sample left is less than half a window
        (12, [0, 3, 6], 12),
        (14, [0, 3, 6], 12),  # 2 samples left
        (4, [0], 4),  # one window, with zeros behind
        (6, [0], 6),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 100])
def test_windows_by_hand(time, starts, last_end, size):
    samples = np.arange(1, time + 1, dtype=np.float32)
    found = streamed(samples, 8, size, 8, 6, 3)
    assert [one.start for one in found] == starts
    assert found[-1].end == last_end
    for one in found:
        assert one.samples.tolist() == [*range(one.start + 1, one.end + 1), *[0] * (6 - (one.end - one.start))]


def test_half_a_window_that_is_left_has_one_flush_with_the_end():
    found = streamed(np.arange(9, dtype=np.float32), 8, 2, 8, 6, 100)
    assert [(one.start, one.end) for one in found] == [(0, 6), (3, 9)]
    assert [one.start for one in streamed(np.arange(8, dtype=np.float32), 8, 2, 8, 6, 100)] == [0]


def test_a_hop_may_skip_samples():
    assert [one.start for one in streamed(np.arange(40, dtype=np.float32), 8, 7, 8, 4, 15)] == [0, 15, 30, 36]


def test_nothing_is_no_window():
    assert list(stream.windows([], 6, 3)) == []


@pytest.mark.realdata
@pytest.mark.parametrize("part", ["physionet2016", "pascal", "yaseen2018"])
@pytest.mark.parametrize("size", [7, 4096, 10**7])
def test_a_stream_has_the_windows_of_the_file(real_root, part, size):
    """Bit for bit, whatever size blocks come in: soxr does the same arithmetic in either case."""
    path = next(iter(sorted((real_root / part).rglob("*.wav"))))
    samples, rate = audio.decode(path)
    for to_rate in (1000, 2000, 4000):
        want, starts = audio.windows(audio.resample(samples, rate, to_rate), 2 * to_rate, to_rate // 2)
        found = streamed(samples, rate, size, to_rate, 2 * to_rate, to_rate // 2)
        assert [one.start for one in found] == starts.tolist()
        np.testing.assert_array_equal(np.stack([one.samples for one in found]), want)


def run(*arguments, sound=b"", **options):
    done = subprocess.run(
        [sys.executable, "-m", "hsjax.predict", *map(str, arguments)],
        input=sound,
        capture_output=True,
        check=False,
        **options,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def started(command, **options):
    """A process with pipes to it and from it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen(list(map(str, command)), **pipes, **options)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    return child, child.stdin, child.stdout, child.stderr


def wav(samples, rate, subtype="PCM_16", format="WAV"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype=subtype, format=format)
    return file.getvalue()


def test_an_event_a_window(folder):
    sound = np.concatenate([tone(0.5, 4000, 0.1), tone(0.5, 4000, 0.9)])
    (folder / "sound.wav").write_bytes(wav(sound, 4000))
    (folder / "sound.flac").write_bytes(wav(sound, 4000, format="FLAC"))
    code, events, errors = run(folder / MODELS[0], "--stream", "-", sound=wav(sound, 4000))
    assert (code, errors) == (0, "")
    assert [event["start"] for event in events] == pytest.approx(np.arange(0, 0.95, HOP / RATE))
    assert [event["end"] - event["start"] for event in events] == pytest.approx([WINDOW / RATE] * len(events))
    assert [event["label"] for event in events if event["end"] <= 0.5] == ["quiet"] * 9
    assert [event["label"] for event in events if event["start"] >= 0.5] == ["loud"] * 9
    assert events[0].keys() == {"start", "end", "label", "probabilities"}
    raw = np.rint(sound * 32767).astype("<i2").tobytes()
    for arguments, given in (
        (["--stream", folder / "sound.wav"], b""),
        (["--stream", folder / "sound.flac"], b""),
        (["--stream", "-", "--raw", "s16le", "--sample-rate", 4000], raw),
    ):
        code, others, errors = run(folder / MODELS[0], *arguments, sound=given)
        assert (code, errors) == (0, "")
        for one, other in zip(events, others, strict=True):
            assert other["probabilities"]["loud"] == pytest.approx(one["probabilities"]["loud"], abs=1e-3)
    _, few, _ = run(folder / MODELS[0], "--stream", folder / "sound.wav", "--hop", 0.3)
    assert [event["start"] for event in few] == pytest.approx([0, 0.3, 0.6, 0.9])


def test_events_come_while_the_stream_goes_on(folder):
    command = [sys.executable, "-m", "hsjax.predict", folder / MODELS[0], "--stream", "-"]
    command += ["--raw", "f32le", "--sample-rate", str(RATE)]
    child, stdin, stdout, _ = started(command)
    with child:
        sound = tone(0.1, RATE, 0.9).astype("<f4").tobytes()
        stdin.write(sound)
        stdin.flush()
        assert json.loads(stdout.readline())["label"] == "loud"
        assert child.poll() is None
        stdin.close()
        assert child.wait() == 0


def test_a_broken_stream_ends_with_an_error(folder):
    sound = wav(tone(0.5, RATE, 0.9), RATE)
    nan = np.concatenate([tone(0.3, RATE, 0.9), [np.nan], tone(0.3, RATE, 0.9)]).astype("<f4").tobytes()
    raw = ["--raw", "f32le", "--sample-rate", RATE]
    for arguments, given, message, least in (
        ([], sound[:-100], "ends after 900 bytes of sound, its header claims 1000", 7),
        ([], sound[:20], "ends inside of its header", 0),
        ([], b"garbage " * 100, "no header of WAV or RF64: say what raw samples are with --raw", 0),
        ([], b"", "ends inside of its header", 0),
        (raw, b"", "holds no samples", 0),
        (raw, nan, "NaN or infinite", 0),
        (raw, tone(0.5, RATE, 0.9).astype("<f4").tobytes()[:-1], "inside of a sample, which has 4", 0),
        (raw, np.full(500, 1e30, "<f4").tobytes(), "values that are not finite for these samples", 0),
    ):
        code, events, errors = run(folder / MODELS[0], "--stream", "-", *arguments, sound=given)
        assert (code, errors) == (1, "")
        assert events[-1].keys() == {"error"}
        assert message in events[-1]["error"]
        assert len(events) > least
    code, events, _ = run(folder / MODELS[0], "--stream", folder / "missing.wav")
    assert code == 1
    assert "No such file" in events[-1]["error"]


def any_left(group: int) -> bool:
    """Whether a process of a group stays, for five seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_all_it_has_started(folder, number):
    command = [sys.executable, "-m", "hsjax.predict", folder / MODELS[0], "--stream", "-"]
    command += ["--raw", "f32le", "--sample-rate", str(RATE)]
    # A shell's background job would ignore SIGINT, and so would all that it starts.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    child, stdin, stdout, stderr = started(command, start_new_session=True, preexec_fn=heeds)
    with child:
        stdin.write(tone(0.1, RATE, 0.9).astype("<f4").tobytes())
        stdin.flush()
        stdout.readline()
        os.killpg(child.pid, number)
        assert child.wait(20) == 128 + number
        assert stderr.read() == b""
        assert not any_left(child.pid)


def test_who_reads_may_go(folder):
    sound = wav(tone(60, RATE, 0.9), RATE)
    (folder / "sound.wav").write_bytes(sound)
    command = f"{sys.executable} -m hsjax.predict {folder / MODELS[0]} --stream {folder / 'sound.wav'} | head -n 2"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False)
    assert (len(done.stdout.splitlines()), done.stderr, done.returncode) == (2, b"", 128 + signal.SIGPIPE)


def peak_memory(folder, seconds) -> int:
    """Bytes that the command and the process that runs the model need at most, for that much of a stream."""
    program = f"""
import resource, sys
from hsjax import predict
raw = ["--raw", "s16le", "--sample-rate", "8000"]
code = predict.main([{str(folder / MODELS[0])!r}, "--stream", "-", "--hop", "20", *raw])
both = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(code, *both, file=sys.stderr)
"""
    child, stdin, stdout, stderr = started([sys.executable, "-c", program])
    with child:
        second = np.rint(tone(1, 8000, 0.9) * 32767).astype("<i2").tobytes()
        for _ in range(seconds):
            stdin.write(second)
        stdin.close()
        assert len(stdout.readlines()) >= seconds // 20
        code, *both = map(int, stderr.read().split())
    assert code == 0
    return 1024 * sum(both)


def test_an_hour_takes_no_more_memory_than_a_minute(folder):
    """An hour at 8 kHz is 58 MB of integers, 115 MB as float32."""
    assert peak_memory(folder, 3600) - peak_memory(folder, 60) < 12e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give files, or one --stream"),
        (["a.wav", "--stream", "-"], "give files, or one --stream"),
        (["a.wav", "--hop", "1"], "belong to --stream"),
        (["--stream", "-", "--raw", "s16le"], "--raw needs --sample-rate"),
        (["--stream", "-", "--sample-rate", "8000"], "a stream with a header says its rate itself"),
        (["--stream", "-", "--hop", "0"], "--hop has to be positive"),
        (["--stream", "-", "--timeout", "0"], "--timeout has to be above 0 and at most 1e+06 seconds"),
        (["--stream", "-", "--timeout", "nan"], "--timeout has to be above 0"),
        (["a.csv", "--sample-rate", "9" * 400], "--sample-rate has to be from 1 to 1000000"),
        (["--stream", "-", "--channels", "2"], "belongs to --raw"),
    ],
)
def test_flags_that_contradict_each_other(folder, capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        predict.main([str(folder / MODELS[0]), *arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_a_hop_below_one_sample(folder, capsys):
    assert predict.main([str(folder / MODELS[0]), "--stream", "x.wav", "--hop", "0.0001"]) == 2
    assert "less than a sample at 1000 Hz" in capsys.readouterr().err


def test_a_hop_without_end(folder, capsys):
    assert predict.main([str(folder / MODELS[0]), "--stream", "x.wav", "--hop", "1e308"]) == 2
    assert "give seconds from 0.001 on" in capsys.readouterr().err
