"""A stage that trains networks under one protocol, in one fold: of all seeds, and of all members of a sweep."""

import functools
import hashlib
import itertools
import math
import pathlib
from collections.abc import Container, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from hsjax import compress, evaluate, features, models, progress, train
from hsjax import config as run_config
from hsjax.config import AT, ConfigDict
from hsjax.experiment import beginning, folder, learning, smaller, watching
from hsjax.experiment.context import Context, Training
from hsjax.experiment.inputs import Inputs
from hsjax.train import checkpoint
from hsjax.types import Batch, Part, Predictions, RunKey, Split

VARIABLES, FEATURES = "variables", "features.npz"


def run(context: Context, trainings: Sequence[Training]) -> None:
    """Train one stage with all its seeds and members, those that are finished left out; resume what was interrupted.

    Args:
      context: of the run.
      trainings: of one protocol, fold and stage, that differ in seed and constants.
    """
    for training in trainings:
        context.trained(training).claim()
    done = {training for training in trainings if context.trained(training).record() is not None}
    if train.side_by_side():
        groups = [[training for training in trainings if training not in done]]
    elif learning.runs_teachers(context.stage(trainings[0].stage)):
        # One program for those who share a teacher; who is in it must not depend on who is finished.
        groups = [list(of_seed) for _, of_seed in itertools.groupby(trainings, lambda training: training.seed)]
    else:
        groups = [list(trainings)]
    for group in groups:
        if not done.issuperset(group):
            _train(context, group, done, len(trainings))


def _train(context: Context, trainings: Sequence[Training], done: Container[Training], of: int) -> None:
    protocol, _, fold, name = trainings[0]
    stage, split = context.stage(name), context.split(protocol, fold)
    label, learnt = context.examples.label, _learnt(stage, split)
    inputs = context.inputs(protocol, fold)
    steps = -(-len(learnt) // stage.batch_size)
    made = context.learner(name, stage.epochs * steps)
    weighting, beta = train.Weighting(stage.class_weighting), stage.constants.class_balanced_beta
    data = Batch(
        _seen(context, inputs, made, learnt),
        label[learnt],
        np.ones(len(learnt), np.float32),
        train.class_weights(label[learnt], len(context.dataset.classes), weighting, beta, context.subset[learnt]),
    )
    file = pathlib.Path(stage.pretrained)
    pretrained = beginning.Pretrained(stage.model, made.network, file) if stage.pretrained else None

    def finish(number: int, fitted: train.Fitted) -> None:
        if trainings[number] not in done:
            record = {"pretrained": pretrained.sha256} if pretrained else {}
            _finish(context, trainings[number], made, fitted, record)
        watchers.close(trainings[number])

    check = functools.partial(validate, label=label[split.validation], positive=context.positive)
    with (
        watching.Watching(context) as watchers,
        progress.bar(_title(context, trainings), stage.epochs * steps * len(trainings)) as advance,
    ):
        train.sweep(
            made,
            train.Streamed(data) if context.streams else train.OnDevice(jax.tree.map(jnp.asarray, data)),
            inputs.of(split.validation),
            check if context.predicts(trainings[0]) else None,
            _members(context, trainings, inputs, data.inputs, split, made, pretrained, watchers),
            finish,
            epochs=stage.epochs,
            batch_size=stage.batch_size,
            patience=stage.patience,
            select=stage.select,
            directory=_of_all(context, trainings),
            dispatch=train.Dispatch(context.config.dispatch),
            progress=advance,
            lanes=stage.lanes,
            of=of,
        )


def _learnt(stage: ConfigDict, split: Split) -> np.ndarray:
    """The examples that a stage learns from; a share of them is the same whatever the seed, and holds a smaller one."""
    learnt = split.learnt_from(Part(stage.part))
    if stage.share == 1:
        return learnt
    return np.sort(np.random.default_rng(0).permutation(learnt)[: math.ceil(stage.share * len(learnt))])


def _of_all(context: Context, trainings: Sequence[Training]) -> pathlib.Path:
    """Folder of what belongs to all these trainings: their checkpoints, where they are one program."""
    settings = [context.trained(training).settings for training in trainings]
    digest = hashlib.sha256(repr((trainings, settings)).encode()).hexdigest()[:12]
    return context.workdir / "stages" / trainings[0].protocol / f"together-{digest}"


def _title(context: Context, trainings: Sequence[Training]) -> str:
    protocol, seed, fold, name = trainings[0]
    in_fold = "" if context.folds(protocol) == [0] else f", fold {fold}"
    if len(trainings) == 1:
        return f"{protocol}, seed {seed}{in_fold}: {name}"
    return f"{protocol}{in_fold}: {name.partition(AT)[0]}, {len(trainings)} members"


def _seen(
    context: Context, inputs: Inputs, made: train.Learner, index: np.ndarray
) -> jax.Array | np.ndarray | train.WindowFeatures:
    """What training reads: features, or windows of samples where these are changed in the step."""
    if made.objective.views.front_end is None:
        return inputs.of(index)
    if context.streams:
        samples = context.examples.samples
        return train.WindowFeatures(samples, index, jnp.asarray)
    train.check_fits(len(index) * context.front_end.window * 4)
    return context.examples.samples[index]


def _members(
    context: Context,
    trainings: Sequence[Training],
    inputs: Inputs,
    seen: jax.Array | np.ndarray | train.WindowFeatures,
    split: Split,
    made: train.Learner,
    pretrained: beginning.Pretrained | None,
    watchers: watching.Watching,
) -> list[train.Member]:
    """What each training has for itself; what those of one seed share is loaded once."""
    taught: dict[tuple[int, str], Any] = {}
    learnt, shared = _learnt(context.stage(trainings[0].stage), split), {}
    if isinstance(made.objective, train.Grouped):
        groups = train.membership(made.objective.rule, context.subset[learnt], context.examples.label[learnt])
        shared[train.GROUPS] = jax.tree.map(jnp.asarray, groups)
    members = []
    for training in trainings:
        stage = context.stage(training.stage)
        logits, fixed = None, dict(shared)
        if made.objective.views.front_end is not None:
            fixed[train.FRONT_END] = jax.tree.map(jnp.asarray, inputs.state)
        if stage.teacher:
            place = training.seed, stage.teacher
            if place not in taught:
                teachers = [training._replace(stage=name) for name in run_config.teachers(stage)]
                runs = learning.runs_teachers(stage)
                taught[place] = (
                    tuple(load(context, teacher)[0] for teacher in teachers)
                    if runs
                    else teacher_logits(context, teachers, seen, made.objective)  # features: nothing is changed
                )
            if learning.runs_teachers(stage):
                fixed[train.TEACHERS] = taught[place]
            else:
                logits = taught[place]
        begin = _beginning(context, training, inputs, split, made, pretrained)
        # The stage's name is not in the key: stages of one seed start from the same weights and see the same order, so
        # that their difference is the objective's.
        key, path = jax.random.key(training.seed), context.trained(training).path
        watch = functools.partial(watchers.told, training)
        members.append(train.Member(learning.hparams(stage), key, path, logits, fixed, begin, watch))
    return members


def _beginning(
    context: Context,
    training: Training,
    inputs: Inputs,
    split: Split,
    made: train.Learner,
    pretrained: beginning.Pretrained | None,
) -> beginning.Begin:
    """Random variables to those that a training begins with."""
    stage = context.stage(training.stage)
    begin = pretrained.begin if pretrained else beginning.unchanged
    if stage.begin:
        held, _ = load(context, training._replace(stage=stage.begin))
        held = smaller.variables(context.network(stage.begin), held, stage.compress, context.one_input)
        begin = functools.partial(beginning.of_earlier, held, stage.begin)
    if stage.quantise.weights and not run_config.keeps_ranges(context.config.stages, training.stage):
        batches = beginning.batches(_learnt(stage, split), stage.batch_size, stage.quantise.batches, training.seed)
        features = [jnp.asarray(inputs.on_host(batch)) for batch in batches]
        begin = functools.partial(beginning.with_ranges, made.network, begin, features)
    return begin


def _finish(
    context: Context, training: Training, made: train.Learner, fitted: train.Fitted, record: dict[str, Any]
) -> None:
    """Keep what training left, and score it if it has learnt classes."""
    protocol, _, fold, name = training
    part, inputs, split = context.trained(training), context.inputs(protocol, fold), context.split(protocol, fold)
    checkpoint.save_variables(part.path / VARIABLES, fitted.variables)
    with (part.path / FEATURES).open("wb") as file:
        np.savez(file, **inputs.state._asdict())
    for which in ("validation", "test") if context.predicts(training) else ():
        index = getattr(split, which)
        logits = train.logits(made.network, fitted.variables, inputs.of(index))
        key = training.key(context.dataset.name, which)
        predicted = segment_predictions(context, key, index, logits)
        folder.save_predictions(predictions_path(part.path, which), predicted)
    figures = {
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs,
        "parameters": models.parameter_count(fitted.variables),
        "macs": models.macs(context.network(name, models.Form.PLAIN), context.one_input),
        "train": len(_learnt(context.stage(name), split)),
    }
    if run_config.compressed(context.config.stages, name):
        figures |= _sizes(fitted.variables)
    part.finish(figures | record)


def _sizes(variables: models.Variables) -> dict[str, int | float]:
    """What compression has come to, before anything is rounded: parameters that are not zero, and bytes in float32."""
    nonzero = sum(int(jnp.count_nonzero(leaf)) for leaf in jax.tree.leaves(variables["params"]))
    found = compress.sizes.of_variables(variables)
    return {"nonzero": nonzero} | {f"{name}_bytes": value for name, value in found._asdict().items()}


def predictions_path(stage: pathlib.Path, split: str) -> pathlib.Path:
    """Where a train stage keeps its predictions for a split."""
    return stage / f"predictions-{split}.npz"


def load(context: Context, training: Training) -> tuple[models.Variables, features.FeatureState]:
    """Variables and fitted features of a finished train stage."""
    path = context.trained(training).path
    shapes = jax.eval_shape(context.network(training.stage).init, jax.random.key(0), context.one_input)
    with np.load(path / FEATURES) as stored:
        state = features.FeatureState(**stored)
    return checkpoint.load_variables(path / VARIABLES, shapes), state


def teacher_logits(
    context: Context,
    teachers: Sequence[Training],
    inputs: jax.Array | np.ndarray | train.WindowFeatures,
    objective: train.Objective,
) -> jax.Array:
    """The teachers' logits on the training examples, computed once: nothing random stands before them.

    Of several, those of the mean of their probabilities.
    """
    each = [train.logits(context.network(teacher.stage), load(context, teacher)[0], inputs) for teacher in teachers]
    soft = objective.soft if isinstance(objective, train.Distil) and objective.soft else train.Soft.KD
    return jnp.asarray(each[0]) if len(each) == 1 else soft.together(jnp.stack(each))


def validate(logits: np.ndarray, *, label: np.ndarray, positive: int | None) -> dict[str, float]:
    """Metrics of one epoch: loss, and what a stage may be selected by."""
    log_probability = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
    loss = -log_probability[np.arange(len(label)), label].mean()
    return {"loss": float(loss)} | evaluate.selection(np.exp(log_probability), label, positive)


def segment_predictions(context: Context, key: RunKey, index: np.ndarray, logits: np.ndarray) -> Predictions:
    """Softmax probabilities of the examples at `index`, with what identifies them."""
    examples, recordings = context.examples, context.dataset.recordings
    owners = [recordings[owner] for owner in examples.recording[index]]
    return Predictions(
        key=key,
        unit="segment",
        classes=context.dataset.classes,
        recording=np.array([owner.id for owner in owners]),
        start=examples.start[index],
        # Where the distribution names no group, a recording stands for itself.
        group=np.array([owner.group or owner.id for owner in owners]),
        label=examples.label[index],
        probabilities=scipy.special.softmax(logits, axis=-1).astype(np.float32),
    )
