import csv
import dataclasses
import io

import numpy as np
import pytest

from hsjax.data.audit import leakage, report
from hsjax.types import Dataset


@pytest.fixture(scope="module")
def dataset(make, sounds):
    """Twelve recordings: a1 is a cut of a0, b0 the same as a2 under another label, b1 and b2 twins of two groups."""
    rng = np.random.default_rng(0)
    drawn = {f"{label}{index}": sounds(rng, 3) for label in "ab" for index in range(6)}
    drawn |= {"a1": drawn["a0"][1000:2700], "b0": -drawn["a2"], "b2": 0.5 * drawn["b1"]}
    known = {"b1": "g1", "b2": "g2"}
    some = tuple(
        make(name, samples, label=name[0], group=known.get(name), metadata={"sex": "fm"[name[0] == "b"]})
        for name, samples in sorted(drawn.items())
    )
    unlabelled = (make("z", drawn["a5"][500:]),)
    return Dataset("small", ("a", "b"), None, False, some, unlabelled=unlabelled)


@pytest.fixture(scope="module")
def audit(dataset):
    mine = leakage.Parts("mine", frozenset({"a0", "b0", "b1"}), frozenset({"a1", "a2", "b2", "b3"}))
    return report.audit(dataset, parts=(mine,))


def test_what_is_found(audit):
    unlabelled, a, b = audit.classes
    assert (a.n, a.with_twin, a.groups, a.no_group, a.sources) == (6, 2, 0, 6, 5)
    assert (b.n, b.with_twin, b.groups, b.no_group, b.sources) == (6, 2, 2, 4, 5)
    assert (unlabelled.n, unlabelled.with_twin, unlabelled.sources) == (1, 0, 1)
    assert audit.twins == 4
    assert [(pair.first, pair.second) for pair in audit.contradicting] == [("a2", "b0")]
    assert [(pair.first, pair.second) for pair in audit.across] == [("b1", "b2")]
    mine = [row for row in audit.leakage if row.parts == "mine"]
    # a1 and a2 have a twin and its group in training, b2 a twin of another known group, b3 nothing.
    assert [(row.label, row.n, row.twin, row.group, row.any) for row in mine] == [
        ("", 4, 3, 2, 3),
        ("a", 2, 2, 2, 2),
        ("b", 2, 1, 0, 1),
    ]
    assert audit.leakage[0].parts == "random 70/20/10"
    assert {row.feature for row in audit.predictability} == {"duration", "sex", "all together"}


def test_text(audit):
    text = report.text(audit)
    assert max(len(line) for line in text.splitlines()) <= 80
    for said in (
        "Audit of small: 13 recordings",
        "Twins: 4 pairs",
        "2 (33 %)",
        "Twins with two labels: 1 pairs\n  a2 (a) = b0 (b), 1.000",
        "Twins across known groups: 1 pairs\n  b1 (g1) = b2 (g2), 1.000",
        "leaky, 75.0 %",
        "chance: 0.50 and 0.50",
        "12 (10)",
    ):
        assert said in text


def test_long_names_and_lists(audit):
    many = dataclasses.replace(
        audit,
        contradicting=audit.contradicting * 25,
        leakage=tuple(
            dataclasses.replace(row, parts="a protocol with a name that is too long" * 2) for row in audit.leakage
        ),
        grouping="why " * 50,
    )
    text = report.text(many, listed=3)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.count("a2 (a) = b0 (b)") == 3
    assert "and 22 more" in text


def test_table(audit):
    rows = list(csv.DictReader(io.StringIO(report.table(audit))))
    assert tuple(rows[0]) == report.COLUMNS
    assert {row["dataset"] for row in rows} == {"small"}

    def value(**wanted):
        (row,) = (row for row in rows if all(row[key] == each for key, each in wanted.items()))
        return row["value"], row["n"]

    assert value(table="twins", label="a", metric="with_twin") == ("2", "6")
    assert value(table="contradicting", item="a2", other="b0", label="a / b", metric="correlation")[0].startswith("1.0")
    assert value(table="across groups", item="b1", other="b2")[0].startswith("1.0")
    assert value(table="leakage", item="mine", label="", metric="any") == ("3", "4")
    assert value(table="metadata", item="sex", metric="auroc")[1] == "12"
    assert not [row for row in rows if row["metric"] == "subject"]  # of nobody is it known


def test_nothing_there():
    audit = report.audit(Dataset("none", ("a", "b"), None, False, ()))
    assert "Audit of none: 0 recordings" in report.text(audit)
    assert "cannot be measured" in report.text(audit)


def test_groups_of_the_reader_stay(make):
    """What every reader says of its groups is what the audit says, where no recording lacks one."""
    some = tuple(
        make(f"r{i}", np.sin(np.arange(1000.0) ** (1 + i / 9)), label="ab"[i % 2], group=f"g{i}") for i in range(6)
    )
    audit = report.audit(Dataset("known", ("a", "b"), None, False, some, grouping="people by the table"))
    assert audit.grouping == "people by the table"
    assert "Twins: 0 pairs" in report.text(audit)
