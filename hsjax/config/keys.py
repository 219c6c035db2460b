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
            "notes": (),  # sentences: what differs from the paper and why; the page prints them
            "published": "",  # whose figures stand beside ours: a source in configs/published.csv; empty: nobody's
            # of exported files, for model cards, as Hugging Face writes it: apache-2.0, cc-by-4.0; empty: not chosen
            "license": "",
            "seeds": (0,),  # initial weights, data order, dropout; splits are the same for all seeds
            "protocols": ("grouped",),  # paper, grouped, leave-one-subset-out, inter-patient, listed
            # tensorboard, wandb (each an extra): who else is told of every epoch as it is trained
            "watch": (),
            "dispatch": "auto",  # steps, scan: how epochs reach the device (train.loop.Dispatch)
            "data": {
                "name": "synthetic",  # synthetic, synthetic_ecg, physionet2016, yaseen2018, pascal, circor, mitdb, own
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
                "synthetic_ecg": {
                    "people": 40,
                    "seconds": 60.0,  # of the one record of each
                    "sample_rate": 360,  # Hz
                    "labels": "birton",  # as of mitdb
                    "noise": 1.0,  # scales wander, hum and muscle noise
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
                # pretrain: of what would be training, for stages with part=pretrain; the rest is for all others
                "grouped": {"test": 0.2, "validation": 0.15, "folds": 0, "pretrain": 0.0},
                "leave-one-subset-out": {"validation": 0.15},
                "inter-patient": {"validation": 0.2},
                # text files, one recording id a line; pretrain may be empty
                "listed": {"train": "", "validation": "", "test": "", "pretrain": ""},
            },
            "prepare": {
                "sample_rate": 2000,  # Hz
                "filter": "none",  # none, zero-phase: band-pass over the whole recording, which no device can do
                "band": {"order": 3, "low": 20.0, "high": 400.0},  # of that filter, Hz
                "remove_spikes": False,  # Schmidt et al. 2010, over the whole recording
                "level": "none",  # of whole recordings: none, peak (at 1), standard (mean 0, deviation 1)
                # windows; first: only the first one of each recording; cycles: of the heart (Springer et al. 2016),
                # zero-padded to window_seconds; beats: around each annotated R peak of an ECG, nothing of the
                # neighbouring beats in it (Birton)
                "cut": "windows",
                "window_seconds": 2.5,
                "hop_seconds": 2.5,  # of windows
                "fit": "end",  # where zeros go in a recording shorter than a window: end, both (it is in the middle)
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
                # each coefficient's mean over the window is subtracted: in dB that is the device's frequency response
                "center_window": False,
                "rows": 0,  # the first so many coefficients or bands are kept; 0: all
                "pool": 1,  # consecutive frames whose mean is one frame of the result; what is left at the end goes
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
                # of windows to recordings: mean of probabilities, or one in which windows count by their confidence
                "aggregation": "mean",
                "bootstrap": 1000,  # resamples of groups behind every interval
                "differences": (),  # pairs "a - b" of train stages to compare on the same test examples
                "averages": (),  # "name = a + b + c": each figure's mean over several stages, as papers claim it
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
            "part": "train",  # what it learns from: train, pretrain (where the protocol has such a part)
            # of those examples, the same ones in every epoch: a budget for large networks
            "share": 1.0,
            "begin": "",  # an earlier train stage whose weights are begun with, as far as their shapes fit
            "freeze": (),  # paths that training leaves alone: ("stem", "stage[12]"); ("*", "!logits"): a linear probe
            "precision": "float32",  # float32, bfloat16: of activations; weights and optimiser are float32
            "objective": "supervised",  # supervised, distil, self-distil, mutual, contrastive
            "labels": "cross-entropy",  # loss against true classes: cross-entropy, bce, focal
            # supervised: what sub-datasets weigh (hsjax.losses.groups): none (as large as they are), group-dro (those
            # of high loss more, each class of each by itself), v-rex (the variance of their losses is added)
            "groups": "none",
            "teacher": "",  # distil: an earlier train stage of the same protocol and seed; several: "one + another"
            "peer": "",  # mutual: the model that is trained beside
            "peer_options": {},  # of that model
            "soft": "kd",  # loss against the teacher's logits: kd, bce, dkd, dist, ttm, wttm, standardised, none
            "temperature": 1.0,
            "alpha": 1.0,  # weight of the true classes, 0 to 1; that of the teacher's logits is the rest
            "scale_by_t2": False,
            # distil: losses on what is inside, by name with their weights, which are added to the above: fitnet,
            # attention, vid, similarity, rkd-distance, rkd-angle, pkt, crd; and which taps the first four compare where
            # it is not the last ones, as pairs (student's, teacher's): {"attention": (("conv1", "conv2"), ...)}
            "hints": {},
            "taps": {},
            "contrast": {
                "loss": "nt-xent",  # nt-xent, supcon, moco, byol, barlow-twins, vicreg; at `temperature`
                "widths": (128, 64),  # of the projection's layers
                "prediction": 128,  # hidden units of BYOL's predictor
                "queue": 1024,  # keys that MoCo keeps
                "original": False,  # whether the first view is the example as it is, and only the second is changed
            },
            "constants": {
                "label_smoothing": 0.0,  # cross-entropy
                "positive_weight": 1.0,  # bce: of the second of two classes; of more, of every true class
                "focal_gamma": 2.0,  # focal
                "mixup": 0.0,  # alpha of its Beta distribution; 0: no mixup
                "group_step": 0.01,  # group-dro: of the shares, a training step
                "group_penalty": 1.0,  # v-rex: weight of the variance
                # of averaged weights, of self-distil's teacher, of MoCo's target; from where that of BYOL's rises to 1
                "ema_decay": 0.999,
                "dkd_alpha": 1.0,
                "dkd_beta": 8.0,
                "dist_beta": 1.0,
                "dist_gamma": 1.0,
                "class_balanced_beta": 0.999,  # class_weighting=class-balanced
            },
            # Compression: channels and ranks make the network of `begin` a smaller one, pruning and clustering act on
            # weights after every step. What was done to the network that is begun with stays done: channels stay out,
            # zeros zero; values stay few only where clusters are asked for again. To combine, name stages of which
            # each begins with the one before.
            "compress": {
                # channels kept, by group (whoever names a wrong one is told all): a number or, below 1, a fraction:
                # {"*": 0.5}, {"conv2": 20}
                "channels": {},
                "importance": "l2",  # of a channel: l1 or l2 norm of its filters, norm-scale of its batch norms
                # linear layers and 1x1 convolutions that become two thin ones: number or, below 1, fraction of channels
                # between them: {"hidden": 4}, {"block*": 0.25}
                "ranks": {},
                "prune": {
                    "sparsity": 0.0,  # of weights in kernels that are zero in the end; 0: no pruning
                    "scope": "global",  # the smallest of all, of each layer, or n-of-m (2 of 4: m=4, sparsity=0.5)
                    "m": 4,  # n-of-m
                    "kernels": ("*",),  # paths of them; ("*", "!logits"): all but one layer
                    "begin": 0.0,  # of all steps: when the first are due, and the last; no epoch before is the best
                    "end": 0.5,
                    "every": 10,  # steps between two changes
                },
                "cluster": {
                    "clusters": 0,  # distinct values of each kernel, 2 to 256, zero among them; 0: as many as there are
                    "kernels": ("*",),
                    "start": "linear",  # of k-means: linear, k-means++
                    "iterations": 100,  # of k-means, at most
                },
            },
            # quantisation-aware training: what the network computes is rounded as in the file that it becomes
            "quantise": {
                "weights": 0,  # bits of kernels, 4 or 8; 0: no quantisation
                "activations": 8,  # bits of what layers hand on, 8 or 16
                "ranges": "ema",  # ema: of activations, averages; learned: trained, and so are the steps of kernels
                "decay": 0.99,  # part of an average that a step keeps
                "overrides": {},  # bits of single layers, by pattern of paths: {"logits": {"weights": 8}}
                "batches": 8,  # of training examples, whose ranges training begins with
            },
            "average": False,  # whether the moving average of the weights is what is validated and kept
            # random changes in the step, by functions of hsjax.dsp.augment with their arguments and `probability`:
            # {"samples": {"gain": {"gain_db": (-6.0, 6.0), "probability": 0.5}}, "features": {"spec_augment": {...}}}
            "augment": {},
            # constants of members that are trained as one stage, beside each other: ({"temperature": 1.0}, ...); see
            # `grid`. Each is a stage of its own in all tables, named stage@temperature=1
            "sweep": (),
            "lanes": 0,  # members, or seeds, that train side by side on a CPU; 0: as many as there are cores
            "epochs": 30,
            "batch_size": 64,
            "patience": 0,  # epochs without a new best before stopping; 0: never
            "select": "auroc",  # validation metric that picks the best epoch: auroc, macc, accuracy; last: the last one
            # none, balanced, class-balanced, balanced-subsets: classes within sub-datasets, all such cells alike
            "class_weighting": "none",
            "optimizer": {
                "rule": "adam",  # adam, adamw, sgd, nadam, radam, rmsprop, adagrad, lion, lamb, adafactor
                "learning_rate": 1e-3,
                "weight_decay": 0.0,
                "momentum": 0.9,  # sgd
                "nesterov": False,  # sgd
                "decay_matrices_only": False,  # no weight decay of biases and of scales of norms
                # constant, cosine, linear, exponential, step, multi-step, one-cycle, warm-restarts
                "schedule": "cosine",
                "warmup_fraction": 0.05,  # of all steps; one-cycle: of rising
                "final_factor": 0.0,  # cosine, linear, warm-restarts: where they end
                "decay_rate": 0.1,  # exponential, step, multi-step
                "decay_fraction": 0.3,  # of all steps: between two decays of exponential and step
                "milestones": (),  # multi-step: fractions of all steps
                "cycles": 1,  # warm-restarts
                "cycle_growth": 2.0,  # warm-restarts: length of a cycle over that of the one before
                "clip_norm": 0.0,  # 0: none
                "clip_value": 0.0,  # 0: none
            },
        },
        changes,
    )


def classical_stage(model: str, **changes: Any) -> ConfigDict:
    """A stage that fits a model of scikit-learn to mean and standard deviation over time of the run's features.

    Args:
      model: majority, logistic-regression, linear-svm, rbf-svm, random-forest, nearest-neighbours, gradient-boosting.
      **changes: of the keys below.
    """
    return _changed({"kind": StageKind.CLASSICAL.value, "model": model}, changes)


def cluster_stage(of: str, **changes: Any) -> ConfigDict:
    """A stage that tells classes from K-means clusters of a network's embeddings, fitted on training examples.

    Args:
      of: an earlier train stage.
      **changes: of the keys below.
    """
    return _changed(
        {
            "kind": StageKind.CLUSTER.value,
            "of": of,
            "clusters": (4, 8, 16, 32),  # numbers of them to choose from, by balanced accuracy on validation
            "rule": "composition",  # composition, nearest-centroid: what a cluster says about the class
        },
        changes,
    )


def explain_stage(**changes: Any) -> ConfigDict:
    """A stage that says which parts of test examples a network goes by: SHAP values (Lundberg and Lee 2017)."""
    return _changed(
        {
            "kind": StageKind.EXPLAIN.value,
            "models": (),  # train stages to explain
            "protocol": "grouped",  # which of the trained ones
            "seed": 0,
            "fold": 0,  # which of several folds: its number, or the sub-dataset that was left out
            "examples": 4,  # test windows of different groups, the classes in turn
            "background": 8,  # training windows that stand for what is hidden, as many of each class
            "patches": (5, 9),  # of each window: parts along coefficients and along time
            "evaluations": 500,  # sets of patches that are looked at, for each window
        },
        changes,
    )


def export_stage(**changes: Any) -> ConfigDict:
    """A stage that turns trained networks into files and holds them against the parity gate."""
    return _changed(
        {
            "kind": StageKind.EXPORT.value,
            "models": (),  # train stages to export
            # forms of each, from features and from samples: tflite-float32, tflite-float16, tflite-dynamic,
            # tflite-int8, tflite-int16, onnx-float32, onnx-float16, onnx-int8-static, onnx-int8-dynamic,
            # onnx-int8-dynamic-all (convolutions, too), onnx-int8-weights (computed in float32)
            "variants": ("tflite-float32", "tflite-float16", "tflite-int8", "onnx-float32", "onnx-int8-static"),
            "protocol": "grouped",  # which of the trained ones is deployed
            "seed": 0,
            "fold": 0,  # which of several folds: its number, or the sub-dataset that was left out
            "calibration": 512,  # training windows that fix the int8 ranges, as many of each class
            "threads": 1,  # latency is measured with these
            "batches": (1,),  # and with so many examples in one run, 1 among them
            "float_deviation": 1e-4,  # gate: largest deviation of float logits, relative to their largest
            "agreement": 0.99,  # gate: least fraction of test recordings with the network's class
            "emulation_agreement": 0.995,  # gate: of test windows that training emulates as files of integers have them
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


FREE = ("stages", "options", "peer_options", "hints", "taps", "augment", "channels", "ranks", "overrides")
"""Sections whose keys are not known here."""

TEMPLATES = {
    StageKind.TRAIN: lambda: train_stage(""),
    StageKind.CLASSICAL: lambda: classical_stage(""),
    StageKind.CLUSTER: lambda: cluster_stage(""),
    StageKind.EXPLAIN: explain_stage,
    StageKind.EXPORT: export_stage,
    StageKind.REPORT: report_stage,
}


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
        if isinstance(template[name], ConfigDict) and name not in FREE:
            refuse_unknown(value, template[name], f"{prefix}{name}.")
