import dataclasses
import math

import numpy as np
import pytest

from hsjax.data.audit import leakage, twins
from hsjax.types import Dataset, Examples, Split


def pair(first: str, second: str, correlation: float) -> twins.Pair:
    return twins.Pair(first, second, correlation, 0.8, 0.0, False)


@pytest.fixture
def recordings(make):
    fields = {
        # id: label, group, subject
        "p": ("sick", "g1", "s1"),
        "q": ("sick", "g2", "s2"),
        "r": ("well", "g3", None),
        "s": ("sick", "g1", "s1"),
        "t": ("sick", "g4", "s2"),
        "u": ("well", None, None),
        "v": ("well", None, None),
        "w": ("well", "g5", "s5"),
    }
    return [
        make(name, np.ones(10), label=label, group=group, subject=subject)
        for name, (label, group, subject) in fields.items()
    ]


PAIRS = [pair("p", "s", 0.93), pair("q", "u", 0.91), pair("r", "w", 0.85), pair("t", "v", 0.99)]


def test_counted_by_hand(recordings):
    parts = leakage.Parts("mine", frozenset("pqrx"), frozenset("rstuvwy"))
    everything, sick, well = leakage.measure(recordings, parts, PAIRS)
    # r is trained on; s has the twin, group and subject of p, t the subject of q, u a twin in q; v and w are clean.
    assert everything == leakage.Leakage(
        parts="mine", label="", n=6, recording=1, twin=2, group=2, subject=2, any=4, no_group=2, no_subject=3
    )
    assert (sick.label, sick.n, sick.twin, sick.group, sick.subject, sick.any) == ("sick", 2, 1, 1, 2, 2)
    assert (well.label, well.n, well.recording, well.twin, well.group, well.any) == ("well", 4, 1, 1, 1, 2)
    assert [row.verdict for row in (everything, sick, well)] == ["leaky, 66.7 %", "leaky, 100.0 %", "leaky, 50.0 %"]


def test_clean_and_empty(recordings):
    (clean, _) = leakage.measure(recordings, leakage.Parts("mine", frozenset("pq"), frozenset("vw")), PAIRS)
    assert (clean.verdict, clean.fraction) == ("clean", 0)
    (empty,) = leakage.measure(recordings, leakage.Parts("mine", frozenset("p"), frozenset("x")), PAIRS)
    assert empty.verdict == "empty"
    assert math.isnan(empty.fraction)


@pytest.mark.parametrize(("any", "verdict"), [(1, "leaky, 0.1 %"), (9999, "leaky, 99.9 %"), (5000, "leaky, 50.0 %")])
def test_verdict_does_not_round_away(any, verdict):
    assert leakage.Leakage("", "", 10000, 0, 0, 0, 0, any, 0, 0).verdict == verdict


def test_what_is_unknown_is_not_shared(recordings):
    parts = leakage.Parts("mine", frozenset("ur"), frozenset("v"))
    assert [(row.group, row.subject, row.any) for row in leakage.measure(recordings, parts, [])] == [(0, 0, 0)] * 2


def test_parts_of_a_split(recordings):
    dataset = Dataset("small", ("sick", "well"), None, False, tuple(recordings))
    owner = np.array([0, 0, 1, 2, 2, 3, 3, 5], np.int32)
    examples = Examples(np.zeros((8, 4), np.float32), np.zeros(8, np.int32), owner, np.zeros(8))
    split = Split(np.array([0, 2, 3]), np.array([1]), np.array([4, 5, 6]), name=0)
    assert leakage.parts("paper", dataset, examples, split) == ("paper", {"p", "q", "r"}, {"r", "s"})
    assert leakage.parts("paper", dataset, examples, dataclasses.replace(split, name=3)).name == "paper, 3"
    pretrained = dataclasses.replace(split, pretrain=np.array([7]))
    assert leakage.parts("paper", dataset, examples, pretrained).train == {"p", "q", "r", dataset.recordings[5].id}


def test_random_split(make):
    some = [make(f"{label}{index}", np.ones(10), label=label) for label in "ab" for index in range(50)]
    parts = leakage.random_parts(some, (0.7, 0.2, 0.1), seed=0)
    assert parts.name == "random 70/20/10"
    assert not parts.train & parts.test
    for label in "ab":
        assert sum(each.startswith(label) for each in parts.train) == 35
        assert sum(each.startswith(label) for each in parts.test) == 5
    assert leakage.random_parts(some[::-1], (0.7, 0.2, 0.1), seed=0) == parts
    assert leakage.random_parts(some, (0.7, 0.2, 0.1), seed=1) != parts
