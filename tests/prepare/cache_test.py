import dataclasses
import functools
import importlib
import pathlib

import numpy as np
import pytest
import soundfile

from hsjax import config, prepare
from hsjax.data import example_store
from hsjax.data.readers import physionet2016
from hsjax.prepare import cache
from hsjax.types import Beats, Dataset, Recording, UserError

examples_module = importlib.import_module("hsjax.prepare.examples")  # the room has a function of this name

FIELDS = ("samples", "label", "recording", "start")


def noise(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(length).astype(np.float32)


def recording(seed: int, length: int = 12_000, rate: int = 2000, label: str = "normal") -> Recording:
    return Recording(f"r{seed}", label, "", None, None, rate, length, None, functools.partial(noise, seed, length))


def dataset(*recordings: Recording) -> Dataset:
    return Dataset("made", ("normal", "abnormal"), "abnormal", False, recordings)


def settings(**changes) -> config.ConfigDict:
    chosen = config.base().prepare
    chosen.update(changes)
    return chosen


def assert_equal(one, other) -> None:
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        assert getattr(one, field).dtype == getattr(other, field).dtype


MADE = dataset(recording(0), recording(1, 40_000, 8000, "abnormal"), recording(2, 1_000))


@pytest.mark.parametrize("changes", [{}, {"filter": "zero-phase"}, {"hop_seconds": 1.0}])
def test_the_cache_changes_nothing(tmp_path, changes):
    chosen, told = settings(**changes), []
    want = prepare.examples(MADE, chosen)
    for _ in range(2):
        got = prepare.examples(MADE, chosen, told.append, cache_dir=tmp_path)
        assert_equal(got, want)
        assert isinstance(got.samples, np.memmap)
    assert sum(told) == 6
    (entry,) = example_store.entries(tmp_path)
    assert (entry.about["dataset"], entry.about["recordings"], entry.num_examples) == ("made", "3", len(want.label))


def test_what_is_kept_is_not_prepared_again(tmp_path, monkeypatch):
    want = prepare.examples(MADE, settings(), cache_dir=tmp_path)
    monkeypatch.setattr(examples_module, "_cut_all", None)
    assert_equal(prepare.examples(MADE, settings(), cache_dir=tmp_path), want)


def changed(**fields) -> Dataset:
    first, *others = MADE.recordings
    return dataset(dataclasses.replace(first, **fields), *others)


BEATS = Beats(np.array([5, 9]), np.array(["N", "V"]), np.array(["normal", "abnormal"]))
OTHER_BEATS = dataclasses.replace(BEATS, index=np.array([5, 8]))
OTHERS = {
    "content": changed(read=functools.partial(noise, 7, 12_000)),
    "one sample": changed(read=lambda: noise(0, 12_000) + np.float32(1e-3) * (np.arange(12_000) == 77)),
    "label": changed(label="abnormal"),
    "id": changed(id="other"),
    "rate": changed(sample_rate=1000),
    "digest": changed(digest="0" * 64),
    "beats": changed(beats=lambda: BEATS),
    "other beats": changed(beats=lambda: OTHER_BEATS),
    "fewer": dataset(*MADE.recordings[:2]),
    "order": dataset(*MADE.recordings[::-1]),
    "classes": dataclasses.replace(MADE, classes=("abnormal", "normal")),
}


def test_whatever_examples_depend_on_changes_the_key():
    keys = [cache.key(made, settings(), prepare.steps(settings())) for made in (MADE, *OTHERS.values())]
    for change in (
        {"window_seconds": 2.0},
        {"hop_seconds": 1.0},
        {"sample_rate": 1000},
        {"cut": "cycles"},
        {"filter": "zero-phase"},
        {"filter": "zero-phase", "band": {"order": 2}},
        {"remove_spikes": True},
    ):
        keys.append(cache.key(MADE, settings(**change), prepare.steps(settings(**change))))
    assert len(set(keys)) == len(keys) == 19
    assert keys[0] == cache.key(MADE, settings(), prepare.steps(settings()))


@pytest.mark.parametrize("place", ["hsjax.prepare.cache._PREPARATION", "hsjax.__version__", "jax.__version__"])
def test_versions_of_what_computes_change_the_key(monkeypatch, place):
    filtered = settings(filter="zero-phase")
    plain, steps = prepare.steps(settings()), prepare.steps(filtered)
    before = [cache.key(MADE, settings(), plain), cache.key(MADE, filtered, steps)]
    monkeypatch.setattr(place, "other")
    after = [cache.key(MADE, settings(), plain), cache.key(MADE, filtered, steps)]
    # jax computes nothing where whole recordings stay as they are
    assert [old != new for old, new in zip(before, after, strict=True)] == [place.endswith("_PREPARATION"), True]


def test_every_setting_is_in_the_key():
    def flat(chosen, prefix=""):
        for name, value in chosen.items():
            yield from flat(value, f"{prefix}{name}.") if isinstance(value, config.ConfigDict) else [f"{prefix}{name}"]

    keys = {cache.key(MADE, settings(), prepare.steps(settings()))}
    names = list(flat(settings()))
    for name in names:
        chosen = settings()
        value = chosen.get_ref(name).get() if "." not in name else chosen.band[name.removeprefix("band.")]
        with chosen.ignore_type():
            chosen.update_from_flattened_dict({name: f"not {value}"})
        keys.add(cache.key(MADE, chosen, prepare.Steps()))
    assert len(keys) == 1 + len(names)


def digested(one: Recording) -> Recording:
    return dataclasses.replace(one, digest=cache.digest(one.read()))


def test_a_digest_saves_reading(tmp_path):
    made = dataset(*map(digested, MADE.recordings))
    assert cache.key(made, settings(), prepare.Steps()) == cache.key(MADE, settings(), prepare.Steps())
    unread = dataset(*(dataclasses.replace(one, read=lambda: 1 / 0) for one in made.recordings))
    want = prepare.examples(made, settings(), cache_dir=tmp_path)
    assert_equal(prepare.examples(unread, settings(), cache_dir=tmp_path), want)


@pytest.mark.parametrize("changes", [{}, {"filter": "zero-phase"}])
def test_a_file_that_changes_after_its_inspection_is_refused(tmp_path, changes):
    stale = dataclasses.replace(digested(recording(0)), read=functools.partial(noise, 5, 12_000))
    with pytest.raises(UserError, match=r"r0 is not what it was"):
        prepare.examples(dataset(stale), settings(**changes), cache_dir=tmp_path)
    assert example_store.entries(tmp_path) == ()
    assert list((tmp_path / "prepared").iterdir()) == []


def test_few_recordings_wait_in_memory(monkeypatch):
    """While the first window is written, all but a few recordings are still to be read."""
    read = []

    def counted(seed: int) -> np.ndarray:
        read.append(seed)
        return noise(seed, 5_000)

    many = dataset(*(dataclasses.replace(recording(i), read=functools.partial(counted, i)) for i in range(100)))
    pieces = examples_module._pieces(many, settings(), lambda n: None)
    next(pieces)
    assert len(read) < 30
    assert len(list(pieces)) == 99
    assert sorted(read) == list(range(100))
    monkeypatch.setattr(examples_module, "_TOGETHER", 30_000)  # six recordings
    read.clear()
    pieces = examples_module._pieces(
        dataset(*(dataclasses.replace(one, num_samples=5_000) for one in many.recordings[:20])),
        settings(filter="zero-phase"),
        lambda n: None,
    )
    next(pieces)
    assert sorted(read) == list(range(6))
    assert len(list(pieces)) == 19


@pytest.mark.realdata
def test_a_changed_file_is_read_anew_and_the_others_stay(real_root, tmp_path):
    """A copy of some real recordings: cold, warm, one file replaced, and put back."""
    for subset in physionet2016.SUBSETS:
        source, copy = (root / "physionet2016" / subset for root in (real_root, tmp_path))
        copy.mkdir(parents=True)
        lines = (source / "REFERENCE.csv").read_text().splitlines()[:3]
        (copy / "REFERENCE.csv").write_text("\n".join(lines))
        for line in lines:
            name = f"{line.split(',')[0]}.wav"
            (copy / name).write_bytes((source / name).read_bytes())
    folder = tmp_path / "cache"

    def both() -> tuple[Dataset, object]:
        read = physionet2016.dataset(tmp_path, folder)
        return read, prepare.examples(read, settings(), cache_dir=folder)

    read, first = both()
    assert len(read.recordings) == 18
    for index, one in enumerate(read.recordings):
        samples, rate = soundfile.read(one.path, dtype="float32")
        assert rate == 2000
        mine = first.recording == index
        assert np.count_nonzero(mine) >= len(samples) // 5000
        for window, start in zip(first.samples[mine], first.start[mine], strict=True):
            whole = samples[round(start * 2000) :][:5000]
            np.testing.assert_array_equal(window[: len(whole)], whole)
    assert_equal(both()[1], first)
    assert len(example_store.entries(folder)) == 1
    path: pathlib.Path = read.recordings[3].path
    original = path.read_bytes()
    samples, rate = soundfile.read(path, dtype="int16")
    samples[1234] += 1
    soundfile.write(path, samples, rate, subtype="PCM_16")
    second = both()[1]
    different = (first.samples != second.samples).any(axis=1)
    assert first.recording[different].tolist() == [3]
    assert len(example_store.entries(folder)) == 2
    path.write_bytes(original)
    assert_equal(both()[1], first)
    assert len(example_store.entries(folder)) == 2
