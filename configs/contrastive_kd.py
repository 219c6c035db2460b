"""Contrastive distillation on PASCAL.

Sarkhel, "Efficient Heart Sound Classification using Contrastive Learning based Knowledge Distillation" (2023): Conv1D,
Conv2D, LSTM and RNN teachers, a student distilled from them, the same student from scratch, K-means on top. The report
gives no layer, no hyper-parameter, no split and no table: all of them are ours.

    python -m hsjax.launch --config=configs/contrastive_kd.py           embedded synthetic data
    python -m hsjax.launch --config=configs/contrastive_kd.py:pascal    PASCAL, one seed
    python -m hsjax.launch --config=configs/contrastive_kd.py:seeds     what is compared, six seeds
    python -m hsjax.launch --config=configs/contrastive_kd.py:paper     everything with six seeds

`crd` is contrastive representation distillation (Tian et al. 2020) beside the cross-entropy, `kd` Hinton's at T = 4 as
a control, `scratch` the same student on the classes alone. The teacher is the one-dimensional network: of
four it was the most accurate on the validation segments of protocol paper, and costs the least. Nothing else was
searched for.

Protocol paper, as we define it: labelled files of sets A and B together; normal, murmur, extra (extrahls and
extrastole) and artifact; noisy sublabels kept; recordings divided at random 80/20, each class alike. Protocol grouped
keeps near-copies together. `-kmeans` are clusters of a network's embeddings, fitted on training windows, their number
chosen on validation; the report does not say how it used K-means. `why` are SHAP values of teacher and student.

Two cores: `:seeds` with three seeds under protocol paper takes 45 minutes on one busy thread, `:pascal` an hour, both
protocols (an earlier form of it, see configs/results/README.md); `:paper` was not run. The embedded form has two of the
four teachers. Accuracy per test recording (92 of 72 groups), mean and standard deviation over seeds 0 to 2:

    network   alone            with K-means
    conv1d    0.736 +- 0.176   0.815 +- 0.029
    scratch   0.754 +- 0.056   0.790 +- 0.035
    kd        0.743 +- 0.066   0.779 +- 0.027
    crd       0.717 +- 0.039   0.808 +- 0.017
    majority  0.609

crd - scratch: -0.036 (-0.077 to +0.000). The 80 % on average are not reached (0.775 in that earlier form, seed 0), and
under protocol grouped no network is clearly better than saying the commonest class.
"""

from typing import Any

from hsjax import config as base_config
from hsjax.types import UserError

_COMMAND = "python -m hsjax.launch --config=configs/contrastive_kd.py"
TEACHERS = ("conv1d", "conv2d", "lstm", "rnn")
STUDENTS = ("scratch", "kd", "crd")
CLASSICAL = (
    "majority",
    "logistic-regression",
    "linear-svm",
    "rbf-svm",
    "random-forest",
    "nearest-neighbours",
    "gradient-boosting",
)
_FEW = ("majority", "logistic-regression", "random-forest")
_TEACHER = "conv1d"
_COMPARED = (_TEACHER, *STUDENTS)
_SMALL = {"conv1d": {"widths": (16, 32)}, "rnn": {"units": (16,)}}
"""Teachers of the embedded form, which has to be quick: two of the four, and smaller ones."""
_EPOCHS = {"": (2, 4), "pascal": (15, 30), "seeds": (15, 30), "paper": (15, 30)}
"""Of teachers and students."""

NOTES = (
    "The report gives no layer, hyper-parameter, split or table: networks, training and the protocol are ours, and "
    "what stands beside our figures are two sentences of its text.",
    "The contrastive distillation is CRD (Tian et al. 2020) beside the cross-entropy; which contrastive loss the "
    "report used, and on which of its teachers, it does not say. Ours learns from the one-dimensional network.",
    "How the report used K-means is not said: here classes are told from clusters of a network's embeddings, fitted on "
    "training windows.",
    "PASCAL names no people in set A: groups are its days of recording, and in set B patients; where sounds show that "
    "several are one source they are one group. Under protocol paper they cross.",
)


def get_config(variant: str = ""):
    if variant not in _EPOCHS:
        raise UserError(
            f"configs/contrastive_kd.py has no variant {variant!r}; there are pascal, seeds and paper, and none for "
            "synthetic data"
        )
    config = base_config.base()
    config.name = "contrastive_kd"
    config.command = _COMMAND + (f":{variant}" if variant else "")
    config.published = "sarkhel"
    config.notes = NOTES
    config.protocols = ("paper", "grouped") if variant else ("grouped",)
    config.split.paper = {"test": 0.2, "validation": 0.15, "unit": "recording", "stratified": True}
    config.split.grouped.folds = 1
    config.prepare.window_seconds = config.prepare.hop_seconds = 4.0
    _features(config.features)
    teachers = {"": tuple(_SMALL), "seeds": (_TEACHER,)}.get(variant, TEACHERS)
    classical = _FEW if variant in ("", "seeds") else CLASSICAL
    clustered = (*teachers, *STUDENTS) if variant else _COMPARED
    if variant:
        config.data.name = "pascal"
        config.seeds = (0,) if variant == "pascal" else tuple(range(6))
    else:
        config.data.synthetic.subjects = 60
        config.data.synthetic.recordings_per_subject = 1
        config.data.synthetic.task = "condition"
        config.evaluate.bootstrap = 200
    of_teachers, of_students = _EPOCHS[variant]
    # Classes are uneven and files few: all classes weigh the same.
    common: dict[str, Any] = {"batch_size": 32, "class_weighting": "balanced"}
    student = common | {"model": "sarkhel-student", "epochs": of_students}
    taught = student | {"objective": "distil", "teacher": _TEACHER}
    stages = {
        name: base_config.train_stage(
            f"sarkhel-{name}", epochs=of_teachers, options={} if variant else _SMALL[name], **common
        )
        for name in teachers
    }
    stages |= {
        "scratch": base_config.train_stage(**student),
        "kd": base_config.train_stage(**taught, temperature=4.0, alpha=0.5),
        "crd": base_config.train_stage(**taught, soft="none", hints={"crd": 0.8}),
    }
    stages |= {f"{name}-kmeans": base_config.cluster_stage(name) for name in clustered}
    stages |= {name: base_config.classical_stage(name) for name in classical}
    small = {} if variant else {"examples": 2, "background": 5, "patches": (4, 6), "evaluations": 100}
    explained = (_TEACHER, "crd") if variant else ("crd",)
    stages["why"] = base_config.explain_stage(models=explained, **small)
    config.stages = stages
    config.stages.report = base_config.report_stage()
    config.pipeline = (*stages, "report")
    if teachers == TEACHERS:  # "in an average in all model"
        config.evaluate.averages = (f"average = {' + '.join((*TEACHERS, 'scratch', 'crd'))}",)
    config.evaluate.differences = (
        "crd - scratch",
        "kd - scratch",
        "crd - kd",
        *(f"{name}-kmeans - {name}" for name in clustered),
    )
    return config


def _features(features) -> None:
    """32 mel bands of 20 to 800 Hz in dB, a frame in 50 ms, each band normalised on the training part."""
    features.name = "log-mel"
    features.n_mels = 32
    features.hop_length = 100
    features.fmax = features.band.high = 800.0
