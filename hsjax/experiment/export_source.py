"""A trained network, ready to be exported, and the training examples that fix the ranges of its files."""

import dataclasses
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from hsjax import evaluate, features, models, train
from hsjax.config import ConfigDict
from hsjax.experiment import exports, folder, train_stage
from hsjax.experiment.context import Context
from hsjax.export import trained_ranges
from hsjax.models import quantised
from hsjax.models.layers import FakeQuant
from hsjax.runtime import Variant
from hsjax.types import Predictions, RunKey


@dataclasses.dataclass(frozen=True)
class Source:
    """A trained network with what belongs to it.

    Attributes:
      key: of its test predictions.
      network: in plain form; one that was trained with a quantiser emulates its files of integers.
      variables: trained.
      in_float: the same without rounding of activations; its weights are what files of integers have of them.
      front_end: with what was fitted for it.
      state: that.
      threshold: per unit of `reference`, from validation; None with more than two classes.
      reference: its own test predictions, per recording, or per beat where only beats have labels.
      reference_in_float: those of `in_float`.
    """

    key: RunKey
    network: models.Network
    variables: models.Variables
    in_float: tuple[models.Network, models.Variables]
    front_end: features.FrontEnd
    state: features.FeatureState
    threshold: float | None
    reference: Predictions
    reference_in_float: Predictions

    def expected(self, variant: Variant) -> Predictions:
        """What a file of some form should predict of the test part."""
        return self.reference if variant in self.trained else self.reference_in_float

    @property
    def quantised(self) -> bool:
        """Whether the network has ranges that were trained."""
        return isinstance(self.network.module.execution.quantiser, FakeQuant)

    @property
    def trained(self) -> dict[Variant, Callable[[], bytes]]:
        """Makers of the files that hold trained ranges."""
        if not self.quantised:
            return {}
        return trained_ranges.forms(self.network, self.variables, (1, *self.front_end.shape))

    def from_features(self, inputs: jax.Array) -> jax.Array:
        """Features to logits, in float."""
        network, variables = self.in_float
        return network.apply(variables, inputs)[0].logits

    def to_features(self, samples: jax.Array) -> jax.Array:
        """Samples to features."""
        return self.front_end.apply(self.state, samples)

    def taps(self, inputs: Float[np.ndarray, "n ..."]) -> dict[str, np.ndarray]:
        """What the network has inside for some features, by name, in the order of its layers; last the logits."""
        network, variables = self.in_float
        outputs, _ = network.apply(variables, jnp.asarray(inputs))
        return {name: np.asarray(values) for name, values in {**outputs.taps, "logits": outputs.logits}.items()}


def source(context: Context, stage: ConfigDict, name: str) -> Source:
    """The network of a train stage that an export stage deploys."""
    training = exports.training(stage, name)
    variables, state = train_stage.load(context, training)
    path = context.trained(training).path
    validation, test = (
        folder.load_predictions(train_stage.predictions_path(path, split)) for split in ("validation", "test")
    )
    if context.labelled:
        validation, test = (evaluate.recordings(part, context.aggregation) for part in (validation, test))
    threshold = None
    if context.positive is not None:
        threshold = evaluate.choose(validation.probabilities[:, context.positive], validation.label == context.positive)
    network = context.network(name, models.Form.PLAIN)
    in_float, test_in_float = (network, variables), test
    if isinstance(network.module.execution.quantiser, FakeQuant):
        held = quantised.on_grid(network, variables, context.one_input.shape)
        in_float = quantised.without(network), held
        index = context.split(stage.protocol, stage.fold).test
        logits = train.logits(*in_float, context.inputs(stage.protocol, stage.fold).of(index))
        test_in_float = train_stage.segment_predictions(context, test.key, index, logits)
        if context.labelled:
            test_in_float = evaluate.recordings(test_in_float, context.aggregation)
    return Source(test.key, network, variables, in_float, context.front_end, state, threshold, test, test_in_float)


def calibration(context: Context, stage: ConfigDict) -> Float[np.ndarray, "n coeffs frames"]:
    """Features of the training windows that fix the ranges of activations."""
    index = context.split(stage.protocol, stage.fold).train
    recordings = [context.dataset.recordings[index] for index in context.examples.recording[index]]
    group = np.array([recording.group or recording.id for recording in recordings])
    chosen = calibration_examples(context.examples.label[index], group, stage.calibration, stage.seed)
    return context.inputs(stage.protocol, stage.fold).on_host(index[chosen])


def calibration_examples(
    label: Int[np.ndarray, " n"], group: np.ndarray, count: int, seed: int
) -> Int[np.ndarray, " m"]:
    """Indices of training examples for calibration: as many of each class, of each class as many groups as there are.

    Ranges have to hold for subjects, microphones and rooms, and windows of one recording are much alike: groups take
    turns, each with a window of its own drawn at random, until there are enough.

    Args:
      label: of every example.
      group: of every example: subject or source recording.
      count: of examples; fewer where classes have too few.
      seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    classes = np.unique(label)
    chosen = []
    for one in classes:
        by_group: dict[str, list[int]] = {}
        for example in rng.permutation(np.flatnonzero(label == one)).tolist():
            by_group.setdefault(group[example], []).append(example)
        names = list(by_group)
        turns = itertools.zip_longest(*(by_group[names[place]] for place in rng.permutation(len(names))))
        examples = (example for turn in turns for example in turn if example is not None)
        chosen += itertools.islice(examples, -(-count // len(classes)))
    return np.sort(np.array(chosen))
