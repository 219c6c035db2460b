"""Checks that stop a run before any work."""

from collections.abc import Iterable, Iterator

from ml_collections import ConfigDict

from hsjax.config import compression, sweeps, training
from hsjax.config.choices import Cut, Placement, StageKind, UnknownGroups, Viewer, WholeFilter, choice
from hsjax.config.keys import TEMPLATES, base, refuse_unknown
from hsjax.types import Aggregation, Fit, Level, UserError


def stages(config: ConfigDict, kind: StageKind) -> dict[str, ConfigDict]:
    """The stages of one kind in the pipeline, in its order."""
    chosen = {name: config.stages[name] for name in config.pipeline}
    return {name: stage for name, stage in chosen.items() if stage.kind == kind.value}


def differences(config: ConfigDict) -> list[tuple[str, str]]:
    """The pairs (a, b) of `config.evaluate.differences`, each written `a - b`."""
    return [(a.strip(), b.strip()) for a, _, b in (pair.partition(" - ") for pair in config.evaluate.differences)]


def averages(entries: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The stages of each of `config.evaluate.averages`, written `name = a + b`, by name."""
    parted = (entry.partition("=") for entry in entries)
    return {name.strip(): tuple(stage.strip() for stage in of.split("+")) for name, _, of in parted}


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
    if isinstance(config.notes, str):
        yield "config.notes is one text; give a tuple of sentences"
    whole = all(isinstance(seed, int) and seed >= 0 for seed in config.seeds)
    if not config.seeds or len(set(config.seeds)) < len(config.seeds) or not whole:
        yield f"config.seeds is {tuple(config.seeds)}; give one or more different integers from 0 on"
    if any("," in name for name in config.protocols):
        yield "several protocols in a flag are written --config.protocols=\"('paper','grouped')\""
    elif not config.protocols or len(set(config.protocols)) < len(config.protocols):
        yield f"config.protocols is {tuple(config.protocols)}; give one or more different protocols"
    if any("," in name for name in config.watch):
        yield "several viewers in a flag are written --config.watch=\"('tensorboard','wandb')\""
    else:
        for name in config.watch:
            choice(Viewer, name, "watch")
    if not 0 <= config.split.grouped.pretrain < 1:
        yield f"config.split.grouped.pretrain is {config.split.grouped.pretrain}; it lies between 0 and 1"
    for name, parts in config.split.items():
        fractions = [value for key, value in parts.items() if key in ("test", "validation") and name != "listed"]
        if not all(0 < fraction < 1 for fraction in fractions):
            yield f"config.split.{name} leaves a part empty; test and validation lie between 0 and 1"
    if config.split.grouped.folds < 0:
        yield "config.split.grouped.folds must be 1, the number of folds, or 0 to choose by the number of groups"
    if choice(Placement, config.data.placement, "data.placement") is Placement.STREAM and config.dispatch == "scan":
        yield "config.dispatch=scan needs all data on the device; leave it at auto, or set config.data.placement=device"
    choice(Level, config.prepare.level, "prepare.level")
    choice(Fit, config.prepare.fit, "prepare.fit")
    if config.prepare.cut == Cut.BEATS.value and (config.prepare.level, config.prepare.fit) != ("none", "end"):
        yield "config.prepare.level and fit are not for beats, which have a level of their own; leave none and end"
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
    choice(Aggregation, config.evaluate.aggregation, "evaluate.aggregation")
    if config.evaluate.bootstrap < 100:
        yield "config.evaluate.bootstrap must be at least 100 for a 95 % interval"
    stages_by_name = stages(config, StageKind.TRAIN)
    if not stages_by_name:
        yield "config.pipeline has no train stage; name at least one"
    trained: list[str] = []
    sound: list[str] = []  # of whose earlier stages all exist
    for name, stage in stages_by_name.items():
        wrong = list(training.problems(name, stage, trained))
        yield from wrong
        if not wrong and (not stage.begin or _stage_of(stage.begin) in sound):
            sound.append(name)
            yield from compression.chain_problems(config.stages, name)
        trained += sweeps.members(name, stage) if sweeps.problem(stage) is None else [name]
    learning_alone = [name for name, stage in stages_by_name.items() if not training.predicts(stage)]
    for name, stage in stages_by_name.items():
        for teacher in training.teachers(stage):
            if _stage_of(teacher) in learning_alone and stage.soft != "none":
                yield f"config.stages.{name}.teacher is {teacher!r}, which learns no classes; set soft=none, and hints"
    fitted = [*stages(config, StageKind.CLASSICAL), *stages(config, StageKind.CLUSTER)]
    if wrong := [name for name in fitted if sweeps.AT in name]:
        yield f"config.stages has {wrong[0]!r}; leave {sweeps.AT!r} to members of sweeps"
    for name, stage in stages(config, StageKind.CLUSTER).items():
        if stage.of not in trained or config.pipeline.index(name) < config.pipeline.index(_stage_of(stage.of)):
            yield f"config.stages.{name}.of is {stage.of!r}; name a train stage before it in config.pipeline"
        if not stage.clusters or any(not isinstance(count, int) or count < 2 for count in stage.clusters):
            yield f"config.stages.{name}.clusters is {stage.clusters!r}; give numbers from 2 on"
    for name, stage in stages(config, StageKind.EXPLAIN).items():
        yield from _explain_problems(config, name, stage, [one for one in trained if one not in learning_alone])
    for name, stage in stages(config, StageKind.EXPORT).items():
        for model in stage.models:
            if model in fitted:
                yield f"config.stages.{name}.models names {model!r}, which is no network and cannot be exported"
            elif model not in trained:
                yield f"config.stages.{name}.models names {model!r}, which is not a train stage of config.pipeline"
            if _stage_of(model) in learning_alone:
                yield f"config.stages.{name}.models names {model!r}, which learns no classes"
        in_beats = choice(Cut, prepare.cut, "prepare.cut") is Cut.BEATS
        if (prepare.filter, prepare.remove_spikes) != ("none", False) or prepare.cut == Cut.CYCLES.value:
            yield (
                f"config.stages.{name} exports models trained on whole-recording steps, which no device does: "
                f"leave config.prepare.filter, remove_spikes and cut at none, False and windows (beats, of an ECG), "
                f"or leave {name!r} out of config.pipeline"
            )
        if not stage.models:
            yield f"config.stages.{name}.models is empty; name train stages, or leave {name!r} out of config.pipeline"
        if stage.protocol not in config.protocols:
            yield f"config.stages.{name}.protocol is {stage.protocol!r}, which config.protocols does not run"
        if stage.protocol == "paper" and not in_beats and config.split.paper.unit != "recording":
            yield (
                f"config.stages.{name}.protocol is paper, which splits segments; exported files are scored on whole "
                "recordings, so choose a protocol that keeps recordings whole, or set config.split.paper.unit=recording"
            )
        if stage.calibration < 2 or stage.threads < 1:
            yield f"config.stages.{name} needs a calibration of at least 2 windows and at least 1 thread"
        if 1 not in stage.batches or any(not isinstance(size, int) or size < 1 for size in stage.batches):
            yield f"config.stages.{name}.batches is {tuple(stage.batches)}; give whole numbers from 1 on, and 1 itself"
        if not (0 <= stage.agreement <= 1 and stage.float_deviation > 0):
            yield f"config.stages.{name}.agreement lies between 0 and 1 and float_deviation is positive"
        if stage.seed not in config.seeds:
            yield f"config.stages.{name}.seed is {stage.seed}, which config.seeds does not run"
    for pair in differences(config):
        if any(name not in (*trained, *fitted) for name in pair):
            text = " - ".join(pair)
            yield f"config.evaluate.differences has {text!r}; want 'a - b', both train stages in config.pipeline"
        elif any(_stage_of(name) in learning_alone for name in pair):
            yield f"config.evaluate.differences has {' - '.join(pair)!r}, of which one learns no classes; leave it out"
    for average, of in averages(config.evaluate.averages).items():
        lacking = [name for name in of if name not in (*trained, *fitted) or _stage_of(name) in learning_alone]
        if lacking or not average or average in config.stages:
            text = f"{average} = {' + '.join(of)}"
            yield f"config.evaluate.averages has {text!r}; want 'name = a + b', a new name of stages in config.pipeline"


def _explain_problems(config: ConfigDict, name: str, stage: ConfigDict, known: list[str]) -> Iterator[str]:
    """What is wrong with a stage that explains networks, of which `known` are trained on classes."""
    key = f"config.stages.{name}"
    if not stage.models or any(model not in known for model in stage.models):
        yield f"{key}.models is {tuple(stage.models)}; name train stages of config.pipeline that learn classes"
    if stage.protocol not in config.protocols or stage.seed not in config.seeds:
        yield f"{key} explains protocol {stage.protocol}, seed {stage.seed}, which the run does not train"
    patches = tuple(stage.patches)
    if len(patches) != 2 or any(not isinstance(count, int) or count < 1 for count in patches) or patches == (1, 1):
        yield f"{key}.patches is {patches}; give two whole numbers, of rows and columns, one of them above 1"
    elif stage.evaluations < 2 * patches[0] * patches[1]:
        yield f"{key}.evaluations is {stage.evaluations}; give {2 * patches[0] * patches[1]} or more, or fewer patches"
    if stage.examples < 1 or stage.background < 1:
        yield f"{key} needs an example and a background of at least one window"


def _stage_of(name: str) -> str:
    """The train stage that a member belongs to; itself where it is none."""
    return name.partition(sweeps.AT)[0]


def _whole_recording_problem(prepare: ConfigDict) -> str | None:
    filtered = choice(WholeFilter, prepare.filter, "prepare.filter") is WholeFilter.ZERO_PHASE
    choice(Cut, prepare.cut, "prepare.cut")
    low, high, nyquist = prepare.band.low, prepare.band.high, prepare.sample_rate / 2
    if filtered and not (prepare.band.order >= 1 and 0 < low < high < nyquist):
        return f"config.prepare.band needs an order of at least 1 and edges with 0 < low < high < {nyquist:g} Hz"
    return None
