"""What can be wrong with a run, found before any work is done."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from hsjax import config as run_config
from hsjax import evaluate, features, train
from hsjax.config import StageKind, choice
from hsjax.data import protocols
from hsjax.evaluate import classical, clustering
from hsjax.experiment import learning
from hsjax.experiment.context import Context
from hsjax.models.pretrained import load as load_pretrained
from hsjax.types import Batch, Part, UserError


def settings(context: Context) -> None:
    """Build everything that a config can get wrong before any work is done.

    Raises:
      UserError: what to change.
    """
    for protocol in context.config.protocols:
        choice(protocols.Protocol, protocol, "protocols")
    choice(train.Dispatch, context.config.dispatch, "dispatch")
    for name, stage in run_config.stages(context.config, StageKind.CLASSICAL).items():
        choice(classical.Classical, stage.model, f"stages.{name}.model")
    for name, stage in run_config.stages(context.config, StageKind.CLUSTER).items():
        choice(clustering.Rule, stage.rule, f"stages.{name}.rule")
    example = context.one_input
    for name, stage in run_config.stages(context.config, StageKind.TRAIN).items():
        choice(Part, stage.part, f"stages.{name}.part")
        choice(train.Weighting, stage.class_weighting, f"stages.{name}.class_weighting")
        if stage.select not in (*evaluate.SELECTABLE, train.LAST):
            known = ", ".join((*evaluate.SELECTABLE, train.LAST))
            raise UserError(f"config.stages.{name}.select is {stage.select!r}; it must be one of {known}")
        # How many the dataset has is not known yet.
        num_classes = 3 if stage.soft == train.Soft.STANDARDISED.value else 2
        made = context.learner(name, steps=100, num_classes=num_classes)
        network = made.network
        shape = " x ".join(map(str, context.front_end.shape))
        try:
            variables = jax.eval_shape(network.init, jax.random.key(0), example)
        except (UserError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UserError(f"features of {shape} do not suit {stage.model}: {error}") from error
        network.trainable(variables["params"])
        _objective(context, name, made, example, num_classes)
        if stage.pretrained and not pathlib.Path(stage.pretrained).exists():
            raise UserError(
                f"config.stages.{name}.pretrained: there is no file {stage.pretrained}; "
                "`python -m hsjax.models weights` says which there are and where"
            )
        if stage.pretrained:
            try:
                load_pretrained(
                    stage.model, network, variables, pathlib.Path(stage.pretrained), allow_unregistered=True
                )
            except UserError as error:
                raise UserError(f"config.stages.{name}.pretrained: {error}") from error


def classes(context: Context) -> None:
    """Hold what stages ask for against the classes that the dataset turns out to have.

    Raises:
      UserError: what to change.
    """
    for name, stage in run_config.stages(context.config, StageKind.TRAIN).items():
        for protocol in context.config.protocols:
            if not all(len(split.learnt_from(Part(stage.part))) for split in context.splits(protocol).values()):
                raise UserError(
                    f"config.stages.{name}.part is {stage.part!r}, which protocol {protocol} does not have: set "
                    "config.split.listed.pretrain or config.split.grouped.pretrain, or part=train"
                )
        if stage.soft == train.Soft.STANDARDISED.value and len(context.dataset.classes) < 3:
            raise UserError(
                f"config.stages.{name}.soft is {stage.soft!r}, which of {len(context.dataset.classes)} classes keeps "
                "nothing but which is likelier; take kd, or a dataset of three classes or more"
            )


def _objective(
    context: Context, name: str, made: train.Learner, example: jax.ShapeDtypeStruct, num_classes: int
) -> None:
    """Trace one step of a stage: what an objective asks of networks and features shows there."""
    fixed: dict[str, Any] = {}
    if made.objective.views.front_end is not None:
        example = jax.ShapeDtypeStruct((1, context.front_end.window), jnp.float32)
        coefficients = jax.ShapeDtypeStruct((context.front_end.shape[0], 1), jnp.float32)
        fitted: dict[str, Any] = {"mean": coefficients, "std": coefficients}
        fixed[train.FRONT_END] = features.FeatureState(**fitted)
    for teacher in getattr(made.objective, "teachers", ()):
        seen = made.objective.example(example, fixed)
        held = jax.eval_shape(teacher.init, jax.random.key(0), seen)
        fixed[train.TEACHERS] = (*fixed.get(train.TEACHERS, ()), held)
    constants, few = learning.hparams(context.stage(name)), 4
    if isinstance(made.objective, train.Grouped):
        groups: dict[str, Any] = {"of": jax.ShapeDtypeStruct((few,), jnp.int32)}
        groups["share"] = jax.ShapeDtypeStruct((2,), jnp.float32)
        fixed[train.GROUPS] = train.Membership(**groups)
    row = jax.ShapeDtypeStruct((few,), jnp.float32)
    number = jax.ShapeDtypeStruct((few,), jnp.int32)
    inputs = jax.ShapeDtypeStruct((few, *example.shape[1:]), jnp.float32)
    logits = jax.ShapeDtypeStruct((few, num_classes), jnp.float32)
    batch = Batch(inputs, number, row, row, logits, number)

    def one_step(fixed: Any, batch: Batch) -> Any:
        key = jax.random.key(0)
        state = made.init(key, example, constants, fixed=fixed, examples=few)
        return train.step(made, state, batch, constants, key)[1]["loss"]

    try:
        jax.eval_shape(one_step, fixed, batch)
    except UserError as error:
        raise UserError(f"config.stages.{name}: {error}") from error
