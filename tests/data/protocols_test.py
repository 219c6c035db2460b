"""No group ever crosses; every fold is tested once; the papers' splits are what they say."""

import collections

import ml_collections
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsjax import config as run_config
from hsjax.data.protocols import Protocol, inter_patient, splits
from hsjax.data.readers import physionet2016
from hsjax.types import Dataset, Examples, Part, Recording, Split, UserError

PARTS = ("train", "validation", "test")


def make_dataset(rows, classes=("normal", "abnormal"), ids=None) -> Dataset:
    """One recording for each (group, label, subset)."""
    recordings = tuple(
        Recording(
            f"r{i:04d}" if ids is None else ids[i],
            "" if label is None else classes[label],
            subset, group, group, 2000, 2000, None, lambda: np.zeros(2000),
        )
        for i, (group, label, subset) in enumerate(rows)
    )  # fmt: skip
    return Dataset("made", classes, classes[-1], True, recordings)


def make_examples(dataset: Dataset, windows, label=None) -> Examples:
    """`windows[i]` examples of recording i."""
    recording = np.repeat(np.arange(len(dataset.recordings), dtype=np.int32), windows)
    if label is None:
        label = np.array([dataset.classes.index(r.label) for r in dataset.recordings], np.int32)[recording]
    return Examples(np.zeros((len(recording), 1), np.float32), label, recording, np.zeros(len(recording)))


def run(protocol, examples, dataset, seed=0, **changes) -> tuple[Split, ...]:
    chosen = run_config.base().split
    chosen.grouped.folds = 1
    chosen[protocol].update(changes)
    return splits(protocol, examples, dataset, chosen, seed=seed)


def one(protocol, examples, dataset, seed=0, **changes) -> Split:
    (made,) = run(protocol, examples, dataset, seed, **changes)
    return made


@st.composite
def recordings(draw):
    """(group, label, subset) of every recording, its number of windows, and the classes.

    Groups are of one class or several, of any size, in any order, in up to three sub-datasets (also across them) and
    classes.
    """
    classes = ("normal", "abnormal", "other")[: draw(st.integers(2, 3))]
    groups = draw(st.integers(5 * len(classes), 40))
    rows = []
    for group in range(groups):
        # The first groups see to it that every class has five groups of its own, so that splits exist.
        label = group % len(classes)
        mixed = group >= 5 * len(classes) and draw(st.booleans())
        subset = "abc"[group // len(classes) % 3]
        crossing = mixed and draw(st.booleans())
        for _ in range(draw(st.integers(1, 6))):
            of = draw(st.integers(0, len(classes) - 1)) if mixed else label
            rows.append((f"g{group}", of, draw(st.sampled_from("abc")) if crossing else subset))
    rows = draw(st.permutations(rows))
    return rows, draw(st.lists(st.integers(1, 4), min_size=len(rows), max_size=len(rows))), classes


fractions = st.sampled_from([0.05, 1 / 11, 0.2, 0.3])


def check_cover(parts, n):
    together = np.concatenate([getattr(parts, name) for name in PARTS])
    assert len(together) == n
    assert set(together.tolist()) == set(range(n))
    check_sorted(parts)


def check_sorted(parts):
    for name in PARTS:
        assert np.all(np.diff(getattr(parts, name)) > 0)


def check_groups(parts, examples, dataset):
    """The rule of the house."""
    groups = [{dataset.recordings[i].group for i in examples.recording[getattr(parts, name)]} for name in PARTS]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def same(a, b):
    return all(
        x.name == y.name and all(np.array_equal(getattr(x, name), getattr(y, name)) for name in PARTS)
        for x, y in zip(a, b, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(drawn=recordings(), seed=st.integers(0, 2**31), validation=fractions, test=fractions)
def test_grouped(drawn, seed, validation, test):
    rows, windows, classes = drawn
    dataset = make_dataset(rows, classes)
    examples = make_examples(dataset, windows)
    parts = one("grouped", examples, dataset, seed, validation=validation, test=test)
    check_cover(parts, len(examples.label))
    check_groups(parts, examples, dataset)
    for name in PARTS:
        assert set(examples.label[getattr(parts, name)]) == set(range(len(dataset.classes)))
    assert same([parts], run("grouped", examples, dataset, seed, validation=validation, test=test))


@settings(max_examples=60, deadline=None)
@given(drawn=recordings(), seed=st.integers(0, 2**31), validation=fractions, folds=st.integers(2, 5))
def test_cross_validation(drawn, seed, validation, folds):
    rows, windows, classes = drawn
    dataset = make_dataset(rows, classes)
    examples = make_examples(dataset, windows)
    made = run("grouped", examples, dataset, seed, validation=validation, folds=folds)
    assert [split.name for split in made] == list(range(folds))
    for split in made:
        check_cover(split, len(examples.label))
        check_groups(split, examples, dataset)
        for name in PARTS:
            assert set(examples.label[getattr(split, name)]) == set(range(len(dataset.classes)))
    # Each example is tested exactly once.
    assert np.array_equal(np.sort(np.concatenate([split.test for split in made])), np.arange(len(examples.label)))
    assert same(made, run("grouped", examples, dataset, seed, validation=validation, folds=folds))


@pytest.mark.parametrize(("groups", "folds"), [(3, 3), (6, 5), (9, 5), (10, 1)])
def test_few_groups_are_all_tested_in_turn(groups, folds):
    rows = [(f"well{i}", 0, "") for i in range(30)] + [(f"sick{i // 2}", 1, "") for i in range(2 * groups)]
    dataset = make_dataset(rows)
    examples = make_examples(dataset, [2] * len(rows))
    made = run("grouped", examples, dataset, folds=0)
    assert len(made) == folds
    for split in made:
        check_groups(split, examples, dataset)
        assert split.note == ("" if folds == 1 else f"{folds} folds, because class abnormal has only {groups} groups")
    assert same(made, run("grouped", examples, dataset, folds=folds))


@settings(max_examples=60, deadline=None)
@given(drawn=recordings(), seed=st.integers(0, 2**31), validation=fractions)
def test_leave_one_subset_out(drawn, seed, validation):
    rows, windows, classes = drawn
    dataset = make_dataset(rows, classes)
    examples = make_examples(dataset, windows)
    subset = np.array([recording.subset for recording in dataset.recordings])[examples.recording]
    try:
        made = run("leave-one-subset-out", examples, dataset, seed, validation=validation)
    except UserError as error:  # groups across sub-datasets may take the last of a class along
        assert any(words in str(error) for words in ("without", "nothing is left"))  # noqa: PT017
        return
    assert [split.name for split in made] == sorted(set(subset))
    for split in made:
        check_sorted(split)
        check_groups(split, examples, dataset)
        assert np.array_equal(split.test, np.flatnonzero(subset == split.name))
        # What is in no part shares a group with the test part.
        tested = {rows[i][0] for i in examples.recording[split.test]}
        rest = np.setdiff1d(np.arange(len(subset)), np.concatenate([getattr(split, name) for name in PARTS]))
        assert {rows[i][0] for i in examples.recording[rest]} <= tested
        assert bool(len(rest)) == bool(split.note)


@settings(max_examples=30, deadline=None)
@given(
    present=st.sets(st.sampled_from(sorted(inter_patient.DS1 | inter_patient.DS2 | {"102", "217"})), min_size=25),
    seed=st.integers(0, 2**31),
)
def test_inter_patient(present, seed):
    ids = sorted(present)
    rows = [("m-201" if record in ("201", "202") else f"m-{record}", None, "") for record in ids]
    dataset = make_dataset(rows, ("N", "S", "V"), ids)
    label = np.tile(np.array([0, 0, 1, 0, 2], np.int32), len(ids))
    examples = make_examples(dataset, [5] * len(ids), label)
    split = one("inter-patient", examples, dataset, seed)
    check_groups(split, examples, dataset)
    records = {name: {ids[i] for i in examples.recording[getattr(split, name)]} for name in PARTS}
    assert records["test"] == present & inter_patient.DS2
    crossing = {"201"} if "202" in present else set()
    assert records["train"] | records["validation"] == (present & inter_patient.DS1) - crossing
    assert f"{len(records['test'])} of 22 records of DS2" in split.note


def test_de_chazal_lists():
    assert len(inter_patient.DS1) == len(inter_patient.DS2) == 22
    assert not inter_patient.DS1 & inter_patient.DS2
    assert not (inter_patient.DS1 | inter_patient.DS2) & {"102", "104", "107", "217"}


def test_inter_patient_is_for_mitbih():
    with pytest.raises(UserError, match="needs records of MIT-BIH"):
        one("inter-patient", make_examples(BALANCED, [1] * 180), BALANCED)


def write_lists(folder, **lists) -> dict[str, str]:
    for name, ids in lists.items():
        (folder / name).write_text("\n".join(ids) + "\n")
    return {name: str(folder / name) for name in lists}


def test_listed(tmp_path):
    examples = make_examples(BALANCED, [2] * 180)
    ids = [recording.id for recording in BALANCED.recordings]
    lists = {"train": [*ids[:20], "absent"], "validation": ids[20:40], "test": [f"{one}.wav" for one in ids[60:90]]}
    split = one("listed", examples, BALANCED, **write_lists(tmp_path, **lists))
    owners = {name: np.unique(examples.recording[getattr(split, name)]).tolist() for name in PARTS}
    assert owners == {"train": [*range(20)], "validation": [*range(20, 40)], "test": [*range(60, 90)]}
    assert "train 20 of 21, validation 20 of 20, test 30 of 30" in split.note


def test_a_list_for_pre_training(tmp_path):
    examples = make_examples(BALANCED, [2] * 180)
    ids = [recording.id for recording in BALANCED.recordings]
    lists = {"train": ids[:20], "validation": ids[20:40], "test": ids[60:90], "pretrain": [*ids[90:130], "absent"]}
    split = one("listed", examples, BALANCED, **write_lists(tmp_path, **lists))
    assert np.unique(examples.recording[split.train]).tolist() == [*range(20)]
    assert np.unique(examples.recording[split.pretrain]).tolist() == [*range(90, 130)]
    assert split.note.endswith("pretrain 40 of 41")
    assert split.learnt_from(Part.TRAIN) is split.train
    assert split.learnt_from(Part.PRETRAIN) is split.pretrain


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), pretrain=st.sampled_from([0.3, 0.5, 0.8]))
def test_a_part_for_pre_training_keeps_groups_whole(seed, pretrain):
    """Of 300 groups of one size: a fifth is tested, a tenth of the rest validates, `pretrain` of the others is kept."""
    dataset = make_dataset([(f"g{index}", index % 2, "") for index in range(300) for _ in range(2)])
    examples = make_examples(dataset, [2] * 600)
    split = one("grouped", examples, dataset, seed, test=0.2, validation=0.1, pretrain=pretrain)
    parts = (split.train, split.validation, split.test, split.pretrain)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1200))
    left = 300 * 0.8 * 0.9
    wanted = (left * (1 - pretrain), 300 * 0.8 * 0.1, 300 * 0.2, left * pretrain)
    for part, want in zip(parts, wanted, strict=True):
        groups = {dataset.recordings[index].group for index in examples.recording[part]}
        assert len(part) == 4 * len(groups)  # whole ones
        assert abs(len(groups) - want) <= 2
    assert not len(one("grouped", examples, dataset, seed, test=0.2, validation=0.1).pretrain)


def test_a_part_for_pre_training_is_of_a_single_fold():
    with pytest.raises(UserError, match=r"grouped\.pretrain is for a single fold, there are 3"):
        run("grouped", make_examples(BALANCED, [1] * 180), BALANCED, folds=3, pretrain=0.5)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": ["r0000"], "validation": ["r0003"], "test": ["r0000"]}, "both name r0000"),
        (
            {"train": ["r0000"], "validation": ["r0003"], "test": ["r0006"], "pretrain": ["r0006"]},
            "both name r0006",
        ),
        ({"train": ["r0000"], "validation": ["x"], "test": ["r0001"]}, "names no usable recording"),
        ({"train": ["r0000"], "validation": ["r0003"]}, "config.split.listed.test is '', which is no file"),
        ({"train": ["r0000"], "validation": ["r0003"], "test": ["r0006"]}, "without"),
    ],
)
def test_bad_lists(tmp_path, lists, message):
    with pytest.raises(UserError, match=message):
        one("listed", make_examples(BALANCED, [1] * 180), BALANCED, **write_lists(tmp_path, **lists))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(200, 2000), seed=st.integers(0, 2**31), validation=fractions, test=fractions)
def test_paper(n, seed, validation, test):
    dataset = make_dataset([("g", 0, ""), ("g", 1, "")])
    examples = make_examples(dataset, [n // 2, n - n // 2])
    parts = one("paper", examples, dataset, seed, validation=validation, test=test)
    check_cover(parts, n)
    assert abs(len(parts.test) - n * test) <= 0.5
    assert abs(len(parts.validation) - n * (1 - test) * validation) <= 0.5
    assert same([parts], run("paper", examples, dataset, seed, validation=validation, test=test))


@settings(max_examples=30, deadline=None)
@given(counts=st.tuples(st.integers(30, 90), st.integers(30, 300)), seed=st.integers(0, 2**31))
def test_paper_stratified_by_recording(counts, seed):
    """Mahapatra's 70/20/10: whole recordings, every class in the same proportions."""
    rows = [("g", 0, "")] * counts[0] + [("g", 1, "")] * counts[1]
    dataset = make_dataset(rows)
    examples = make_examples(dataset, [3] * len(rows))
    parts = one("paper", examples, dataset, seed, test=0.1, validation=2 / 9, unit="recording", stratified=True)
    check_cover(parts, len(examples.label))
    owners = {name: np.unique(examples.recording[getattr(parts, name)]) for name in PARTS}
    assert sum(map(len, owners.values())) == len(rows)
    for name, share in zip(PARTS, (0.7, 0.2, 0.1), strict=True):
        for label, count in enumerate(counts):
            assert abs(sum(rows[i][1] == label for i in owners[name]) - share * count) <= 1


BALANCED = make_dataset([(f"g{i // 3}", i // 3 % 2, "ab"[i % 2]) for i in range(180)])


@pytest.mark.parametrize("protocol", ["paper", "grouped"])
def test_seeds_differ(protocol):
    examples = make_examples(BALANCED, [2] * 180)
    tests = {tuple(one(protocol, examples, BALANCED, s, validation=0.1, test=0.1).test) for s in range(10)}
    assert len(tests) == 10


def test_paper_needs_no_groups_and_permutes_windows():
    dataset = make_dataset([(None, 0, ""), (None, 1, "")])
    examples = make_examples(dataset, [5000, 5000])
    parts = one("paper", examples, dataset, validation=0.1, test=1 / 11)
    # Uniform over the recording: mean place n/2 with standard deviation n/sqrt(12 * size); five of these.
    for name in PARTS:
        indices = getattr(parts, name)
        assert abs(indices.mean() - 5000) < 5 * 10000 / np.sqrt(12 * len(indices))


def test_small_parts_still_get_every_class():
    # Three groups a class, and a tenth of three groups is none: the greedy rule alone puts all into training.
    dataset = make_dataset([(f"g{i}", i % 2, "") for i in range(6)])
    examples = make_examples(dataset, [1] * 6)
    for seed in range(10):
        parts = one("grouped", examples, dataset, seed, validation=0.1, test=0.1)
        assert all(set(examples.label[getattr(parts, name)]) == {0, 1} for name in PARTS)


def test_too_few_groups_are_refused():
    dataset = make_dataset([("g0", 0, ""), ("g1", 0, ""), ("g2", 0, ""), ("g3", 1, ""), ("g4", 1, "")])
    examples = make_examples(dataset, [3] * 5)
    with pytest.raises(
        UserError,
        match=r"split_seed 0, leaves the .* part without abnormal \(of which there are 2 groups",
    ):
        one("grouped", examples, dataset, validation=0.2, test=0.2)
    with pytest.raises(UserError, match="class normal of made has 3 groups, too few for 5 folds"):
        run("grouped", examples, dataset, folds=5)


def test_one_subset_cannot_be_left_out():
    dataset = make_dataset([(f"g{i}", i % 2, "a") for i in range(20)])
    with pytest.raises(UserError, match="no sub-datasets to leave out"):
        run("leave-one-subset-out", make_examples(dataset, [1] * 20), dataset)


def test_paper_part_without_a_class_is_refused():
    dataset = make_dataset([("g0", 0, ""), ("g1", 1, "")])
    examples = make_examples(dataset, [100, 1])
    with pytest.raises(UserError, match="part without abnormal"):
        one("paper", examples, dataset, validation=0.2, test=0.2)


@pytest.mark.parametrize("protocol", [protocol.value for protocol in Protocol if protocol.keeps_groups])
def test_unknown_groups_are_named(protocol):
    dataset = make_dataset([(None if i % 2 else f"g{i}", i // 2 % 2, "") for i in range(40)])
    with pytest.raises(UserError, match=r"20 of 40 .*\(r0001, r0003, r0005, r0007, r0009, \.\.\.\).*unknown_groups"):
        run(protocol, make_examples(dataset, [1] * 40), dataset)


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.1), (1.0, 0.1), (0.1, 0.0), (0.1, 1.0), (-0.1, 0.1)])
def test_fractions_out_of_range(validation, test):
    examples = make_examples(BALANCED, [1] * 180)
    with pytest.raises(UserError, match="fraction is"):
        one("paper", examples, BALANCED, validation=validation, test=test)


def test_unknown_protocol():
    with pytest.raises(UserError, match=r"config\.protocols is 'random'"):
        splits("random", make_examples(BALANCED, [1] * 180), BALANCED, ml_collections.ConfigDict(), seed=0)


def test_recordings_without_examples_do_not_count():
    # Half of the groups have no window at all; those with windows still divide 8 : 1 : 1.
    examples = make_examples(BALANCED, [2 if i // 6 % 2 else 0 for i in range(180)])
    parts = one("grouped", examples, BALANCED, validation=1 / 9, test=0.1)
    check_cover(parts, 180)
    assert (len(parts.validation), len(parts.test)) == (18, 18)


@pytest.mark.realdata
def test_grouped_keeps_the_mixture_of_real_data(real_root, real_cache):
    dataset = physionet2016.dataset(real_root, real_cache)
    examples = make_examples(dataset, [r.num_samples // 5000 for r in dataset.recordings])
    whole = collections.Counter((r.subset, r.label) for r in dataset.recordings)
    for seed in range(3):
        parts = one("grouped", examples, dataset, seed, validation=0.15, test=0.2)
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
