"""The papers' experiments on real recordings, so short that they can be killed often: for `kills.py --papers`.

    python -m hsjax.launch --config=tests/benchmarks/papers_shortened.py:kd

Each is a config of `configs/` with all kinds of stages that it has, but one protocol, one seed, two epochs, few stages
of a kind, a gate that lets untrained networks pass, and what is said below. `thinned` makes a folder of few recordings.
"""

import importlib.util
import os
import pathlib

_ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIGS = {
    "kd": "kd.py:physionet2016",
    "contrastive": "contrastive.py:physionet2016",
    "lightweight": "lightweight.py:yaseen2018",
    "contrastive_kd": "contrastive_kd.py:pascal",
    "ecg_compression": "ecg_compression.py:mitdb",
}
DATASETS: dict[str, tuple[str, int | tuple[str, ...]]] = {
    "kd": ("physionet2016", 20),
    "contrastive": ("physionet2016", 60),
    "lightweight": ("yaseen2018", 8),
    "contrastive_kd": ("pascal", 3),
    "ecg_compression": ("mit-bih-arrhythmia-database-1.0.0", ("104", "208", "209")),  # all classes are in these
}
"""Folder of the official distribution, and of how many recordings one is kept, or which."""
_SOUNDS = {".wav", ".dat", ".hea", ".atr"}


def get_config(variant: str):
    file, _, dataset = CONFIGS[variant].partition(":")
    spec = importlib.util.spec_from_file_location(variant, _ROOT / "configs" / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(dataset)
    config.command = f"python -m hsjax.launch --config=tests/benchmarks/papers_shortened.py:{variant}"
    config.protocols, config.seeds = config.protocols[:1], config.seeds[:1]
    config.evaluate.bootstrap, config.evaluate.differences, config.evaluate.averages = 100, (), ()
    config.split.grouped.folds = 1
    _SHORTEN[variant](config)
    for name in config.pipeline:
        stage = config.stages[name]
        if stage.kind == "train":
            stage.epochs = 2
        elif stage.kind == "export":
            stage.variants = stage.variants[:2]
            stage.protocol = config.protocols[0]
            stage.agreement, stage.emulation_agreement, stage.auroc_drop, stage.float_deviation = 0.0, 0.0, 1.0, 0.1
        elif stage.kind == "report":
            stage.examples = 1
    return config


def _kd(config) -> None:
    """Protocol grouped, which is the one that exports."""
    config.protocols = ("grouped",)
    config.pipeline = ("teacher", "kd", "export", "report")
    config.stages.export.models = ("kd",)


def _contrastive(config) -> None:
    """A ResNet-18 of an eighth of the channels, batches of 8."""
    config.pipeline = ("pretrain", "teacher", "distilled", "report")
    for name in config.pipeline[:-1]:
        config.stages[name].batch_size = 8
    for name in ("pretrain", "teacher"):
        config.stages[name].options = {"width": 8}


def _lightweight(config) -> None:
    config.pipeline = ("squeezenet", "export", "report")
    config.stages.export.models = ("squeezenet",)


def _contrastive_kd(config) -> None:
    teacher = config.stages.crd.teacher
    config.pipeline = (teacher, "crd", f"{teacher}-kmeans", "rbf-svm", "report")


def _ecg_compression(config) -> None:
    """A network of a quarter of the channels."""
    config.pipeline = ("mobilenet", "mobilenet-qp", "export", "report")
    config.stages.export.models = ("mobilenet-qp",)
    for name in config.pipeline[:-2]:
        config.stages[name].options["width"] = 0.25


_SHORTEN = {
    "kd": _kd,
    "contrastive": _contrastive,
    "lightweight": _lightweight,
    "contrastive_kd": _contrastive_kd,
    "ecg_compression": _ecg_compression,
}


def thinned(root: pathlib.Path, folder: pathlib.Path, variant: str) -> None:
    """Links in `folder` to the distribution below `root`: all tables, and few recordings of each folder."""
    name, chosen = DATASETS[variant]
    for directory, _, files in os.walk(root / name):
        place = folder / pathlib.Path(directory).relative_to(root)
        place.mkdir(parents=True)
        sounds = sorted({pathlib.Path(file).stem for file in files if pathlib.Path(file).suffix in _SOUNDS})
        left_out = set(sounds).difference(sounds[::chosen] if isinstance(chosen, int) else chosen)
        for file in map(pathlib.Path, files):
            if file.suffix not in _SOUNDS or file.stem not in left_out:
                (place / file.name).symlink_to(pathlib.Path(directory, file.name).resolve())
