"""The Pareto front by its definition, and its picture."""

import itertools

import pytest

from hsjax.report import fronts
from hsjax.report.fronts import Point

POINTS = [
    Point("large", 90.0, 0.95, 0.9, 0.97),
    Point("worse", 60.0, 0.8, 0.7, 0.9),
    Point("small", 20.0, 0.85),
    Point("middle", 50.0, 0.93),
    Point("as good", 70.0, 0.93),
    Point("poor", 20.0, 0.7),
]


def test_the_front_is_what_nothing_beats():
    beaten = {
        one.name
        for one, other in itertools.permutations(POINTS, 2)
        if other.size <= one.size and other.value >= one.value and (other.size, other.value) != (one.size, one.value)
    }
    assert [point.name for point in fronts.pareto(POINTS)] == ["small", "middle", "large"]
    assert {point.name for point in POINTS} - beaten == {"small", "middle", "large"}


def test_of_equals_the_first_is_on_the_front():
    twins = [Point("one", 10.0, 0.5), Point("other", 10.0, 0.5)]
    assert [point.name for point in fronts.pareto(twins)] == ["one"]


@pytest.mark.parametrize("points", [POINTS, POINTS[:1]])
def test_the_picture_says_what_it_shows(points):
    made = fronts.picture("Size and AUROC", points, "AUROC")
    assert made.content.startswith(b"<?xml")
    assert made.alt.startswith("Size and AUROC: large: 90 bytes, 0.950, on the front")
    assert made.alt.count("on the front") == (3 if len(points) > 1 else 1)
    assert fronts.picture("Size and AUROC", points, "AUROC").content == made.content
