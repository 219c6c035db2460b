import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent

# A run of seconds: few subjects, few epochs; nothing about it is meant to be accurate.
TINY = {
    "data.synthetic.subjects": 48,
    "data.synthetic.recordings_per_subject": 1,
    "data.synthetic.seconds": 5.0,
    "stages.teacher.epochs": 1,
    "stages.student.epochs": 3,
    "stages.kd.epochs": 3,
    "stages.export.calibration": 32,
    # Of a dozen test recordings, a barely trained int8 network may well decide one otherwise.
    "stages.export.int8_agreement": 0.5,
    "stages.export.int8_auroc_drop": 0.5,
    "evaluate.bootstrap": 100,
}


@pytest.fixture(scope="session")
def tiny():
    """Makes configs/kd.py tiny, with further changes by dotted name."""
    spec = importlib.util.spec_from_file_location("kd", ROOT / "configs" / "kd.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def make(**changes):
        config = module.get_config()
        config.update_from_flattened_dict(TINY | changes)
        return config

    return make
