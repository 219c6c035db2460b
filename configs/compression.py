"""Every way to make one student smaller, and what it costs: size, AUROC, latency, memory.

The student is that of Song et al. (EMBC 2023; configs/kd.py): 43,250 parameters, of which 38,400 are in one dense
layer. Each stage begins with the trained float student and trains a little more; `-kd` learns from that student besides
(temperature 2, half of the loss).

    python -m hsjax.launch --config=configs/compression.py                  embedded synthetic data
    python -m hsjax.launch --config=configs/compression.py:physionet2016    PhysioNet/CinC Challenge 2016

The table and the Pareto front are in the section "Compression" of the report page; that of the second command is in
configs/results/compression-physionet2016.csv. Bits of `mixed` are those that

    python -m hsjax.experiment.sensitivity --run=RUN --stage=student --fraction=0.1

measures on validation: layers are 4 bits wide but for the most sensitive ones, up to a tenth of all weights.
"""

from typing import Any

from hsjax import config as base_config
from hsjax.types import UserError

_COMMAND = "python -m hsjax.launch --config=configs/compression.py"
_INT8 = {"weights": 8}
_INT4 = {"weights": 4, "ranges": "learned"}
_EMBEDDED = ("student", "int8", "pruned-clustered-int8", "narrow-mixed-kd", "low-rank-int8-kd")
"""What is exported of the embedded form, which trains nothing else than leads there."""


def get_config(variant: str = ""):
    config = base_config.base()
    config.name = "compression"
    config.command = _COMMAND + (f":{variant}" if variant else "")
    config.published = "song2023"
    student: dict[str, Any] = {"model": "song-student", "epochs": 5}
    if variant == "physionet2016":
        config.data.name = "physionet2016"
        student["epochs"] = 10
    elif variant:
        raise UserError(f"configs/compression.py has no variant {variant!r}; there is physionet2016")
    more = 4 if variant else 2

    def smaller(begin: str = "student", taught: bool = False, rate: float = 5e-4, **changes: Any):
        kd: dict[str, Any] = {
            "objective": "distil",
            "teacher": "student",
            "temperature": 2.0,
            "alpha": 0.5,
            "scale_by_t2": True,
        }
        its = student | {"epochs": more, "begin": begin, "optimizer": {"learning_rate": rate}}
        return base_config.train_stage(**its, **(kd if taught else {}), **changes)

    def pruned(sparsity: float, **how: Any) -> dict[str, Any]:
        return {"prune": {"sparsity": sparsity, "every": 10} | how}

    cluster = {"cluster": {"clusters": 16}}
    narrow, thin = {"channels": {"conv2": 13}}, {"ranks": {"hidden": 4}}
    mixed = _INT4 | {"overrides": {layer: {"weights": 8} for layer in ("conv1", "logits")}}
    stages = {
        "student": base_config.train_stage(**student),
        # Integers.
        "int8": smaller(quantise=_INT8),
        "int8-learned": smaller(quantise=_INT8 | {"ranges": "learned"}),
        "int8-kd": smaller(quantise=_INT8, taught=True),
        "int4": smaller(quantise=_INT4),
        "mixed-kd": smaller(quantise=mixed, taught=True),
        # Fewer weights, in the same shape.
        "pruned": smaller(compress=pruned(0.8)),
        "pruned-layers": smaller(compress=pruned(0.8, scope="layer")),
        "pruned-2-of-4": smaller(compress=pruned(0.5, scope="n-of-m")),
        "clustered": smaller(compress=cluster),
        "pruned-clustered": smaller("pruned", compress=cluster),
        # Smaller shapes.
        "narrow": smaller(compress=narrow, rate=1e-3),
        "low-rank": smaller(compress=thin, rate=1e-3),
        # Together.
        "pruned-int8-kd": smaller(compress=pruned(0.8), quantise=_INT8, taught=True),
        "pruned-clustered-int8": smaller("pruned-clustered", compress=cluster, quantise=_INT8),
        "narrow-int8-kd": smaller("narrow", quantise=_INT8, taught=True),
        "narrow-mixed-kd": smaller("narrow", quantise=mixed, taught=True),
        "low-rank-int8-kd": smaller("low-rank", quantise=_INT8, taught=True),
    }
    if not variant:
        stages = {name: stages[name] for name in stages if name in _leading_to(stages, _EMBEDDED)}
    config.stages = stages
    config.stages.export = base_config.export_stage(
        models=tuple(stages) if variant else _EMBEDDED,
        variants=("tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8-static"),
    )
    config.stages.report = base_config.report_stage()
    config.pipeline = (*stages, "export", "report")
    config.evaluate.differences = tuple(f"{name} - student" for name in stages if name != "student")
    return config


def _leading_to(stages: dict[str, Any], wanted: tuple[str, ...]) -> set[str]:
    """Stages, and those that they begin with."""
    found = set(wanted)
    while more := {stages[name].begin for name in found} - found - {""}:
        found |= more
    return found
