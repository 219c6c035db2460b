import dataclasses

import pytest

from hsjax.data.audit import grouping, twins
from hsjax.types import Dataset


def pair(first: str, second: str, correlation: float = 0.95) -> twins.Pair:
    return twins.Pair(first, second, correlation, 0.8, 0.0, False)


@pytest.fixture
def dataset(make, sound):
    def made(groups: dict[str, str | None], unlabelled: tuple[str, ...] = (), said: str = "") -> Dataset:
        some = {
            name: make(name, sound(1), label="ab"[index % 2], group=group)
            for index, (name, group) in enumerate(groups.items())
        }
        return Dataset(
            name="small",
            classes=("a", "b"),
            positive=None,
            synthetic=False,
            recordings=tuple(each for name, each in some.items() if name not in unlabelled),
            unlabelled=tuple(dataclasses.replace(some[name], label="") for name in unlabelled),
            grouping=said,
        )

    return made


def groups(dataset: Dataset) -> dict[str, str | None]:
    return {each.id: each.group for each in (*dataset.recordings, *dataset.unlabelled)}


def test_components_are_groups(dataset):
    given = dataset(dict.fromkeys("rstuvw"))
    filled = grouping.fill(given, None, [pair("r", "t"), pair("t", "w"), pair("s", "v", 0.5)])
    assert groups(filled) == {
        "r": "source-r",
        "t": "source-r",
        "w": "source-r",
        "s": "source-s",
        "v": "source-s",
        "u": "source-u",
    }
    assert [each.id for each in filled.recordings] == list("rstuvw")
    assert filled.grouping.startswith("all 6 recordings: 3 groups from near-duplicates")


def test_known_groups_stay_and_take_in(dataset):
    given = dataset({"r": "g1", "s": "g2", "t": None, "u": None, "v": "g2", "w": None}, said="subjects by the table")
    pairs = [pair("r", "s"), pair("r", "t"), pair("s", "v"), pair("t", "u")]
    filled = grouping.fill(given, None, pairs)
    # r and s are alike and stay apart; t and u join the group with most recordings of what they resemble.
    assert groups(filled) == {"r": "g1", "s": "g2", "t": "g2", "u": "g2", "v": "g2", "w": "source-w"}
    assert filled.grouping.startswith(
        "subjects by the table; the other 3 of 6 recordings: 2 groups from near-duplicates"
    )


def test_all_known(dataset):
    given = dataset({"r": "g1", "s": "g2"})
    assert grouping.fill(given, None, [pair("r", "s")]) is given


def test_unlabelled_recordings_are_grouped_too(dataset):
    filled = grouping.fill(dataset(dict.fromkeys("rst"), unlabelled=("t",)), None, [pair("r", "t")])
    assert groups(filled) == {"r": "source-r", "s": "source-s", "t": "source-r"}
    assert [each.id for each in filled.unlabelled] == ["t"]


def test_a_name_is_not_given_twice(dataset):
    assert groups(grouping.fill(dataset({"r": None, "s": "source-r"}), None, [])) == {"r": "source-r+", "s": "source-r"}


def test_searches_by_itself(dataset, make, sound, tmp_path):
    given = dataset(dict.fromkeys("rs"))
    copy = make("copy", -given.recordings[0].read())
    filled = grouping.fill(dataclasses.replace(given, recordings=(*given.recordings, copy)), tmp_path)
    assert groups(filled) == {"r": "source-copy", "s": "source-s", "copy": "source-copy"}
    assert list(tmp_path.glob("twins-*.json"))
