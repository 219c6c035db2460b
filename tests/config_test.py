import importlib.util
import pathlib

import pytest

from hsjax import config
from hsjax.types import UserError

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


def kd(variant: str = "", **changes) -> config.ConfigDict:
    spec = importlib.util.spec_from_file_location("kd_config", next(path for path in CONFIGS if path.stem == "kd"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.get_config(variant)
    with made.unlocked():
        made.update_from_flattened_dict(changes)
    return made


@pytest.mark.parametrize("variant", ["", "physionet2016"])
def test_shipped_configs_are_valid(variant):
    config.validate(kd(variant))


def test_unknown_variant_names_the_known():
    with pytest.raises(UserError, match="physionet2016"):
        kd("physionet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages.kd.alhpa": 0.3}, r"stages.kd.alhpa does not exist; did you mean config.stages.kd.alpha"),
        ({"sedes": (0,)}, r"config.sedes does not exist; did you mean config.seeds"),
        ({"data.synthetic.subject": 3}, "did you mean config.data.synthetic.subjects"),
        ({"seeds": ()}, "config.seeds"),
        ({"seeds": (1, 1)}, "different integers"),
        ({"protocols": ("grouped", "grouped")}, "config.protocols"),
        ({"split.grouped.test": 1.0}, "config.split.grouped"),
        ({"prepare.hop_seconds": 3.0}, "hop_seconds"),
        ({"pipeline": ("teacher", "studnet")}, "names 'studnet'"),
        ({"pipeline": ("report",)}, "no train stage"),
        ({"pipeline": ("student", "kd", "teacher"), "evaluate.differences": ()}, "name a train stage before it"),
        ({"pipeline": ("teacher", "student"), "evaluate.differences": ("kd - student",)}, "kd - student"),
        ({"stages.student.teacher": "teacher"}, "set objective=distil or leave teacher empty"),
        ({"stages.kd.temperature": 0.0}, "temperature"),
        ({"stages.kd.alpha": 1.5}, "alpha"),
        ({"stages.kd.epochs": 0}, "epochs"),
        ({"stages.kd.optimizer.learning_rate": 0.0}, "learning_rate"),
        ({"stages.kd.kind": "trian"}, "must be one of train, export, report"),
        ({"stages.export.models": ("tutor",)}, "names 'tutor'"),
        ({"stages.export.models": ()}, "is empty"),
        ({"stages.export.protocol": "paper"}, "which config.protocols does not run"),
        ({"protocols": ("grouped", "paper"), "stages.export.protocol": "paper"}, "whole recordings"),
        ({"stages.export.seed": 4}, "which config.seeds does not run"),
        ({"evaluate.bootstrap": 10}, "bootstrap"),
        ({"seeds": ("a", "b")}, "different integers"),
        ({"protocols": ("paper,grouped",)}, r"\('paper','grouped'\)"),
        ({"pipeline": ("student", "student")}, "more than once"),
        ({"prepare.hop_seconds": 1e-5}, "less than one sample"),
        ({"data.split_seed": -1}, "split_seed"),
        ({"stages.student.alpha": 0.5}, "does not use"),
        ({"stages.kd.optimizer.warmup_fraction": 5.0}, "warmup_fraction"),
        ({"stages.kd.optimizer.weight_decay": -1.0}, "weight_decay"),
        ({"stages.export.calibration": 0}, "calibration"),
        ({"stages.export.threads": 0}, "thread"),
        ({"stages.export.agreement": 2.0}, "agreement"),
    ],
)
def test_contradictions_and_misspellings_stop_with_a_sentence(changes, message):
    with pytest.raises(UserError, match=message):
        config.validate(kd(**changes))


def test_stage_templates_refuse_unknown_keys():
    with pytest.raises(UserError, match=r"did you mean config\.epochs"):
        config.train_stage("song-student", epoch=3)
    with pytest.raises(UserError, match=r"optimizer\.learning_rte"):
        config.train_stage("song-student", optimizer={"learning_rte": 3})


def test_every_difference_is_a_pair():
    assert config.differences(kd()) == [("kd", "student")]
