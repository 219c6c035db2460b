"""Options of a network, weights to begin with, and frozen parts, as a config names them."""

import hashlib
import json
import math
import pathlib

import flax.traverse_util
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from hsjax import config as run_config
from hsjax import models
from hsjax.experiment import run, train_stage
from hsjax.experiment.context import Context, Training
from hsjax.models.pretrained.names import mobilenet_v2
from hsjax.types import UserError

MODEL = "mobilenetv2"
OPTIONS = {"width": 0.25, "stages": ((2, 8, 1, 2),), "variant": "keras"}


def config(**stage):
    """One stage on few recordings; nothing about it is meant to be accurate."""
    made = run_config.base()
    made.name, made.command = "pretrained", "pytest"
    settings = {"model": MODEL, "options": OPTIONS, "epochs": 1} | stage
    made.stages = {"net": run_config.train_stage(**settings)}
    made.pipeline = ("net",)
    made.update_from_flattened_dict(
        {"data.synthetic.subjects": 24, "data.synthetic.recordings_per_subject": 1, "data.synthetic.seconds": 5.0,
         "evaluate.bootstrap": 100}
    )  # fmt: skip
    return made


def flat(variables) -> dict[tuple[str, ...], np.ndarray]:
    """Leaves by collection and path."""
    return {path: np.asarray(leaf) for path, leaf in flax.traverse_util.flatten_dict(variables).items()}


@pytest.fixture(scope="module")
def weights():
    """Every variable but the head's, drawn, by its path here."""
    network = models.build(MODEL, num_classes=2, **OPTIONS)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 13, 90)))
    rng = np.random.default_rng(0)

    def draw(path, shape):
        if path[-1] == "kernel":
            return rng.normal(0, math.sqrt(2 / math.prod(shape[:3])), shape)
        return rng.uniform(0.7, 1.3, shape) if path[-1] in ("scale", "var") else rng.normal(0, 0.1, shape)

    leaves = flax.traverse_util.flatten_dict(shapes)
    return {path: draw(path, leaf.shape).astype(np.float32) for path, leaf in leaves.items() if path[1] != "logits"}


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory) -> pathlib.Path:
    """These weights as Keras has them: its names, depthwise kernels with the channels before the ones."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.npz"
    tensors = {}
    for (_, *leaf), value in weights.items():
        depthwise = leaf[-3:] == ["depthwise", "conv", "kernel"]
        tensors[mobilenet_v2.keras(tuple(leaf))] = value.transpose(0, 1, 3, 2) if depthwise else value
    assert len(tensors) == len(weights)
    np.savez(path, **tensors)
    return path


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    """The folder of a run from the file, its stem frozen, the rest hardly moved."""
    workdir = tmp_path_factory.mktemp("finished")
    made = config(pretrained=str(file), freeze=("stem",))
    made.stages.net.optimizer.learning_rate = 1e-8
    run.run(made, workdir)
    return made, workdir


def done(workdir: pathlib.Path) -> dict:
    return json.loads((workdir / "stages" / "grouped" / "0" / "net" / "done.json").read_text())


def test_the_result_says_which_weights_it_is_from(finished, file):
    _, workdir = finished
    assert done(workdir)["pretrained"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_options_reach_the_network(finished):
    # Stem; a block that expands twofold; head; linear layer: kernels and the batch norms behind them.
    made, workdir = finished
    block = (8 * 16 + 32) + (9 * 16 + 32) + (16 * 8 + 16)
    assert done(workdir)["parameters"] == (27 * 8 + 16) + block + (8 * 1280 + 2560) + (1280 * 2 + 2)
    assert Context(made, workdir).network("net").module.stages[0].strides == 2


def test_training_begins_with_the_file_s_weights_and_leaves_the_frozen_ones(finished, weights):
    made, workdir = finished
    trained, _ = train_stage.load(Context(made, workdir), Training("grouped", 0, 0, "net"))
    leaves = flat(trained)
    assert {path for path in leaves if path[1] != "logits"} == weights.keys()
    for path, value in weights.items():
        if path[1] == "stem":
            np.testing.assert_array_equal(leaves[path], value, err_msg="/".join(path))
        elif path[0] == "params":
            np.testing.assert_allclose(leaves[path], value, atol=1e-6, err_msg="/".join(path))
        else:
            assert np.any(leaves[path] != value), path
    assert any(np.any(leaves[path] != value) for path, value in weights.items() if path[:2] == ("params", "head"))


def test_the_same_again_does_nothing_again(finished, file):
    made, workdir = finished
    before = (workdir / "stages" / "grouped" / "0" / "net" / "done.json").stat().st_mtime_ns
    run.run(made, workdir)
    assert (workdir / "stages" / "grouped" / "0" / "net" / "done.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("changes", [{"freeze": ()}, {"options": OPTIONS | {"dropout": 0.1}}, {"pretrained": ""}])
def test_other_weights_options_or_frozen_parts_are_other_settings(finished, changes):
    made, workdir = finished
    other = ml_collections.ConfigDict(made.to_dict())
    other.stages.net.update(changes)
    (name,) = changes
    with pytest.raises(UserError, match=rf"made with other settings: stage\.{name}"):
        run.run(other, workdir)


def test_other_weights_of_the_same_name_are_other_settings(finished, file, weights):
    """A part that is finished, or was interrupted, does not go on from another file; nor does it mind a moved one."""
    made, workdir = finished
    whole = file.read_bytes()
    other = ml_collections.ConfigDict(made.to_dict())
    other.stages.net.pretrained = str(file.with_stem("moved"))
    try:
        with np.load(file) as tensors:
            np.savez(file, **{name: tensors[name] * 1.5 for name in tensors.files})
        file.with_stem("moved").write_bytes(whole)
        with pytest.raises(UserError, match=r"made with other settings: stage\.pretrained"):
            run.run(made, workdir)
        run.run(other, workdir)
    finally:
        file.write_bytes(whole)


@pytest.fixture
def no_data(monkeypatch):
    """No recording may be looked at before the config has been found right."""
    monkeypatch.setattr(Context, "dataset", property(lambda self: pytest.fail("work was done")))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"pretrained": "/nowhere/mobilenet.npz"},
         r"config\.stages\.net\.pretrained: there is no file /nowhere/mobilenet\.npz; `python -m hsjax\.models weights`"
         " says which there are and where"),
        ({"options": {"widht": 0.5}},
         "mobilenetv2 has no option 'widht'; it has channels, variant, dropout, width, stages, stem, last, expanded"),
        ({"options": {"variant": "kreas"}}, "variant of mobilenetv2 is 'kreas'; it must be one of keras, torchvision"),
        ({"options": {"dropout": "0.2"}}, "dropout of mobilenetv2 is '0.2'; it must be a number"),
        ({"options": {"stages": ((1, 8),)}},
         r"stages of mobilenetv2 has a row \(1, 8\); each row has expansion, features, repeats, strides"),
        ({"freeze": ("stem", "stage1")},
         "nothing to freeze is called 'stage1'; this network has block1, head, logits, stem"),
        ({"freeze": ("*",)}, r"freezing \* leaves nothing to train"),
        ({"model": "mobilenet", "options": {}}, "no network is called 'mobilenet'; there are .*"),
        ({"model": "squeezenet", "options": {}},
         "features of 13 x .* do not suit squeezenet: the input is too small: at .*"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_stops_the_run_before_any_work(no_data, tmp_path, stage, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        run.run(config(**stage), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"options": OPTIONS | {"width": 0.5}}, "has shape .*: wrong file or options?"),
        ({"options": OPTIONS | {"variant": "torchvision"}}, "build it with variant keras"),
        ({"options": OPTIONS | {"stages": ((1, 8, 1, 2),)}}, "tensors that this network has no place for|has shape"),
        ({"model": "dscnn", "options": {}}, "there are no ImageNet weights for 'dscnn'; there are for .*"),
    ],
)
def test_weights_of_another_network_stop_the_run_before_any_work(no_data, tmp_path, file, stage, message):
    with pytest.raises(UserError, match=rf"^config\.stages\.net\.pretrained: .*{message}"):
        run.run(config(pretrained=str(file), **stage), tmp_path / "run")
    assert not (tmp_path / "run").exists()
