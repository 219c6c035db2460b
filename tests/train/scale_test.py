"""One device, eight, and two processes of two each compute the same; see `scale_worker` for what."""

import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests import hurry

ROOT = pathlib.Path(__file__).parents[2]
WORKER = pathlib.Path(__file__).with_name("scale_worker.py")
# Every collective that waits for the other devices holds one of XLA's threads, of which there are no more than cores or
# devices unless NPROC asks for them: when several wait at once, the one they wait for finds none.
THREADS = "64"
WAITING = "--xla_cpu_collective_call_terminate_timeout_seconds=300"
SEVERAL = ("eight", "pair")
PATIENCE = 600  # seconds, of a machine that does other work too


def start(out, role, devices, *process):
    flags = f"{hurry.FLAGS} {WAITING} --xla_force_host_platform_device_count={devices}"
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths, "NPROC": THREADS}
    out.mkdir(exist_ok=True)
    command = [sys.executable, str(WORKER), str(out), role, *map(str, process)]
    with (out / f"{role}-{process[0] if process else 0}.txt").open("w") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)


def start_pair(out, role):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [start(out, role, 2, process, 2, port) for process in (0, 1)]


def ends(processes, code, out):
    """Waits for all of them; ends those that are left if one does not end as it should."""
    try:
        for process in processes:
            said = "\n".join(path.read_text()[-3000:] for path in out.glob("*.txt"))
            assert process.wait(PATIENCE) == code, said
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What all processes left."""
    out = tmp_path_factory.mktemp("scale")
    one, eight, pair = (out / name for name in ("one", "eight", "pair"))
    running = {one: [start(one, "all", 1)], eight: [start(eight, "all", 8)]}
    try:
        ends(running[one], 0, one)
        # Two at a time, or they would only wait for each other.
        running[pair] = start_pair(pair, "all")
        ends(running[eight], 0, eight)
        ends(running[pair], -signal.SIGKILL, pair)
        ends(start_pair(pair, "resume"), 0, pair)
    finally:
        for process in itertools.chain(*running.values()):
            process.kill()
    return out


@pytest.fixture(scope="module")
def left(folder):
    """Arrays by name, of every layout; of `pair` those of the second process, who writes nothing else."""
    files = {"one": "one/all-0", "eight": "eight/all-0", "pair": "pair/all-1", "resumed": "pair/resume-1"}
    return {name: dict(np.load(folder / f"{file}.npz")) for name, file in files.items()}


def part(arrays, name):
    found = {key.removeprefix(name): value for key, value in arrays.items() if key.startswith(f"{name}[")}
    found |= {key.removeprefix(name): value for key, value in arrays.items() if key.startswith(f"{name}.")}
    assert found
    return found


def assert_close(got, want, tolerance, floor=1e-15):
    """Every array to a part of its largest value; to `floor`, where that is more: what is zero but for rounding."""
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert np.isfinite(value).all(), name
        most = max(tolerance * np.max(np.abs(value), initial=0), floor)
        np.testing.assert_allclose(got[name], value, 0, most, err_msg=name)


@pytest.mark.parametrize("layout", SEVERAL)
@pytest.mark.parametrize("objective", ["supervised", "views"])
def test_gradients_of_a_batch_with_padding_are_those_of_one_device(left, objective, layout):
    want, got = (part(left[name], f"gradients/{objective}") for name in ("one", layout))
    gradient = [name for name in want if name.startswith("['gradient']")]
    assert {want[name].dtype for name in gradient} == {np.dtype(np.float32)}
    assert all(np.any(want[name]) for name in gradient if "logits" not in name)
    # To a part of the largest of all: what a sum in another order leaves of a small difference of large terms.
    largest = max(np.max(np.abs(want[name])) for name in gradient)
    assert_close(got, want, 1e-5, 1e-5 * largest)


@pytest.mark.parametrize(
    ("layout", "objective"), [*itertools.product(SEVERAL, ["distil", "views"]), ("eight", "moco"), ("eight", "byol")]
)
def test_fifty_steps_in_float64_are_those_of_one_device(left, objective, layout):
    want = part(left["one"], f"steps/{objective}")
    assert want["['loss']"].shape == (50,)
    assert {value.dtype for name, value in want.items() if ".variables" in name} == {np.dtype(np.float64)}
    assert_close(part(left[layout], f"steps/{objective}"), want, 1e-9)


@pytest.mark.parametrize(
    ("layout", "way"),
    [("one", "streamed"), *itertools.product(SEVERAL, ["steps", "streamed"]), ("eight", "scan")],
)
def test_whole_trainings_are_those_of_one_device(left, way, layout):
    assert_close(part(left[layout], f"fit/{way}"), part(left["one"], "fit/steps"), 1e-9)


@pytest.mark.parametrize(
    ("layout", "way", "count"), [("eight", "members", 4), ("pair", "members", 2), ("pair", "swept", 2)]
)
def test_members_over_devices_are_single_runs(left, layout, way, count):
    for number in range(count):
        want = part(left["one"], f"members/{number}" if number else "fit/steps")
        assert_close(part(left[layout], f"{way}/{number}"), want, 1e-9)


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_a_training_goes_on_with_another_number_of_devices(left, change):
    assert_close(part(left["eight"], f"fit/{change}"), part(left["one"], "fit/steps"), 1e-9)


def test_two_killed_processes_go_on_bit_for_bit(left):
    want = part(left["pair"], "fit/steps")
    got = part(left["resumed"], "fit/resumed")
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)


def test_both_processes_hold_the_same(folder):
    one, other = (np.load(folder / "pair" / f"all-{process}.npz") for process in (0, 1))
    assert one.files == other.files
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name])


def rows(path):
    return [json.loads(line) | {"seconds": 0} for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_the_log_is_that_of_one_device(folder):
    want = rows(folder / "one" / "steps")
    assert [row["epoch"] for row in want] == [1, 2, 3]
    for path in ("eight/steps", "pair/steps", "pair/killed", "eight/fewer"):
        for got, row in zip(rows(folder / path), want, strict=True):
            assert got["train"] == pytest.approx(row["train"], rel=1e-9)
            assert got["validation"] == pytest.approx(row["validation"], rel=1e-9)


@pytest.mark.parametrize("layout", SEVERAL)
def test_a_loss_that_is_not_finite_is_told_by_all_and_written_once(left, folder, layout):
    for way in ("steps", "streamed"):
        want, got = (str(left[name][f"bad/{way}['said']"]) for name in ("one", layout))
        assert got.replace(f"/{layout}/", "/one/") == want
        one, other = (np.load(folder / name / "bad" / way / "non-finite.npz") for name in ("one", layout))
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("layout", ["one", *SEVERAL])
def test_nothing_is_compiled_again(left, layout):
    assert left[layout]["compiled['later']"] == 0
