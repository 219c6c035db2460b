import pathlib

from hsjax.data import screening
from hsjax.types import Dataset, Finding, Recording

ROOT = pathlib.Path("/data")


def recording(name: str, label: str, digest: str) -> Recording:
    return Recording(name, label, "", None, None, 2000, 1, ROOT / "x" / f"{name}.wav", lambda: None, digest=digest)


def dataset(recordings, unlabelled=(), quarantined=(), noted=()) -> Dataset:
    return Dataset(
        "made", ("normal", "abnormal"), None, False, tuple(recordings), quarantined, noted, unlabelled=tuple(unlabelled)
    )


def found(screened: Dataset) -> dict[str, str]:
    return {finding.id: finding.reason for finding in screened.quarantined}


def test_the_first_of_equal_label_stays():
    screened = screening.screen(
        dataset([recording(*item) for item in (("b", "normal", "1"), ("a", "normal", "1"), ("c", "normal", "2"))]), ROOT
    )
    assert [item.id for item in screened.recordings] == ["a", "c"]
    assert screened.quarantined == (Finding("b", "x/b.wav", "duplicate of a"),)


def test_of_different_labels_none_stays():
    screened = screening.screen(
        dataset(
            [recording(name, label, "1") for name, label in (("a", "normal"), ("b", "abnormal"), ("c", "abnormal"))],
            [recording("d", "", "1")],
            quarantined=(Finding("e", "x/e.wav", "silent"), Finding("0", "0", "silent")),
        )
    )
    assert screened.recordings == screened.unlabelled == ()
    assert found(screened) == {
        "a": "same sound as b, which is labelled abnormal",
        "b": "same sound as a, which is labelled normal",
        "c": "same sound as a, which is labelled normal",
        "d": "duplicate of a",
        "e": "silent",
        "0": "silent",
    }
    assert [item.path for item in screened.quarantined] == [
        "/data/x/a.wav", "/data/x/b.wav", "/data/x/c.wav", "/data/x/d.wav", "0", "x/e.wav",
    ]  # fmt: skip


def test_a_labelled_recording_beats_an_unlabelled_one():
    screened = screening.screen(dataset([recording("b", "normal", "1")], [recording("a", "", "1")]))
    assert [item.id for item in screened.recordings] == ["b"]
    assert found(screened) == {"a": "duplicate of b"}


def test_ecg_records_have_no_label():
    screened = screening.screen(dataset([recording("201", "", "1"), recording("202", "", "1")]))
    assert found(screened) == {"202": "duplicate of 201"}


def test_without_a_digest_nothing_is_known():
    original = dataset([recording("a", "normal", ""), recording("b", "abnormal", "")])
    assert screening.screen(original) == original


def test_only_notes_on_what_is_used_remain():
    notes = (Finding("a", "x/a.wav", "clipped"), Finding("b", "x/b.wav", "clipped"))
    screened = screening.screen(dataset([recording("a", "normal", "1"), recording("b", "normal", "1")], noted=notes))
    assert screened.noted == notes[:1]
