import pytest

from hsjax.report import members

MEMBER = "grid@temperature=7,alpha=0.1"


def test_constants_are_read_from_a_name():
    assert members.constants(MEMBER) == {"temperature": 7.0, "alpha": 0.1}
    assert members.constants("lr@learning_rate=1e-05") == {"learning_rate": 1e-5}
    assert members.constants("student") == {}
    assert members.sweep_of(MEMBER) == "grid"
    assert members.sweep_of("student") is None


def test_names_for_readers():
    assert members.short(MEMBER) == "grid@T=7,alpha=0.1"
    assert members.short(f"{MEMBER} - student") == "grid@T=7,alpha=0.1 - student"
    assert members.short("temperature=plain") == "temperature=plain"  # no member
    assert members.point({"temperature": 10.0, "learning_rate": 0.001}) == "T = 10, learning rate = 0.001"


def test_members_stand_where_their_stage_does_by_number():
    found = ["student", "grid@temperature=10,alpha=0.1", "grid@temperature=9,alpha=0.5", "grid@temperature=9,alpha=0.1"]
    ordered = members.expanded(["pre", "grid", "student"], found)
    assert ordered == [found[3], found[2], found[1], "student"]


@pytest.mark.parametrize(
    ("change", "plain"),
    [
        ({}, "student"),
        ({"model": "song-teacher"}, "teacher"),
        ({"options": {"width": 2}}, None),
        ({"begin": "pre"}, "tuned"),
        ({"pretrained": "weights.npz"}, None),
    ],
)
def test_a_sweep_is_held_against_its_own_network_without_a_teacher(change, plain):
    alone = {"objective": "supervised", "model": "song-student", "options": {}, "begin": "", "pretrained": ""}
    stages = {
        "teacher": alone | {"model": "song-teacher"},
        "kd": alone | {"objective": "distil"},
        "student": alone,
        "tuned": alone | {"begin": "pre"},
        "grid": alone | {"objective": "distil"} | change,
    }
    assert members.plain(stages, ["teacher", "kd", "student", "tuned"], "grid") == plain
