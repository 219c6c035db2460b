"""What a train stage learns from, and the settings of one that contradict each other."""

from collections.abc import Iterator, Sequence

from ml_collections import ConfigDict

from hsjax.config import compression, sweeps
from hsjax.config.choices import LearnsFrom, choice
from hsjax.config.keys import train_stage

_TEACHERS = " + "
_OF_MAPS = ("fitnet", "attention", "vid", "similarity")  # hints that compare maps, at taps
NO_GROUPS = "none"
"""Of a stage's `groups`: every example counts for itself."""
_SOFT = (LearnsFrom.TEACHER, LearnsFrom.ITSELF, LearnsFrom.PEER)
# What uses a constant of which the value would otherwise change nothing.
_USES = {
    "label_smoothing": "labels=cross-entropy",
    "positive_weight": "labels=bce",
    "focal_gamma": "labels=focal",
    "group_step": "groups=group-dro",
    "group_penalty": "groups=v-rex",
    "ema_decay": "average=True, self-distil, moco and byol",
    "dkd_alpha": "soft=dkd",
    "dkd_beta": "soft=dkd",
    "dist_beta": "soft=dist",
    "dist_gamma": "soft=dist",
    "class_balanced_beta": "class_weighting=class-balanced",
}


def teachers(stage: ConfigDict) -> list[str]:
    """Names of the train stages, or members of them, that teach this one."""
    return [name.strip() for name in stage.teacher.split(_TEACHERS)] if stage.teacher else []


def earlier(stage: ConfigDict) -> list[str]:
    """Names of all that have to be trained before."""
    return teachers(stage) + ([stage.begin] if stage.begin else [])


def predicts(stage: ConfigDict) -> bool:
    """Whether the network has learnt classes in the end, so that it is scored."""
    return stage.objective != LearnsFrom.VIEWS.value


def pairs(taps: Sequence) -> tuple[tuple[str, str], ...]:
    """What a hint compares, from one pair of taps or several.

    Raises:
      ValueError: it is neither.
    """
    several = (taps,) if taps and all(isinstance(tap, str) for tap in taps) else tuple(map(tuple, taps))
    if isinstance(taps, str) or not several or any(len(pair) != 2 for pair in several):
        raise ValueError(f"{taps!r} is no pair and no pairs")
    return tuple((str(student), str(teacher)) for student, teacher in several)


def _pairs_or_none(taps: Sequence) -> tuple[tuple[str, str], ...] | None:
    try:
        return pairs(taps)
    except (ValueError, TypeError):
        return None


def problems(name: str, stage: ConfigDict, before: list[str]) -> Iterator[str]:
    """What is wrong with a train stage, one sentence each.

    Args:
      name: of the stage.
      stage: its settings.
      before: names of the train stages, and of members, that come before it in the pipeline.
    """
    key = f"config.stages.{name}"
    if sweeps.AT in name or _TEACHERS in name:
        yield f"config.stages has {name!r}; leave {sweeps.AT!r} and {_TEACHERS!r} to members and to several teachers"
        return
    learns = choice(LearnsFrom, stage.objective, f"stages.{name}.objective")
    distils = learns is LearnsFrom.TEACHER
    if distils and (not stage.teacher or any(teacher not in before for teacher in teachers(stage))):
        yield f"{key}.teacher is {stage.teacher!r}; to distil, name a train stage before it in config.pipeline"
    if not distils and stage.teacher:
        yield f"{key} has a teacher but objective {stage.objective!r}; set objective=distil or leave teacher empty"
    if stage.begin and stage.begin not in before:
        yield f"{key}.begin is {stage.begin!r}; name a train stage before it in config.pipeline"
    if stage.begin and stage.pretrained:
        yield f"{key} has both begin and pretrained; training begins with the weights of one"
    if (learns is LearnsFrom.PEER) != bool(stage.peer):
        yield f"{key} has objective {stage.objective!r} and peer {stage.peer!r}; objective mutual has a peer, no other"
    if stage.hints and (not distils or len(teachers(stage)) > 1):
        yield f"{key}.hints look into one teacher; set objective=distil with a single teacher, or leave hints empty"
    if stage.soft == "none" and not (distils and stage.hints):
        yield f"{key}.soft is none, which leaves nothing of the teacher; name hints, or a loss"
    if unknown := set(stage.taps) - set(stage.hints):
        yield f"{key}.taps names {', '.join(sorted(unknown))}, which is not among hints"
    if any(_pairs_or_none(places) is None for places in stage.taps.values()):
        yield f"{key}.taps are pairs, ('student_tap', 'teacher_tap'), or tuples of them; '' is the last tap"
    if idle := sorted(set(stage.taps) - set(_OF_MAPS)):
        yield f"{key}.taps names {', '.join(idle)}, which compares embeddings; only {', '.join(_OF_MAPS)} have taps"
    if stage.peer_options and not stage.peer:
        yield f"{key}.peer_options are of a peer; name one, or leave them empty"
    if stage.patience and stage.select == "last":
        yield f"{key}.select=last has no metric that patience could wait for; set patience=0 or select by a metric"
    if not 0 < stage.share <= 1:
        yield f"{key}.share is {stage.share}; give the part of the training examples that is used, above 0, at most 1"
    if stage.epochs < 1 or stage.batch_size < 1 or stage.patience < 0 or stage.lanes < 0:
        yield f"{key} needs epochs and batch_size of at least 1, and patience and lanes of at least 0"
    if learns is LearnsFrom.VIEWS and not stage.augment:
        yield f"{key}.augment is empty: both views of an example would be the same; name random changes"
    if learns is LearnsFrom.VIEWS and stage.select != "last":
        yield f"{key}.select is {stage.select!r}, but a network that learns from views has no metric; set select=last"
    if learns is LearnsFrom.VIEWS and stage.class_weighting != "none":
        yield f"{key}.class_weighting is of no use to a network that learns from views, not classes; leave it none"
    if stage.groups != NO_GROUPS and learns is not LearnsFrom.CLASSES:
        yield f"{key}.groups is {stage.groups!r}, which is for objective supervised; set groups=none"
    if learns not in _SOFT and (stage.soft != "kd" or stage.scale_by_t2):
        yield f"{key}.soft and scale_by_t2 are of a loss against a teacher, which objective {stage.objective!r} has not"
    if wrong := sweeps.problem(stage):
        yield f"{key}.sweep {wrong}"
        return
    # Of a sweep, its members' constants are what counts; what is wrong with one is wrong with most.
    for member in sweeps.members(name, stage):
        its = sweeps.of_member(ConfigDict({name: stage}), member)
        found = list(_constants(f"config.stages.{member}", its, learns))
        found += compression.problems(f"config.stages.{member}", its)
        yield from found
        if found:
            return


def _constants(key: str, stage: ConfigDict, learns: LearnsFrom) -> Iterator[str]:
    rule, constants = stage.optimizer, stage.constants
    used = _used(stage, learns)
    defaults = train_stage("").constants
    swept = {name for point in stage.sweep for name in point}
    for name, needs in _USES.items():
        if name not in used and (constants[name] != defaults[name] or name in swept):
            yield f"{key}.constants.{name} is used by {needs} only; leave it at {defaults[name]:g}"
    if constants.mixup and ((stage.soft == "dkd" and learns in _SOFT) or "crd" in stage.hints):
        yield f"{key}.constants.mixup makes examples of two classes, which dkd and crd cannot tell apart; leave it 0"
    if constants.mixup and stage.groups != NO_GROUPS:
        yield f"{key}.constants.mixup makes examples of two groups, which groups cannot tell apart; leave it 0"
    if any(not isinstance(weight, int | float) or weight < 0 for weight in stage.hints.values()):
        yield f"{key}.hints are weights from 0 on"
    if stage.temperature <= 0:
        yield f"{key}.temperature must be positive"
    if not 0 <= stage.alpha <= 1:
        yield f"{key}.alpha must lie between 0 and 1"
    if learns is LearnsFrom.VIEWS and stage.alpha != 1.0:
        yield f"{key}.alpha weighs true classes, which a network that learns from views does not see; leave it at 1"
    if learns is LearnsFrom.CLASSES and (stage.temperature, stage.alpha) != (1.0, 1.0):
        yield f"{key} has a temperature or an alpha that objective {stage.objective!r} does not use; leave them at 1"
    if learns is LearnsFrom.VIEWS and constants.mixup:
        yield f"{key}.constants.mixup mixes classes, which a network that learns from views does not see; leave it 0"
    if rule.learning_rate <= 0 or rule.weight_decay < 0 or rule.clip_norm < 0 or not 0 <= rule.warmup_fraction < 1:
        yield (
            f"{key}.optimizer needs a positive learning_rate, weight_decay and clip_norm from 0 on, "
            "and a warmup_fraction from 0 to below 1"
        )
    if rule.clip_value < 0 or not 0 <= rule.momentum < 1 or not 0 < rule.decay_fraction <= 1:
        yield f"{key}.optimizer needs clip_value from 0 on, a momentum from 0 to below 1, a decay_fraction up to 1"
    if not 0 <= constants.label_smoothing < 1 or not 0 <= constants.ema_decay < 1:
        yield f"{key}.constants.label_smoothing and ema_decay lie between 0 and 1"
    if not 0 <= constants.class_balanced_beta < 1:
        yield f"{key}.constants.class_balanced_beta lies between 0 and 1"
    if any(constants[name] < 0 for name in constants):
        yield f"{key}.constants are not negative"


def _used(stage: ConfigDict, learns: LearnsFrom) -> set[str]:
    """Those constants of `_USES` that the stage's objective reads."""
    views = learns is LearnsFrom.VIEWS
    used = (
        set()
        if views
        else {"cross-entropy": {"label_smoothing"}, "bce": {"positive_weight"}}.get(stage.labels, {"focal_gamma"})
    )
    if stage.average or learns is LearnsFrom.ITSELF or (views and stage.contrast.loss in ("moco", "byol")):
        used = used | {"ema_decay"}
    used = used | {"group-dro": {"group_step"}, "v-rex": {"group_penalty"}}.get(stage.groups, set())
    if learns in _SOFT:
        used = used | {name for name in _USES if name.startswith(f"{stage.soft}_")}
    return used | ({"class_balanced_beta"} if stage.class_weighting == "class-balanced" else set())
