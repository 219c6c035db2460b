"""Runs killed at random moments, their files damaged in between; tests/benchmarks/kills.py does so many times."""

import os

import pytest

from tests import hurry
from tests.benchmarks import kills

STAGES = {
    "teacher": "base_config.train_stage('song-student', epochs=4, batch_size=16)",
    "kd": "base_config.train_stage('song-student', epochs=4, batch_size=16, objective='distil', teacher='teacher',"
    " temperature=7.0, alpha=0.1)",
    "report": "base_config.report_stage(examples=1)",
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return kills.prepare(tmp_path_factory.mktemp("kills"), STAGES, os.environ | {"XLA_FLAGS": hurry.FLAGS})


def test_killed_runs_end_as_the_undisturbed_one(experiment, tmp_path):
    row = kills.survive(experiment, tmp_path, count=3, seed=0)
    assert row["kills"] == 3
    assert row["identical"] == row["chains"] > 0


def test_damage_is_told_of_and_changes_nothing(experiment, tmp_path):
    row = kills.survive(experiment, tmp_path, count=1, seed=1, damaging=True)
    assert row["refused"] + row["fell_back"] >= 1
    assert row["identical"] == row["chains"] > 0
