"""configs/ecg_compression.py on embedded ECG, shortened: every cell is trained, and the files pass the gate."""

import importlib.util
import pathlib

import numpy as np
import pytest

from hsjax import predict
from hsjax.experiment import run
from hsjax.report.tables import read_results
from hsjax.types import UserError
from tests import hurry

ROOT = pathlib.Path(__file__).parent.parent.parent
CELLS = ("dscnn", "dscnn-qp", "dscnn-q", "dscnn-p", "dscnn-pc")


@pytest.fixture(scope="module")
def get_config():
    spec = importlib.util.spec_from_file_location("ecg_compression", ROOT / "configs" / "ecg_compression.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config


@pytest.fixture(scope="module")
def finished(get_config, tmp_path_factory):
    config, workdir = get_config(), tmp_path_factory.mktemp("ecg")
    config.data.synthetic_ecg.people, config.data.synthetic_ecg.seconds = 8, 60.0
    config.evaluate.bootstrap = 100
    for name in CELLS:
        config.stages[name].epochs = 1
    # So little training leaves beats between two classes: what is tested here is the way, not the network.
    config.stages.export.update({"agreement": 0.5, "auroc_drop": 1.0, "calibration": 32})
    with hurry.training():
        run.run(config, workdir)
    return workdir


def test_every_cell_is_scored_and_pruned_ones_are_smaller(finished):
    rows = read_results(finished / "report" / "results.csv")
    scored = {row.stage for row in rows if row.metric == "accuracy" and row.variant == "jax" and row.unit == "segment"}
    assert scored == set(CELLS)
    zipped = {row.stage: row.value for row in rows if row.metric == "zipped_bytes" and row.variant == "jax"}
    assert zipped["dscnn-pc"] < zipped["dscnn-p"]
    assert {row.dataset for row in rows} == {"synthetic_ecg"}


def test_files_take_the_tables_that_the_gate_was_run_on(finished):
    model = finished / "exports" / "dscnn-qp" / "tflite-int8-samples.tflite"
    tables = sorted((finished / "recordings").glob("*.csv"))
    assert len(tables) == 8  # random beats of everybody are in the test part
    found = predict.of_record(model, 1, tables[0], predict.Reading())
    assert found.lead == "MLII"
    assert len(found.beats) > 10
    assert np.isclose(sum(found.beats[0].probabilities.values()), 1)


def test_variants(get_config):
    assert get_config("inter-patient").protocols == ("inter-patient",)
    networks = ("mobilenet", "efficientnet", "resnet50", "resnet101", "densenet201")
    for name, protocol in (("paper", "paper"), ("paper-inter-patient", "inter-patient")):
        config = get_config(name)
        assert config.protocols == (protocol,)
        assert {stage for stage in config.stages if stage not in ("export", "report")} == {
            f"{network}{cell}" for network in networks for cell in ("", "-q", "-p", "-pc", "-qp")
        }
    with pytest.raises(UserError, match="no variant 'yaseen'"):
        get_config("yaseen")
