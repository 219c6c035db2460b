"""From the settings of a train stage to a learner and its constants."""

import jax

from hsjax import compress, features, models, train
from hsjax.config import NO_GROUPS, ConfigDict, LearnsFrom, choice, pairs, prunes
from hsjax.models.layers.fake_quant import fake_quant
from hsjax.types import UserError


def learner(
    stage: ConfigDict,
    name: str,
    network: models.Network,
    *,
    steps: int,
    front_end: features.FrontEnd,
    sample_rate: int,
    teachers: tuple[models.Network, ...] = (),
    peer: models.Network | None = None,
    keeps_zeros: bool = False,
) -> train.Learner:
    """Network, objective, optimiser and compression of a train stage.

    Args:
      stage: its settings.
      name: of the stage, for messages.
      network: that is trained.
      steps: in all.
      front_end: from samples to features, where samples are changed in the step.
      sample_rate: of these, Hz.
      teachers: that run in the step.
      peer: for mutual learning.
      keeps_zeros: whether the weights that it begins with were pruned.

    Raises:
      UserError: a setting names nothing there is.
    """
    key = f"stages.{name}"
    views = train.Views.from_settings(stage.augment, front_end, sample_rate, f"config.{key}.augment")
    objective = _objective(stage, key, views, teachers, peer, steps)
    compression = _compression(stage, key, steps, keeps_zeros)
    return train.Learner(network, objective, _optimizer(stage, key, steps), stage.average, compression)


def runs_teachers(stage: ConfigDict) -> bool:
    """Whether the teachers run in the step, because their logits before any change would not do."""
    return bool(stage.teacher) and bool(stage.hints or stage.augment or mixes(stage))


def mixes(stage: ConfigDict) -> bool:
    """Whether examples are mixed, by the stage or by any member of its sweep."""
    return bool(stage.constants.mixup) or any(point.get("mixup") for point in stage.sweep)


def hparams(stage: ConfigDict) -> dict[str, jax.Array]:
    """The traced constants of a stage, or of a member."""
    constants = {name: value for name, value in stage.constants.items() if name in train.DEFAULTS}
    hints = {train.Hint(train.HintLoss(name)).name: weight for name, weight in stage.hints.items()}
    sparsity = {"sparsity": stage.compress.prune.sparsity} if prunes(stage) else {}
    return train.hparams(
        learning_rate=stage.optimizer.learning_rate,
        weight_decay=stage.optimizer.weight_decay,
        temperature=stage.temperature,
        alpha=stage.alpha,
        **constants,
        **hints,
        **sparsity,
    )


def quantiser(stage: ConfigDict, key: str) -> models.Quantiser:
    """What rounds the weights and activations of a stage's network.

    Args:
      stage: its settings.
      key: of the section, for messages.

    Raises:
      UserError: there are no such bits or ranges.
    """
    rule = stage.quantise
    if not rule.weights:
        return models.IDENTITY
    try:
        return fake_quant(rule.weights, rule.activations, rule.ranges, rule.decay, rule.overrides.to_dict())
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


def _objective(
    stage: ConfigDict,
    key: str,
    views: train.Views,
    teachers: tuple[models.Network, ...],
    peer: models.Network | None,
    steps: int,
) -> train.Objective:
    learns = choice(LearnsFrom, stage.objective, f"{key}.objective")
    if learns is LearnsFrom.VIEWS:
        contrast = stage.contrast
        loss = choice(train.Contrastive, contrast.loss, f"{key}.contrast.loss")
        widths = tuple(contrast.widths)
        return train.Contrast(
            loss, widths, contrast.prediction, contrast.queue, contrast.original, total_steps=steps, views=views
        )
    labels, mix = choice(train.Labels, stage.labels, f"{key}.labels"), mixes(stage)
    if learns is LearnsFrom.CLASSES and stage.groups != NO_GROUPS:
        return train.Grouped(labels, views=views, rule=choice(train.Groups, stage.groups, f"{key}.groups"))
    if learns is LearnsFrom.CLASSES:
        return train.Supervised(labels, mix, views=views)
    soft = None if stage.soft == "none" else choice(train.Soft, stage.soft, f"{key}.soft")
    if learns is LearnsFrom.ITSELF:
        return train.SelfDistil(labels, mix, soft, stage.scale_by_t2, views=views)
    if learns is LearnsFrom.PEER:
        return train.Mutual(labels, mix, soft, stage.scale_by_t2, peer=peer, views=views)
    hints = []
    for name in stage.hints:
        loss = choice(train.HintLoss, name, f"{key}.hints")
        hints.append(train.Hint(loss, pairs(stage.taps[name])) if name in stage.taps else train.Hint(loss))
    return train.Distil(labels, mix, soft, stage.scale_by_t2, tuple(hints), teachers, views=views)


def _optimizer(stage: ConfigDict, key: str, steps: int) -> train.Optimizer:
    rule = stage.optimizer
    return train.Optimizer(
        choice(train.Rule, rule.rule, f"{key}.optimizer.rule"),
        choice(train.Schedule, rule.schedule, f"{key}.optimizer.schedule"),
        total_steps=steps,
        warmup_steps=round(rule.warmup_fraction * steps),
        momentum=rule.momentum,
        nesterov=rule.nesterov,
        clip_norm=rule.clip_norm,
        clip_value=rule.clip_value,
        decay_matrices_only=rule.decay_matrices_only,
        final_factor=rule.final_factor,
        decay_rate=rule.decay_rate,
        decay_steps=max(1, round(rule.decay_fraction * steps)),
        milestones=tuple(round(fraction * steps) for fraction in rule.milestones),
        cycles=rule.cycles,
        cycle_growth=rule.cycle_growth,
    )


def _compression(stage: ConfigDict, key: str, steps: int, keeps_zeros: bool) -> compress.Compression:
    prune, cluster = stage.compress.prune, stage.compress.cluster
    key = f"{key}.compress"
    transforms: list[compress.Transform] = [compress.KeepZeros()] if keeps_zeros else []
    if prunes(stage):
        scope = choice(compress.Scope, prune.scope, f"{key}.prune.scope")
        begin, end = round(prune.begin * steps), max(1, round(prune.end * steps))
        patterns = tuple(prune.kernels)
        transforms.append(compress.Prune(scope, prune.m, begin, end, prune.every, patterns))
    if cluster.clusters:
        start = choice(compress.Beginning, cluster.start, f"{key}.cluster.start")
        patterns = tuple(cluster.kernels)
        transforms.append(compress.Cluster(cluster.clusters, start, cluster.iterations, patterns))
    return compress.Compression(tuple(transforms))
