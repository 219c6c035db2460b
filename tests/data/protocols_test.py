import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsjax.data import physionet2016
from hsjax.data.protocols import Protocol, split
from hsjax.types import Dataset, Examples, Recording, UserError

PARTS = ("train", "validation", "test")


def make_dataset(rows, classes=("normal", "abnormal")) -> Dataset:
    """One recording for each (group, label, subset)."""
    recordings = tuple(
        Recording(f"r{i:04d}", classes[label], subset, group, group, 2000, 2000, None, lambda: np.zeros(2000))
        for i, (group, label, subset) in enumerate(rows)
    )
    return Dataset("made", classes, classes[-1], True, recordings)


def make_examples(dataset: Dataset, windows) -> Examples:
    """`windows[i]` examples of recording i."""
    recording = np.repeat(np.arange(len(dataset.recordings), dtype=np.int32), windows)
    label = np.array([dataset.classes.index(r.label) for r in dataset.recordings], np.int32)[recording]
    return Examples(np.zeros((len(recording), 1), np.float32), label, recording, np.zeros(len(recording)))


@st.composite
def recordings(draw):
    """(group, label, subset) of every recording, its number of windows, and the classes.

    Groups are of one class or several, of any size, in any order, in up to three sub-datasets and classes.
    """
    classes = ("normal", "abnormal", "other")[: draw(st.integers(2, 3))]
    groups = draw(st.integers(3 * len(classes), 40))
    rows = []
    for group in range(groups):
        # The first groups see to it that every class has three groups of its own, so that a split exists.
        label = group % len(classes)
        mixed = group >= 3 * len(classes) and draw(st.booleans())
        subset = draw(st.sampled_from(["a", "b", ""]))
        for _ in range(draw(st.integers(1, 6))):
            rows.append((f"g{group}", draw(st.integers(0, len(classes) - 1)) if mixed else label, subset))
    rows = draw(st.permutations(rows))
    return rows, draw(st.lists(st.integers(1, 4), min_size=len(rows), max_size=len(rows))), classes


fractions = st.sampled_from([0.05, 1 / 11, 0.2, 0.3])


def check_cover(parts, n):
    together = np.concatenate([getattr(parts, name) for name in PARTS])
    assert len(together) == n
    assert set(together.tolist()) == set(range(n))
    for name in PARTS:
        assert np.all(np.diff(getattr(parts, name)) > 0)


@settings(max_examples=60, deadline=None)
@given(drawn=recordings(), seed=st.integers(0, 2**31), validation=fractions, test=fractions)
def test_grouped(drawn, seed, validation, test):
    rows, windows, classes = drawn
    dataset = make_dataset(rows, classes)
    examples = make_examples(dataset, windows)
    arguments = {"seed": seed, "validation_fraction": validation, "test_fraction": test}
    parts = split(Protocol.GROUPED, examples, dataset, **arguments)
    check_cover(parts, len(examples.label))
    groups = [{dataset.recordings[i].group for i in examples.recording[getattr(parts, name)]} for name in PARTS]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    for name in PARTS:
        assert set(examples.label[getattr(parts, name)]) == set(range(len(dataset.classes)))
    again = split(Protocol.GROUPED, examples, dataset, **arguments)
    assert all(np.array_equal(getattr(parts, name), getattr(again, name)) for name in PARTS)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(200, 2000), seed=st.integers(0, 2**31), validation=fractions, test=fractions)
def test_paper(n, seed, validation, test):
    dataset = make_dataset([("g", 0, ""), ("g", 1, "")])
    examples = make_examples(dataset, [n // 2, n - n // 2])
    arguments = {"seed": seed, "validation_fraction": validation, "test_fraction": test}
    parts = split(Protocol.PAPER, examples, dataset, **arguments)
    check_cover(parts, n)
    assert abs(len(parts.test) - n * test) <= 0.5
    assert abs(len(parts.validation) - n * (1 - test) * validation) <= 0.5
    again = split(Protocol.PAPER, examples, dataset, **arguments)
    assert all(np.array_equal(getattr(parts, name), getattr(again, name)) for name in PARTS)


BALANCED = make_dataset([(f"g{i // 3}", i // 3 % 2, "ab"[i % 2]) for i in range(180)])


@pytest.mark.parametrize("protocol", list(Protocol))
def test_seeds_differ(protocol):
    examples = make_examples(BALANCED, [2] * 180)
    tests = {
        tuple(split(protocol, examples, BALANCED, seed=s, validation_fraction=0.1, test_fraction=0.1).test)
        for s in range(10)
    }
    assert len(tests) == 10


def test_paper_needs_no_groups_and_permutes_windows():
    dataset = make_dataset([(None, 0, ""), (None, 1, "")])
    examples = make_examples(dataset, [5000, 5000])
    parts = split(Protocol.PAPER, examples, dataset, seed=0, validation_fraction=0.1, test_fraction=1 / 11)
    # Uniform over the recording: mean place n/2 with standard deviation n/sqrt(12 * size); five of these.
    for name in PARTS:
        indices = getattr(parts, name)
        assert abs(indices.mean() - 5000) < 5 * 10000 / np.sqrt(12 * len(indices))


def test_small_parts_still_get_every_class():
    # Three groups a class, and a tenth of three groups is none: the greedy rule alone puts all into training.
    dataset = make_dataset([(f"g{i}", i % 2, "") for i in range(6)])
    examples = make_examples(dataset, [1] * 6)
    for seed in range(10):
        parts = split(Protocol.GROUPED, examples, dataset, seed=seed, validation_fraction=0.1, test_fraction=0.1)
        assert all(set(examples.label[getattr(parts, name)]) == {0, 1} for name in PARTS)


def test_too_few_groups_are_refused():
    dataset = make_dataset([("g0", 0, ""), ("g1", 0, ""), ("g2", 0, ""), ("g3", 1, ""), ("g4", 1, "")])
    examples = make_examples(dataset, [3] * 5)
    with pytest.raises(UserError, match=r"grouped with seed 0 leaves the .* part without abnormal"):
        split(Protocol.GROUPED, examples, dataset, seed=0, validation_fraction=0.2, test_fraction=0.2)


def test_paper_part_without_a_class_is_refused():
    dataset = make_dataset([("g0", 0, ""), ("g1", 1, "")])
    examples = make_examples(dataset, [100, 1])
    with pytest.raises(UserError, match="part without abnormal"):
        split(Protocol.PAPER, examples, dataset, seed=0, validation_fraction=0.2, test_fraction=0.2)


def test_unknown_groups_are_named():
    dataset = make_dataset([(None if i % 2 else f"g{i}", i // 2 % 2, "") for i in range(40)])
    with pytest.raises(UserError, match=r"20 of 40 .*\(r0001, r0003, r0005, r0007, r0009, \.\.\.\).*records_metadata"):
        split(
            Protocol.GROUPED,
            make_examples(dataset, [1] * 40),
            dataset,
            seed=0,
            validation_fraction=0.2,
            test_fraction=0.2,
        )


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.1), (1.0, 0.1), (0.1, 0.0), (0.1, 1.0), (-0.1, 0.1)])
def test_fractions_out_of_range(validation, test):
    examples = make_examples(BALANCED, [1] * 180)
    with pytest.raises(UserError, match="fraction is"):
        split(Protocol.PAPER, examples, BALANCED, seed=0, validation_fraction=validation, test_fraction=test)


def test_recordings_without_examples_do_not_count():
    # Half of the groups have no window at all; those with windows still divide 8 : 1 : 1.
    examples = make_examples(BALANCED, [2 if i // 6 % 2 else 0 for i in range(180)])
    parts = split(Protocol.GROUPED, examples, BALANCED, seed=0, validation_fraction=1 / 9, test_fraction=0.1)
    check_cover(parts, 180)
    assert (len(parts.validation), len(parts.test)) == (18, 18)


@pytest.mark.realdata
def test_grouped_keeps_the_mixture_of_real_data(real_root, real_cache):
    dataset = physionet2016.dataset(real_root, real_cache)
    examples = make_examples(dataset, [r.num_samples // 5000 for r in dataset.recordings])
    whole = collections.Counter((r.subset, r.label) for r in dataset.recordings)
    for seed in range(3):
        parts = split(Protocol.GROUPED, examples, dataset, seed=seed, validation_fraction=0.15, test_fraction=0.2)
        share = {"train": 0.8 * 0.85, "validation": 0.8 * 0.15, "test": 0.2}
        for name in PARTS:
            used = np.unique(examples.recording[getattr(parts, name)])
            assert abs(len(used) / len(dataset.recordings) - share[name]) < 0.01
            found = collections.Counter((dataset.recordings[i].subset, dataset.recordings[i].label) for i in used)
            for stratum, count in whole.items():
                # training-a has groups of up to 63 recordings, so that a part may be off by half of its share there.
                assert abs(found[stratum] - share[name] * count) <= max(2, 0.5 * share[name] * count), stratum
            for label in dataset.classes:
                wanted = share[name] * sum(n for (_, of), n in whole.items() if of == label)
                assert sum(n for (_, of), n in found.items() if of == label) == pytest.approx(wanted, rel=0.06)
