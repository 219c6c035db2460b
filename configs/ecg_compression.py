"""Compressed networks for ECG beats.

Birton, "Compressed Convolutional Neural Networks for the Classification of Electrocardiogram Signals on Embedded
Devices": beats of MIT-BIH as 36 x 36 maps, classified by networks for photographs, float, trained with quantisation,
pruned, pruned and clustered, and quantised and pruned; sizes are those of ZIP files.

    python -m hsjax.launch --config=configs/ecg_compression.py                  embedded synthetic ECG
    python -m hsjax.launch --config=configs/ecg_compression.py:mitdb            MIT-BIH, MobileNetV2 and EfficientNetB0
    python -m hsjax.launch --config=configs/ecg_compression.py:inter-patient    the same without leaks: AAMI's N, S, V
    python -m hsjax.launch --config=configs/ecg_compression.py:paper            all five networks, the paper's split
    python -m hsjax.launch --config=configs/ecg_compression.py:paper-inter-patient    all five without leaks

Expected of the second, test accuracy, with the paper's beside it (MobileNetV2: configs/results/ecg-cells-mitdb.csv;
qp as int8 files, zipped: configs/results/ecg-compression.csv):

    network           float       quantised   pruned      and clustered   quantised and pruned
    MobileNetV2       .974 .934   .979 .895   .955 .900   .959            .957 in 965 KB    .895 in .98 MB
    EfficientNetB0    .946 .959   -    .918   -    .914   -               .923 in 1,216 KB  .903 in 1.21 MB

EfficientNetB0's figures are those of one epoch of the float network and nine tenths of zeros, which was not enough; it
has two epochs now, and half a per cent more zeros, with which nobody has run it, nor its other cells. MobileNetV2's
pruned weights are 2.56 MB as zipped float32, where the paper has 1.88; clustered besides, 1.14 MB.

Expected of the third, MobileNetV2 after one epoch, part of 39,808 beats of other people that is right, and of each
class sensitivity and precision (configs/results/ecg-inter-mitdb.csv): what the paper's split hides is that premature
beats from above the ventricles (S) are hardly ever found.

    cell    accuracy    N            S            V
    float   .839        .873 .949    .021 .049    .876 .363
    qp      .844        .883 .951    .009 .084    .814 .326

Of ResNet50, ResNet101 and DenseNet201 the last two commands train every stage on a sixth of the beats (`share`);
nobody has run them. An epoch of MobileNetV2 took 5 minutes on one core, with integers, too, 12 on two busy ones; one of
EfficientNetB0 20, before depthwise convolutions of small maps became faster (hsjax/models/layers/small_maps.py). The
export stage runs half-hour records through every file and takes half an hour a network.

Differences from the paper: one epoch each (two of EfficientNetB0's float network) instead of 10 to 20 and batches of
128, not 31, because that is what two cores do; no ImageNet weights; the layers' details are torchvision's; Q + P begins
with the float network and goes straight to both. Networks take the one map, not three equal ones: the stem's kernels
are summed. Random beats of one person are in training and test alike under the paper's protocol; `:inter-patient` is
the split of de Chazal et al. 2004, in which nobody is.
"""

from typing import Any

from hsjax import config as base_config
from hsjax.types import UserError

_COMMAND = "python -m hsjax.launch --config=configs/ecg_compression.py"
_OPTIONS = {
    # Of the embedded form: half the blocks compile in half the time.
    "dscnn": {"widths": (32, 64), "depths": (1, 2), "strides": ((1, 1), (2, 2))},
    # Running statistics as Keras has them need thousands of steps, as does a network whose blocks are dropped.
    "mobilenetv2": {"variant": "torchvision"},
    "efficientnetb0": {"variant": "torchvision", "drop": 0.0},
    "resnet50": {"variant": "torchvision"},
    "resnet101": {"variant": "torchvision"},
    "densenet201": {"variant": "torchvision"},
}
_NETS = {"mobilenet": "mobilenetv2", "efficientnet": "efficientnetb0"}
_LARGE = {"resnet50": "resnet50", "resnet101": "resnet101", "densenet201": "densenet201"}
_BUDGET = 1 / 6
"""What of the training beats the large networks see: minutes on a core instead of hours."""
_VARIANTS = ("mitdb", "inter-patient", "paper", "paper-inter-patient")
_PRUNED = ("*", "!stem", "!*/depthwise", "!logits")
"""What is pruned: depthwise kernels are a hundredth of all weights, and feel it most."""
_SPARSITY = {"mobilenet": 0.8, "efficientnet": 0.905, "dscnn": 0.5} | dict.fromkeys(_LARGE, 0.9)


def get_config(variant: str = ""):
    config = base_config.base()
    config.name = "ecg_compression"
    config.command = _COMMAND + (f":{variant}" if variant else "")
    config.published = "birton"
    config.notes = (
        "One epoch a stage (two of EfficientNetB0 in float) instead of 10 to 20, batches of 128 instead of 31.",
        "No ImageNet weights.",
        "The layers' details are torchvision's; the networks take one map, not three equal ones.",
        "Quantised and pruned begins with the float network and goes straight to both.",
        "The paper's sizes before compression hold the optimiser's state; ours are of the weights alone.",
    )
    config.protocols = ("paper",)
    config.split.paper.test = config.split.paper.validation = 0.25
    config.prepare.sample_rate = 360
    config.prepare.cut = "beats"
    config.prepare.window_seconds = 3.6
    config.features.name = "birton"
    if variant not in ("", *_VARIANTS):
        raise UserError(
            f"configs/ecg_compression.py has no variant {variant!r}; there are {', '.join(_VARIANTS)}, and none for "
            "synthetic data"
        )
    if variant:
        config.data.name = "mitdb"
        config.data.mitdb.labels = "birton"
        nets, epochs = _NETS, {"float": 1, "efficientnet": 2, "small": 1}
    else:
        config.data.name = "synthetic_ecg"
        nets, epochs = {"dscnn": "dscnn"}, {"float": 4, "small": 2}
    if variant.startswith("paper"):
        nets = nets | _LARGE
        config.notes += ("ResNet50, ResNet101 and DenseNet201 see a sixth of the training beats, once in every stage.",)
    if variant.endswith("inter-patient"):
        config.protocols = ("inter-patient",)
        config.data.mitdb.labels = "aami-nsv"
    stages: dict[str, base_config.ConfigDict] = {}
    for name, model in nets.items():
        stages |= _network(name, model, epochs)
    config.stages = stages
    config.stages.export = base_config.export_stage(
        models=tuple(f"{name}-qp" for name in nets),
        variants=("tflite-float32", "tflite-int8"),
        protocol=config.protocols[0],
    )
    config.stages.report = base_config.report_stage()
    config.pipeline = (*stages, "export", "report")
    config.evaluate.differences = tuple(f"{name}-qp - {name}" for name in nets)
    return config


def _network(name: str, model: str, epochs: dict[str, int]) -> dict[str, base_config.ConfigDict]:
    """The cells of the paper's table for one network: float, quantised, pruned, clustered after that, and qp."""
    batch = 128 if model != "dscnn" else 64
    plain: dict[str, Any] = {"model": model, "batch_size": batch, "select": "accuracy"}
    if name in _LARGE:
        plain["share"] = _BUDGET
    if model in _OPTIONS:
        plain["options"] = _OPTIONS[model]
    small = plain | {"begin": name, "epochs": epochs["small"]}
    # By layer: batch norm makes the size of weights meaningless between layers, and of all together whole layers die.
    prune = {"sparsity": _SPARSITY[name], "scope": "layer", "every": 20, "end": 0.5, "kernels": _PRUNED}
    pruned = {"compress": {"prune": prune}}
    rate = {"optimizer": {"learning_rate": 5e-4}}
    quantised = {"quantise": {"weights": 8}}
    clustered = plain | {"begin": f"{name}-p", "epochs": epochs["small"]}
    return {
        name: base_config.train_stage(**plain, epochs=epochs.get(name, epochs["float"])),
        f"{name}-qp": base_config.train_stage(**small, **pruned, **quantised, **rate),
        f"{name}-q": base_config.train_stage(**small, **quantised, **rate),
        f"{name}-p": base_config.train_stage(**small, **pruned, **rate),
        f"{name}-pc": base_config.train_stage(**clustered, compress={"cluster": {"clusters": 32}}, **rate),
    }
