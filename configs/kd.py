"""Knowledge distillation for heart sounds.

Song et al., "Cutting Weights of Deep Learning Models for Heart Sound Classification: Introducing a Knowledge
Distillation Approach", EMBC 2023: a student of 43,250 parameters learns from a teacher of 254,594 by offline
distillation, alpha = 0.1 and T = 7 (the best of the paper's grid, which was selected on its test set; it is taken from
the paper here, not searched for again).

    python -m hsjax.launch --config=configs/kd.py                      embedded synthetic data, 3 minutes
    python -m hsjax.launch --config=configs/kd.py:physionet2016        PhysioNet/CinC Challenge 2016, 50 minutes
    python -m hsjax.launch --config=configs/kd.py:grid                 the paper's grid there, and three seeds of it

(on two shared cores, seed 0). Expected of the second, on 2,820 recordings: the table in README.md, whose rows are in
configs/results/kd-physionet2016.csv.

Differences from the paper: windows of 2.5 s every 2.5 s instead of segmented heart cycles, no spike removal, because
that is what a device can do; a validation part inside training picks the epoch. Optimiser, learning rate, epochs, MFCC
window and hop are not in the paper.
"""

from hsjax import config as base_config
from hsjax.types import UserError

_NAME = "kd"
_COMMAND = "python -m hsjax.launch --config=configs/kd.py"


def get_config(variant: str = ""):
    config = base_config.base()
    config.name = _NAME
    config.command = _COMMAND + (f":{variant}" if variant else "")
    student = {"model": "song-student", "epochs": 30}
    config.stages = {
        "teacher": base_config.train_stage("song-teacher", epochs=15),
        "student": base_config.train_stage(**student),
        "kd": base_config.train_stage(**student, objective="distil", teacher="teacher", temperature=7.0, alpha=0.1),
        "export": base_config.export_stage(models=("student", "kd")),
        "report": base_config.report_stage(),
    }
    config.pipeline = ("teacher", "student", "kd", "export", "report")
    config.evaluate.differences = ("kd - student",)
    if variant == "physionet2016":
        config.data.name = "physionet2016"
        config.protocols = ("paper", "grouped")
        config.stages.teacher.epochs = 12
        config.stages.student.epochs = config.stages.kd.epochs = 20
    elif variant == "grid":
        # Table II, and the line of alpha at T = 7 drawn out to both sides; all points and seeds train as one stage.
        at_alpha = base_config.grid(temperature=(1.0, 3.0, 5.0, 7.0, 9.0), alpha=(0.3,))
        at_temperature = base_config.grid(temperature=(7.0,), alpha=(0.0, 0.1, 0.5, 0.7, 0.9))
        config.data.name = "physionet2016"
        config.seeds = (0, 1, 2)
        config.stages.teacher.epochs, config.stages.student.epochs = 6, 4
        config.stages.grid = base_config.train_stage(
            "song-student", epochs=4, objective="distil", teacher="teacher", sweep=at_alpha + at_temperature
        )
        config.pipeline = ("teacher", "student", "grid", "report")
        config.evaluate.differences = ()
    elif variant:
        raise UserError(
            f"configs/kd.py has no variant {variant!r}; there are physionet2016 and grid, and none for synthetic data"
        )
    return config
