"""A stage that trains one network under one protocol with one seed, in one fold."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from hsjax import evaluate, features, models, progress, train
from hsjax.experiment import folder
from hsjax.experiment.context import Context, Training, learner
from hsjax.models.pretrained import load as load_pretrained
from hsjax.train import checkpoint
from hsjax.types import Batch, Predictions, RunKey

VARIABLES, FEATURES = "variables", "features.npz"


def run(context: Context, training: Training) -> None:
    """Train the stage unless it is finished; resume it if it was interrupted."""
    protocol, seed, fold, name = training
    part = context.trained(training)
    part.claim()
    if part.record() is not None:
        return
    stage, split = context.config.stages[name], context.split(protocol, fold)
    label = context.examples.label
    inputs = context.inputs(protocol, fold)
    seen = inputs.of(split.train)
    weighting = train.Weighting(stage.class_weighting)
    data = Batch(
        seen,
        label[split.train],
        np.ones(len(split.train), np.float32),
        train.class_weights(label[split.train], len(context.dataset.classes), weighting),
        teacher_logits(context, training._replace(stage=stage.teacher), seen) if stage.teacher else None,
    )
    source = train.Streamed(data) if context.streams else train.OnDevice(jax.tree.map(jnp.asarray, data))
    steps = -(-len(split.train) // stage.batch_size)
    made = learner(context, name, stage.epochs * steps)
    in_fold = "" if context.folds(protocol) == [0] else f", fold {fold}"
    title = f"{protocol}, seed {seed}{in_fold}: {name}"
    pretrained = _Pretrained(stage.model, made.network, pathlib.Path(stage.pretrained)) if stage.pretrained else None
    with progress.bar(title, stage.epochs * steps) as advance:
        fitted = train.fit(
            made,
            source,
            inputs.of(split.validation),
            functools.partial(validate, label=label[split.validation], positive=context.positive),
            hparams={
                "learning_rate": jnp.float32(stage.optimizer.learning_rate),
                "weight_decay": jnp.float32(stage.optimizer.weight_decay),
                "temperature": jnp.float32(stage.temperature),
                "alpha": jnp.float32(stage.alpha),
            },
            # The stage's name is not in the key: stages of one seed start from the same weights and see the same
            # order, so that their difference is the objective's.
            key=jax.random.key(seed),
            epochs=stage.epochs,
            batch_size=stage.batch_size,
            patience=stage.patience,
            select=stage.select,
            directory=part.path,
            dispatch=train.Dispatch(context.config.dispatch),
            progress=advance,
            start=pretrained.begin if pretrained else lambda variables: variables,
        )
    checkpoint.save_variables(part.path / VARIABLES, fitted.variables)
    with (part.path / FEATURES).open("wb") as file:
        np.savez(file, **inputs.state._asdict())
    for which in ("validation", "test"):
        index = getattr(split, which)
        logits = train.logits(made.network, fitted.variables, inputs.of(index))
        key = training.key(context.dataset.name, which)
        predicted = segment_predictions(context, key, index, logits)
        folder.save_predictions(predictions_path(part.path, which), predicted)
    example = jax.ShapeDtypeStruct((1, *inputs.shape), jnp.float32)
    part.finish(
        {
            "best_epoch": fitted.best_epoch,
            "epochs": fitted.epochs,
            "parameters": models.parameter_count(fitted.variables),
            "macs": models.macs(context.network(name, models.Form.PLAIN), example),
            "train": len(split.train),
        }
        | ({"pretrained": pretrained.sha256} if pretrained else {})
    )


@dataclasses.dataclass
class _Pretrained:
    """Weights from a file as a place to start from; `sha256` is that of the file's origin once they are loaded."""

    model: str
    network: models.Network
    path: pathlib.Path
    sha256: str = ""

    def begin(self, variables: models.Variables) -> models.Variables:
        """All weights but the head's from the file."""
        loaded = load_pretrained(self.model, self.network, variables, self.path, allow_unregistered=True)
        self.sha256 = loaded.origin.sha256
        return loaded.variables


def predictions_path(stage: pathlib.Path, split: str) -> pathlib.Path:
    """Where a train stage keeps its predictions for a split."""
    return stage / f"predictions-{split}.npz"


def load(context: Context, training: Training) -> tuple[models.Variables, features.FeatureState]:
    """Variables and fitted features of a finished train stage."""
    path = context.trained(training).path
    example = jax.ShapeDtypeStruct((1, *context.front_end.shape), jnp.float32)
    shapes = jax.eval_shape(context.network(training.stage).init, jax.random.key(0), example)
    with np.load(path / FEATURES) as stored:
        state = features.FeatureState(**stored)
    return checkpoint.load_variables(path / VARIABLES, shapes), state


def teacher_logits(context: Context, teacher: Training, inputs: jax.Array | train.WindowFeatures) -> np.ndarray:
    """The teacher's logits on the training examples, computed once: nothing random stands before the teacher."""
    variables, _ = load(context, teacher)
    return train.logits(context.network(teacher.stage), variables, inputs)


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
