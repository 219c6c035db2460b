"""The base config: every key there is, with its default, and the checks that stop a run before any work.

A config file (`configs/NAME.py`) starts from `base()`, adds stages made by `train_stage`, `export_stage` and
`report_stage`, and changes values. Adding a key anywhere else is an error, so a misspelt key cannot be ignored.
"""

import difflib
import enum
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import ml_collections

from hsjax.types import UserError

ConfigDict = ml_collections.ConfigDict


class StageKind(enum.Enum):
    """What a stage does. TRAIN runs for every protocol and seed; the others once."""

    TRAIN = "train"
    EXPORT = "export"
    REPORT = "report"


class WholeFilter(enum.Enum):
    """Filter over whole recordings."""

    NONE = "none"
    ZERO_PHASE = "zero-phase"


class Placement(enum.Enum):
    """Where training features lie."""

    DEVICE = "device"
    STREAM = "stream"


class UnknownGroups(enum.Enum):
    """What is done about recordings of which nothing says whose they are.

    TWINS: clusters of near-copies are their groups (see `data.audit`).
    REFUSE: they have none, and protocols that keep groups whole are refused.
    """

    TWINS = "twins"
    REFUSE = "refuse"


class Cut(enum.Enum):
    """How recordings become examples."""

    WINDOWS = "windows"
    CYCLES = "cycles"
    BEATS = "beats"


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

Choice = TypeVar("Choice", bound=enum.Enum)


def choice(kind: type[Choice], value: str, key: str) -> Choice:
    """The member of an enum that a config value names.

    Raises:
      UserError: it names none.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise UserError(f"config.{key} is {value!r}; it must be one of {known}") from None


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
        if isinstance(template[name], ConfigDict) and name != "stages":
            refuse_unknown(value, template[name], f"{prefix}{name}.")


def stages(config: ConfigDict, kind: StageKind) -> dict[str, ConfigDict]:
    """The stages of one kind in the pipeline, in its order."""
    chosen = {name: config.stages[name] for name in config.pipeline}
    return {name: stage for name, stage in chosen.items() if stage.kind == kind.value}


def differences(config: ConfigDict) -> list[tuple[str, str]]:
    """The pairs (a, b) of `config.evaluate.differences`, each written `a - b`."""
    return [(a.strip(), b.strip()) for a, _, b in (pair.partition(" - ") for pair in config.evaluate.differences)]


def validate(config: ConfigDict) -> None:
    """Raise a UserError, saying what to do, for unknown keys and settings that contradict each other."""
    refuse_unknown(config, base(), "")
    for name, stage in config.stages.items():
        kind = choice(StageKind, stage.get("kind", ""), f"stages.{name}.kind")
        refuse_unknown(stage, TEMPLATES[kind](), f"stages.{name}.")
    for name in config.pipeline:
        if config.pipeline.count(name) > 1:
            raise UserError(f"config.pipeline names {name!r} more than once")
        if name not in config.stages:
            raise UserError(f"config.pipeline names {name!r}; config.stages has {', '.join(config.stages.keys())}")
    problems = list(_problems(config))
    if problems:
        raise UserError("; ".join(problems))


def _problems(config: ConfigDict) -> Iterator[str]:
    whole = all(isinstance(seed, int) and seed >= 0 for seed in config.seeds)
    if not config.seeds or len(set(config.seeds)) < len(config.seeds) or not whole:
        yield f"config.seeds is {tuple(config.seeds)}; give one or more different integers from 0 on"
    if any("," in name for name in config.protocols):
        yield "several protocols in a flag are written --config.protocols=\"('paper','grouped')\""
    elif not config.protocols or len(set(config.protocols)) < len(config.protocols):
        yield f"config.protocols is {tuple(config.protocols)}; give one or more different protocols"
    for name, parts in config.split.items():
        fractions = [value for key, value in parts.items() if key in ("test", "validation") and name != "listed"]
        if not all(0 < fraction < 1 for fraction in fractions):
            yield f"config.split.{name} leaves a part empty; test and validation lie between 0 and 1"
    if config.split.grouped.folds < 0:
        yield "config.split.grouped.folds must be 1, the number of folds, or 0 to choose by the number of groups"
    if choice(Placement, config.data.placement, "data.placement") is Placement.STREAM and config.dispatch == "scan":
        yield "config.dispatch=scan needs all data on the device; leave it at auto, or set config.data.placement=device"
    choice(UnknownGroups, config.data.unknown_groups, "data.unknown_groups")
    prepare = config.prepare
    if prepare.sample_rate < 1 or prepare.hop_seconds * prepare.sample_rate < 1:
        yield "config.prepare.sample_rate and hop_seconds leave less than one sample between windows; raise them"
    if config.data.split_seed < 0:
        yield "config.data.split_seed must be an integer from 0 on"
    if not 0 < prepare.hop_seconds <= prepare.window_seconds:
        yield "config.prepare.hop_seconds must be positive and at most window_seconds, or samples would be skipped"
    problem = _whole_recording_problem(prepare)
    if problem:
        yield problem
    if config.evaluate.bootstrap < 100:
        yield "config.evaluate.bootstrap must be at least 100 for a 95 % interval"
    trained = stages(config, StageKind.TRAIN)
    if not trained:
        yield "config.pipeline has no train stage; name at least one"
    for name, stage in trained.items():
        yield from _train_problems(name, stage, list(trained))
    for name, stage in stages(config, StageKind.EXPORT).items():
        for model in stage.models:
            if model not in trained:
                yield f"config.stages.{name}.models names {model!r}, which is not a train stage of config.pipeline"
        if (prepare.filter, prepare.remove_spikes, prepare.cut) != ("none", False, "windows"):
            yield (
                f"config.stages.{name} exports models trained on whole-recording steps, which no device does: "
                f"leave config.prepare.filter, remove_spikes and cut at none, False and windows, or leave {name!r} out "
                "of config.pipeline"
            )
        if not stage.models:
            yield f"config.stages.{name}.models is empty; name train stages, or leave {name!r} out of config.pipeline"
        if stage.protocol not in config.protocols:
            yield f"config.stages.{name}.protocol is {stage.protocol!r}, which config.protocols does not run"
        if stage.protocol == "paper":
            yield (
                f"config.stages.{name}.protocol is paper, which splits segments; exported files are scored on whole "
                "recordings, so choose a protocol that keeps recordings whole"
            )
        if stage.calibration < 2 or stage.threads < 1:
            yield f"config.stages.{name} needs a calibration of at least 2 windows and at least 1 thread"
        if not (0 <= stage.agreement <= 1 and stage.float_deviation > 0):
            yield f"config.stages.{name}.agreement lies between 0 and 1 and float_deviation is positive"
        if stage.seed not in config.seeds:
            yield f"config.stages.{name}.seed is {stage.seed}, which config.seeds does not run"
    for pair in differences(config):
        if any(name not in trained for name in pair):
            text = " - ".join(pair)
            yield f"config.evaluate.differences has {text!r}; want 'a - b', both train stages in config.pipeline"


def _whole_recording_problem(prepare: ConfigDict) -> str | None:
    filtered = choice(WholeFilter, prepare.filter, "prepare.filter") is WholeFilter.ZERO_PHASE
    choice(Cut, prepare.cut, "prepare.cut")
    low, high, nyquist = prepare.band.low, prepare.band.high, prepare.sample_rate / 2
    if filtered and not (prepare.band.order >= 1 and 0 < low < high < nyquist):
        return f"config.prepare.band needs an order of at least 1 and edges with 0 < low < high < {nyquist:g} Hz"
    return None


def _train_problems(name: str, stage: ConfigDict, order: list[str]) -> Iterator[str]:
    key = f"config.stages.{name}"
    distils = stage.objective == "distil"
    if distils and stage.teacher not in order[: order.index(name)]:
        yield f"{key}.teacher is {stage.teacher!r}; to distil, name a train stage before it in config.pipeline"
    if not distils and stage.teacher:
        yield f"{key} has a teacher but objective {stage.objective!r}; set objective=distil or leave teacher empty"
    if stage.temperature <= 0:
        yield f"{key}.temperature must be positive"
    if not 0 <= stage.alpha <= 1:
        yield f"{key}.alpha must lie between 0 and 1"
    if stage.epochs < 1 or stage.batch_size < 1 or stage.patience < 0:
        yield f"{key} needs epochs and batch_size of at least 1 and a patience of at least 0"
    if not distils and (stage.temperature, stage.alpha) != (1.0, 1.0):
        yield f"{key} has a temperature or an alpha that objective {stage.objective!r} does not use; leave them at 1"
    rule = stage.optimizer
    if rule.learning_rate <= 0 or rule.weight_decay < 0 or rule.clip_norm < 0 or not 0 <= rule.warmup_fraction < 1:
        yield (
            f"{key}.optimizer needs a positive learning_rate, weight_decay and clip_norm from 0 on, "
            "and a warmup_fraction from 0 to below 1"
        )
