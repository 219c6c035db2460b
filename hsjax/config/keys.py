"""Every key there is, with its default; comments give units and meaning.

Adding a key anywhere else is an error, so a misspelt key cannot be ignored.
"""

import difflib
from collections.abc import Iterable
from typing import Any

from ml_collections import ConfigDict

from hsjax.config.choices import StageKind
from hsjax.types import UserError


def base() -> ConfigDict:
    """Every key outside the stages. Comments give units and meaning."""
    return ConfigDict(
        {
            "name": "",  # of the experiment; run folder and report carry it
            "command": "",  # how a user starts it
            "seeds": (0,),  # initial weights, data order, dropout; splits are the same for all seeds
            "protocols": ("grouped",),  # paper, grouped, leave-one-subset-out, inter-patient, listed
            "dispatch": "auto",  # steps, scan: how epochs reach the device (train.loop.Dispatch)
            "data": {
                "name": "synthetic",  # synthetic, physionet2016, yaseen2018, pascal, circor, mitdb, own
                "root": "",  # folder of the official distributions; empty: the environment variable HSJAX_DATA
                "cache": "",  # folder of prepared examples; empty: the variable HSJAX_CACHE, or else the run's folder
                "placement": "device",  # device: all training features there; stream: batch by batch from the cache
                "unknown_groups": "twins",  # of recordings without: twins (clusters of near-copies), refuse
                "split_seed": 0,
                "synthetic": {
                    "subjects": 200,
                    "recordings_per_subject": 2,
                    "seconds": 10.0,  # mean duration of a recording
                    "sample_rate": 4000,  # Hz
                    "task": "binary",  # binary: normal, abnormal; condition: AS, MR, MS, MVP, N
                    "noise": 1.0,  # scales breathing, ambient noise and artefacts
                    "seed": 0,
                },
                "pascal": {"labels": "four", "sets": ("a", "b")},  # four, published
                "circor": {"label": "murmur"},  # murmur, outcome
                "mitdb": {"labels": "aami-nsv", "lead": ("MLII",)},  # aami, aami-nsv, birton; the first lead there is
                "own": {"path": "", "positive": ""},  # a folder of class folders, or a CSV with file and label
            },
            # Fractions: test of all, validation of what is not test. Song et al. split 10:1.
            "split": {
                "paper": {"test": 1 / 11, "validation": 0.1, "unit": "example", "stratified": False},
                # folds: 1; several, of which each tests a part of the groups; 0: 5 where a class has few groups, else 1
                "grouped": {"test": 0.2, "validation": 0.15, "folds": 0},
                "leave-one-subset-out": {"validation": 0.15},
                "inter-patient": {"validation": 0.2},
                "listed": {"train": "", "validation": "", "test": ""},  # text files, one recording id a line
            },
            "prepare": {
                "sample_rate": 2000,  # Hz
                "filter": "none",  # none, zero-phase: band-pass over the whole recording, which no device can do
                "band": {"order": 3, "low": 20.0, "high": 400.0},  # of that filter, Hz
                "remove_spikes": False,  # Schmidt et al. 2010, over the whole recording
                # windows; cycles: of the heart (Springer et al. 2016), zero-padded to window_seconds; beats: around
                # each annotated R peak of an ECG, nothing of the neighbouring beats in it (Birton)
                "cut": "windows",
                "window_seconds": 2.5,
                "hop_seconds": 2.5,  # of windows
            },
            "features": {
                "name": "mfcc",  # mfcc, log-mel, gammatone, pcen, learnable, or the recipe of a paper (features.NAMES)
                "band": {"order": 3, "low": 20.0, "high": 400.0},  # Butterworth band-pass, Hz
                "n_mfcc": 13,
                "n_fft": 256,  # samples at prepare.sample_rate
                "hop_length": 50,
                "n_mels": 26,  # bands, of whatever kind
                "fmin": 20.0,  # Hz
                "fmax": 500.0,
                "mel_scale": "htk",  # htk, slaney
                "top_db": 80.0,
                "dct": 2,  # type of the cosine transform: 2, 3
                "lifter": 0.0,  # sinusoidal weighting of the coefficients; 0: none
                "pcen": {
                    "gain": 0.98,
                    "bias": 2.0,
                    "power": 0.5,
                    "time_constant": 0.4,  # seconds
                    "eps": 1e-6,
                },
            },
            "evaluate": {
                "bootstrap": 1000,  # resamples of groups behind every interval
                "differences": (),  # pairs "a - b" of train stages to compare on the same test examples
            },
            "stages": {},  # by name, made by the functions below
            "pipeline": (),  # names of the stages to run, in order; a stage not named here is left out
        }
    )


def train_stage(model: str, **changes: Any) -> ConfigDict:
    """A stage that trains one network.

    Args:
      model: name in `models.MODELS`.
      **changes: of the keys below.
    """
    return _changed(
        {
            "kind": StageKind.TRAIN.value,
            "model": model,
            "options": {},  # of the model: `python -m hsjax.models list` names them
            "pretrained": "",  # file of ImageNet weights (hsjax.models.pretrained); empty: random weights
            "freeze": (),  # patterns of paths that training leaves alone: ("stem", "stage[12]")
            "objective": "supervised",  # supervised, distil
            "teacher": "",  # distil: an earlier train stage, of the same protocol and seed
            "temperature": 1.0,
            "alpha": 1.0,  # weight of the true classes, 0 to 1
            "scale_by_t2": False,
            "epochs": 30,
            "batch_size": 64,
            "patience": 0,  # epochs without a new best before stopping; 0: never
            "select": "auroc",  # validation metric that picks the best epoch: auroc, macc, accuracy
            "class_weighting": "none",  # none, balanced
            "optimizer": {
                "rule": "adam",  # adam, adamw, sgd
                "learning_rate": 1e-3,
                "weight_decay": 0.0,
                "schedule": "cosine",  # constant, cosine
                "warmup_fraction": 0.05,  # of all steps
                "clip_norm": 0.0,  # 0: none
            },
        },
        changes,
    )


def export_stage(**changes: Any) -> ConfigDict:
    """A stage that turns trained networks into files and holds them against the parity gate."""
    return _changed(
        {
            "kind": StageKind.EXPORT.value,
            "models": (),  # train stages to export
            "protocol": "grouped",  # which of the trained ones is deployed
            "seed": 0,
            "fold": 0,  # which of several folds: its number, or the sub-dataset that was left out
            "calibration": 512,  # training windows that fix the int8 ranges, as many of each class
            "threads": 1,  # latency is measured with these
            "float_deviation": 1e-4,  # gate: largest deviation of float logits, relative to their largest
            "agreement": 0.99,  # gate: least fraction of test recordings with the network's class
            "auroc_drop": 0.01,  # gate: largest loss of AUROC per recording
        },
        changes,
    )


def report_stage(**changes: Any) -> ConfigDict:
    """The stage that writes the tables and the page."""
    return _changed({"kind": StageKind.REPORT.value, "examples": 6}, changes)


def _changed(template: dict[str, Any], changes: dict[str, Any]) -> ConfigDict:
    stage = ConfigDict(template)
    refuse_unknown(ConfigDict(changes), stage, "")
    stage.update(changes)
    return stage


TEMPLATES = {StageKind.TRAIN: lambda: train_stage(""), StageKind.EXPORT: export_stage, StageKind.REPORT: report_stage}


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to tell a user about a key that does not exist."""
    known = list(known)
    near = difflib.get_close_matches(key, known, 1, 0.5)
    hint = f"did you mean config.{near[0]}?" if near else f"known here: {', '.join(known)}"
    return f"config.{key} does not exist; {hint}"


def refuse_unknown(config: ConfigDict, template: ConfigDict, prefix: str) -> None:
    """Raise a UserError for the first key of `config` that `template` lacks."""
    for name, value in config.items():
        if name not in template:
            raise UserError(unknown_key(f"{prefix}{name}", (f"{prefix}{known}" for known in template)))
        if isinstance(template[name], ConfigDict) and name not in ("stages", "options"):
            refuse_unknown(value, template[name], f"{prefix}{name}.")
