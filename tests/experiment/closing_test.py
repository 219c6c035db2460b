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
    header, *lines = closing.summary(context, "grouped")
    assert header == ("stage", "seed", "file", "n (groups)", "MAcc")
    assert [line[:3] for line in lines] == [
        ("grid@T=7,alpha=0.1", "0", "tflite-int8-features"),
        ("grid@T=7,alpha=0.1", "mean", "network"),
        ("once@alpha=0.5", "0", "network"),
        ("student", "0", "network"),
        ("student", "1", "network"),
        ("student", "mean", "network"),
    ]
    assert {line[3:] for line in lines} == {("104 (52)", "0.500")}
