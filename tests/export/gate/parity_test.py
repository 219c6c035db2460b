import numpy as np
import pytest

from hsjax.export import gate


def test_deviation_is_relative_to_the_largest_output():
    reference = np.array([[10.0, 0.0], [-20.0, 5.0]], np.float32)
    measured = reference + np.array([[0, 0.001], [0, 0]], np.float32)
    check = gate.deviation("m", reference, measured)
    assert (check.passed, check.value) == (True, pytest.approx(0.001 / 20, rel=1e-4))
    assert not gate.deviation("m", reference, measured + 0.002).passed
    assert not gate.deviation("m", reference, np.full_like(reference, np.nan)).passed
    assert not gate.deviation("m", reference, reference[:, :1]).passed
    assert not gate.deviation("m", np.zeros_like(reference), np.zeros_like(reference)).passed


def test_agreement_is_a_part_of_the_units():
    reference = np.zeros(200, np.int64)
    measured = reference.copy()
    measured[:2] = 1
    assert gate.agreement("m", reference, measured) == gate.Check(
        "m", "class agreement", 0.99, 0.99, True, "198 of 200"
    )
    measured[2] = 1
    assert not gate.agreement("m", reference, measured).passed
    assert not gate.agreement("m", reference[:0], measured[:0]).passed


@pytest.mark.parametrize(
    ("total", "different", "passed"), [(19, 1, False), (20, 1, True), (80, 1, True), (80, 2, False)]
)
def test_of_few_units_one_may_lie_on_the_threshold(total, different, passed):
    reference = np.zeros(total, int)
    measured = reference.copy()
    measured[:different] = 1
    check = gate.agreement("m", reference, measured, one_may_differ=True)
    assert check.passed == passed
    assert ("one may differ" in check.detail) == passed
    assert not gate.agreement("m", reference, measured).passed


@pytest.mark.parametrize(
    ("measured", "detail"),
    [
        ([1, 2, 0, 0], "its labels are swapped: it says AS for N, MR for AS, N for MR, and agrees in 100.0% if"),
        ([1, 0, 2, 2], "its labels are swapped: it says AS for MR, MR for AS, and agrees in 100.0% if"),
        ([2, 2, 1, 0], ""),  # nothing makes it agree
    ],
)
def test_swapped_labels_are_named(measured, detail):
    check = gate.agreement("m", np.array([0, 1, 2, 2]), np.array(measured), classes=("AS", "MR", "N"))
    assert not check.passed
    assert detail in check.detail
    assert ("swapped" in check.detail) is bool(detail)


@pytest.mark.parametrize(
    ("described", "detail"),
    [
        (("normal", "abnormal"), "normal, abnormal"),
        (("abnormal", "normal"), "output 0 is normal, not abnormal, output 1 is abnormal, not normal"),
        (("normal", "abnormal", "noise"), "output 2 is nothing, not noise"),
    ],
)
def test_labels_of_a_sidecar_are_the_networks(described, detail):
    check = gate.labels("m", described, ("normal", "abnormal"))
    assert (check.passed, check.detail) == (described == ("normal", "abnormal"), detail)


@pytest.mark.parametrize(("measured", "passed"), [(0.91, True), (0.895, True), (0.88, False), (np.nan, False)])
def test_a_metric_may_drop_a_little_and_rise_at_will(measured, passed):
    (check,) = gate.metric_drop("m", "auroc", 0.9, measured)
    assert check.passed is passed


@pytest.mark.parametrize(("bound", "passed"), [(0.0, True), (0.01, True), (0.011, False), (np.nan, False)])
def test_the_worse_end_of_its_interval_counts_too(bound, passed):
    point, interval = gate.metric_drop("m", "auroc", 0.9, 0.899, bound=bound)
    assert point.passed
    assert interval.check == "auroc drop, worse end of its paired 95 % interval"
    assert (interval.passed, interval.limit) == (passed, 0.01)


def test_where_there_is_no_interval_it_says_so():
    (check,) = gate.metric_drop("m", "auroc", 0.9, 0.895)
    assert check.detail == "0.8950 after 0.9000; no interval"


def test_an_interval_of_few_groups_is_told_and_not_judged():
    (check,) = gate.metric_drop("m", "auroc", 0.9, 0.895, bound=0.3, few=20)
    assert check.passed
    assert check.detail.endswith("its paired 95 % interval reaches 0.3000, not judged with 20 groups of a class")
    (check,) = gate.metric_drop("m", "auroc", 0.9, 0.88, bound=0.3, few=20)
    assert not check.passed


def test_enforce_names_all_that_failed_and_only_that():
    checks = [
        *gate.metric_drop("a.tflite", "auroc", 0.9, 0.7),
        *gate.metric_drop("b.tflite", "auroc", 0.9, 0.9),
        gate.agreement("c.tflite", np.arange(4), np.zeros(4, int)),
    ]
    with pytest.raises(
        gate.GateFailed, match=r"a\.tflite: auroc drop is 0\.2, .*c\.tflite: class agreement is 0\.25, "
    ) as error:
        gate.enforce(checks)
    assert error.value.checks == (checks[0], checks[2])
    assert "b.tflite" not in str(error.value)
    gate.enforce(checks[1:2])
