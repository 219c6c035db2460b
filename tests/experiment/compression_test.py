"""Whole runs whose stages compress: each begins with the one before, and what that one did stays done."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from hsjax import compress
from hsjax import config as run_config
from hsjax.experiment import beginning, run
from hsjax.experiment.context import Context
from hsjax.models.layers import fake_quant
from hsjax.types import UserError
from tests import hurry

SPARSE = ("sparse@sparsity=0.5", "sparse@sparsity=0.8")


def stage(model="song-student", **changes):
    return run_config.train_stage(model, epochs=2, batch_size=16, **changes)


def small(*pipeline: str):
    config = run_config.base()
    config.name, config.command = "compression", "pytest"
    config.data.synthetic.subjects, config.data.synthetic.recordings_per_subject = 24, 1
    config.data.synthetic.seconds = 5.0
    config.split.grouped.folds, config.evaluate.bootstrap = 1, 100
    whole = {"sparsity": 0.5, "every": 1, "end": 0.7}
    config.stages = {
        "whole": stage(),
        "narrow": stage(
            begin="whole", objective="distil", teacher="whole", alpha=0.5,
            compress={"channels": {"conv2": 12, "hidden": 0.5}},
        ),
        "thin": stage(begin="narrow", compress={"ranks": {"hidden": 3}}),
        "sparse": stage(begin="thin", compress={"prune": whole}, sweep=run_config.grid(sparsity=(0.5, 0.8))),
        "few": stage(begin=SPARSE[1], compress={"cluster": {"clusters": 8}}),
        "fine": stage(begin="few", quantise={"weights": 8, "overrides": {"output": {"activations": 16}}}),
        "learned": stage(begin="fine", quantise={"weights": 8, "ranges": "learned"}),
        "report": run_config.report_stage(),
    }  # fmt: skip
    config.pipeline = pipeline or ("whole", "narrow", "thin", "sparse", "few", "fine", "learned", "report")
    return config


def variables(folder):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore((folder / "variables").absolute())


def params(folder):
    return jax.tree.map(jnp.asarray, variables(folder)["params"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("compression")
    with hurry.training():
        run.run(small(), workdir)
    return workdir


@pytest.fixture(scope="module")
def stages(finished):
    return finished / "stages" / "grouped" / "0"


def shapes(tree):
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def test_channels_are_out_and_stay_out(stages):
    """Maps of song's student on 13 x 97 features end as 3 x 24."""
    whole, narrow = shapes(params(stages / "whole")), shapes(params(stages / "narrow"))
    positions = whole["hidden/kernel"][0] // 32
    assert narrow["conv2/kernel"] == (3, 3, 16, 12)
    assert narrow["hidden/kernel"] == (positions * 12, 8)
    thin = shapes(params(stages / "thin"))
    assert (thin["hidden/down/kernel"], thin["hidden/up/kernel"]) == ((positions * 12, 3), (3, 8))
    for name in (*SPARSE, "few", "fine"):
        assert shapes(params(stages / name)) == thin


def zeros(stages, name):
    return {path: np.asarray(kernel) == 0 for path, kernel in compress.kernels(params(stages / name)).items()}


def test_zeros_are_as_many_as_asked_for_and_stay(stages):
    for name, share in zip(SPARSE, (0.5, 0.8), strict=True):
        found = zeros(stages, name)
        total = sum(mask.size for mask in found.values())
        assert sum(mask.sum() for mask in found.values()) == round(share * total)
    assert not any(mask.any() for mask in zeros(stages, "thin").values())
    for name in ("few", "fine", "learned"):
        for path, mask in zeros(stages, name).items():
            np.testing.assert_array_equal(mask, zeros(stages, SPARSE[1])[path])


def test_clusters_are_few_while_they_are_asked_for(stages):
    few, fine = (compress.kernels(params(stages / name)) for name in ("few", "fine"))
    assert all(len(np.unique(kernel)) <= 8 for kernel in few.values())
    assert any(len(np.unique(kernel)) > 8 for kernel in fine.values())


def test_quantised_stages_begin_with_ranges_of_what_they_see(stages, finished):
    """Features have mean 0 and deviation 1; hidden units are not negative."""
    ranges = variables(stages / "fine")["ranges"]
    assert ranges["input_low"] < -1 < 1 < ranges["input_high"]
    assert ranges["act3"]["after_high"] > ranges["act3"]["after_low"] == 0
    assert "ranges" not in variables(stages / "few")
    steps = params(stages / "learned")["logits"]
    assert steps["kernel_step"].shape == (2,)
    network = Context(small(), finished).network("fine")
    assert network.module.execution.quantiser == fake_quant(overrides={"output": {"activations": 16}})


def test_ranges_are_of_some_batches_drawn_by_the_seed():
    drawn = beginning.batches(np.arange(10, 60), 8, 3, 0)
    assert [len(batch) for batch in drawn] == [8, 8, 8]
    assert len(set(np.concatenate(drawn))) == 24
    assert set(np.concatenate(drawn)) < set(range(10, 60))
    np.testing.assert_array_equal(drawn, beginning.batches(np.arange(10, 60), 8, 3, 0))
    assert (drawn[0] != beginning.batches(np.arange(10, 60), 8, 3, 1)[0]).any()
    assert len(beginning.batches(np.arange(20), 8, 3, 0)) == 2
    (whole,) = beginning.batches(np.arange(5), 8, 3, 0)
    assert sorted(whole) == [0, 1, 2, 3, 4]


def test_sizes_are_in_the_records_and_in_the_results(finished, stages):
    compressed = ("narrow", "thin", *SPARSE, "few", "fine", "learned")
    records = {name: json.loads((stages / name / "done.json").read_text()) for name in ("whole", *compressed)}
    assert "nonzero" not in records["whole"]
    assert records["thin"]["nonzero"] <= records["thin"]["parameters"] < records["whole"]["parameters"]
    kept = {name: sum((~mask).sum() for mask in zeros(stages, name).values()) for name in SPARSE}
    assert kept[SPARSE[1]] <= records[SPARSE[1]]["nonzero"] < records[SPARSE[0]]["nonzero"]
    sizes = [records[name]["zipped_bytes"] for name in ("thin", *SPARSE, "few")]
    assert sizes == sorted(sizes, reverse=True)
    with (finished / "report" / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "zipped_bytes"]
    found = {row["stage"]: float(row["value"]) for row in rows if row["seed"] == "0"}
    assert found == {name: records[name]["zipped_bytes"] for name in compressed}


def test_settings_tell_what_was_done_before(stages):
    settings = json.loads((stages / "few" / "settings.json").read_text())
    assert settings["begin.stage.compress.prune.sparsity"] == 0.8
    assert settings["begin.begin.stage.compress.ranks.hidden"] == 3
    assert settings["begin.begin.begin.stage.compress.channels.conv2"] == 12


def test_members_of_a_sweep_are_one_learner(tmp_path):
    context = Context(small(), tmp_path)
    one, other = (context.learner(name, steps=4) for name in SPARSE)
    assert one == other
    assert [type(transform).__name__ for transform in one.compression.transforms] == ["Prune"]
    few = context.learner("few", steps=4)
    assert [type(transform).__name__ for transform in few.compression.transforms] == ["KeepZeros", "Cluster"]
    assert context.learner("thin", steps=4).compression == compress.NONE


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "narrow",
            {"channels": {"conv9": 0.5}},
            "narrow.compress: no channels are called 'conv9'",
        ),
        (
            "thin",
            {"ranks": {"conv1": 2}},
            "thin.compress: no linear layer or 1x1 convolution is called",
        ),
        ("few", {"cluster": {"clusters": 8, "kernels": ("stem",)}}, r"stages\.few: no kernel is at 'stem'"),
        (
            "sparse",
            {"prune": {"scope": "layers"}},
            "compress.prune.scope is 'layers'; it must be one",
        ),
    ],
)
def test_what_names_nothing_stops_before_any_work(name, changes, message, tmp_path):
    config = small()
    config.stages[name].compress.update(changes)
    with pytest.raises(UserError, match=message):
        run.run(config, tmp_path)
    assert not (tmp_path / "stages").exists()
