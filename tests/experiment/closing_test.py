import dataclasses

from hsjax.config import base
from hsjax.experiment import closing
from hsjax.experiment.context import Context
from hsjax.report import tables
from hsjax.types import ResultRow


class Split(Context):
    """A run whose protocols have one split, known without its data."""

    unit = "recording"

    def folds(self, protocol):
        return [0]


def row(stage, seed, value, split="test", variant="jax"):
    place = ("d", "grouped", stage, seed, 0, split, "recording", variant, "features", "macc", "")
    return ResultRow(*place, value, None, None, 104, 52)


def test_members_of_a_sweep_take_a_line_each(tmp_path):
    member = "grid@temperature=7,alpha=0.1"
    rows = [row(stage, seed, 0.5) for stage in ("student", member) for seed in (0, 1, "mean")]
    rows += [row("once@alpha=0.5", 0, 0.5), row(member, 0, 0.5, variant="tflite-int8")]
    rows += [row(member, "mean", 0.9, split="validation")]
    tables.write_results(tmp_path / "report" / tables.RESULTS, rows)
    context = Split(base(), tmp_path)
    title, (header, *lines) = closing.summary(context, "grouped")
    assert title == "synthetic, protocol grouped, per test recording, n = 104 of 52 groups"
    assert header == ("stage", "file", "seed", "MAcc")
    assert [line[:3] for line in lines] == [
        ("grid@T=7,alpha=0.1", "tflite-int8-features", "0"),
        ("grid@T=7,alpha=0.1", "network", "mean"),
        ("once@alpha=0.5", "network", "0"),
        ("student", "network", "0"),
        ("student", "network", "1"),
        ("student", "network", "mean"),
    ]
    assert {line[3:] for line in lines} == {("0.500",)}


def test_what_all_lines_share_is_said_once(tmp_path):
    few = dataclasses.replace(row("few", 3, 0.5), n=2, n_groups=1)
    tables.write_results(tmp_path / "report" / tables.RESULTS, [row("student", 3, 0.5), few])
    title, (header, *lines) = closing.summary(Split(base(), tmp_path), "grouped")
    assert title == "synthetic, protocol grouped, per test recording, seed 3"
    assert header == ("stage", "file", "n (groups)", "MAcc")
    assert lines == [("few", "network", "2 (1)", "0.500"), ("student", "network", "104 (52)", "0.500")]
