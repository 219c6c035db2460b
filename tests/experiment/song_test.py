"""configs/kd.py holds what Song et al. report."""

import csv
import importlib.util
import math
import pathlib

import jax
import pytest

from hsjax import config as run_config
from hsjax.experiment import checks
from hsjax.experiment.context import Context

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def kd():
    spec = importlib.util.spec_from_file_location("kd", ROOT / "configs" / "kd.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("variant", ["", "physionet2016", "grid", "paper", "protocols"])
def test_every_variant_can_be_built(kd, variant, tmp_path):
    config = kd.get_config(variant)
    run_config.validate(config)
    checks.settings(Context(config, tmp_path))


def test_every_published_stage_is_trained(kd):
    config = kd.get_config("paper")
    stages = run_config.stages(config, run_config.StageKind.TRAIN)
    trained = {member for name, stage in stages.items() for member in run_config.members(name, stage)}
    with (ROOT / "configs" / "published.csv").open(newline="") as file:
        published = {row["stage"] for row in csv.DictReader(file) if row["seed"] == "song2023"}
    # CardioXNet reads raw samples: not of the same features.
    assert published - trained == {"cardioxnet"}


def test_sizes_are_those_of_the_paper(kd, tmp_path):
    context = Context(kd.get_config("paper"), tmp_path)
    sizes = {}
    for name in ("teacher", "student", "kd", "li2021"):
        shapes = jax.eval_shape(context.network(name, num_classes=2).init, jax.random.key(0), context.one_input)
        sizes[name] = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    assert sizes == {"teacher": 254_594, "student": 43_250, "kd": 43_250, "li2021": 4_290}
