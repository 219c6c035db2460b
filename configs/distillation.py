"""Every loss of the distillation library on one task: same teacher, same student, same budget.

    python -m hsjax.launch --config=configs/distillation.py                 embedded synthetic data, 4 minutes
    python -m hsjax.launch --config=configs/distillation.py:physionet2016   PhysioNet/CinC Challenge 2016, 3 seeds

Teacher and student are those of Song et al. (configs/kd.py). Losses of logits have Song's alpha = 0.1 and T = 7, but
for the binary one, which of two classes is KD: it has Sriram's T = 1 and no labels. Losses of what is inside stand
beside the cross-entropy, with the weights that the RepDistiller benchmark (Tian et al. 2020) took from the papers; that
of PKT is divided by the batch size, because ours is a mean over the batch there. Nothing is tuned on this task, so the
table says what each loss does out of the box, not what it can do. Taps are the last maps of each network. With two
classes DKD is its first term alone, which is KD times T^2 = 49: read its row as KD with other weights, not as a verdict
on DKD. Logit standardisation would keep nothing but a sign: it is left out.
"""

from typing import Any

from hsjax import config as base_config
from hsjax.types import UserError

_COMMAND = "python -m hsjax.launch --config=configs/distillation.py"
_BATCH = 64

LOGITS = ("kd", "bce", "dkd", "dist", "ttm", "wttm")
HINTS = {
    "fitnet": 100.0,
    "attention": 1000.0,
    "similarity": 3000.0,
    "rkd-distance": 25.0,
    "rkd-angle": 50.0,
    "pkt": 30000.0 / _BATCH,
    "vid": 1.0,
    "crd": 0.8,
}


def get_config(variant: str = ""):
    config = base_config.base()
    config.name = "distillation"
    config.command = _COMMAND + (f":{variant}" if variant else "")
    config.published = "song2023"
    student: dict[str, Any] = {"model": "song-student", "epochs": 3, "batch_size": _BATCH}
    taught = student | {"objective": "distil", "teacher": "teacher"}
    stages = {
        "teacher": base_config.train_stage("song-teacher", epochs=3),
        "student": base_config.train_stage(**student),
    }
    for loss in LOGITS:
        temperature, alpha = (1.0, 0.0) if loss == "bce" else (7.0, 0.1)
        stages[loss] = base_config.train_stage(**taught, soft=loss, temperature=temperature, alpha=alpha)
    for hint, weight in HINTS.items():
        stages[hint] = base_config.train_stage(**taught, soft="none", hints={hint: weight})
    stages["rkd-angle"].lanes = 1  # its batched products are slow where XLA has one thread for each member
    both: dict[str, Any] = {"objective": "mutual", "peer": "song-student", "alpha": 0.5}
    stages["mutual"] = base_config.train_stage(**student, **both)
    stages["self-distil"] = base_config.train_stage(**student, objective="self-distil", alpha=0.5, temperature=7.0)
    config.stages = stages
    config.stages.report = base_config.report_stage()
    config.pipeline = (*stages, "report")
    config.evaluate.differences = tuple(f"{name} - student" for name in stages if name not in ("teacher", "student"))
    if variant == "physionet2016":
        config.data.name = "physionet2016"
        config.seeds = (0, 1, 2)
        for stage in stages:
            config.stages[stage].epochs = 4
        config.stages.teacher.epochs = 6
    elif variant:
        raise UserError(f"configs/distillation.py has no variant {variant!r}; there is physionet2016")
    return config
