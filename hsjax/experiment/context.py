"""What the stages of one run share: the config, the folder, and the data, loaded when first needed."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import hsjax
from hsjax import config as run_config
from hsjax import features, models, prepare, progress, train
from hsjax.config import ConfigDict, Placement, StageKind, choice
from hsjax.data import load, protocols
from hsjax.experiment import feature_store, folder, learning, smaller
from hsjax.experiment.inputs import Inputs
from hsjax.models import quantised
from hsjax.types import Aggregation, Dataset, Examples, RunKey, Split, UserError

CACHE_VARIABLE = "HSJAX_CACHE"


class Training(NamedTuple):
    """Which training of a run.

    Attributes:
      fold: `Split.name`; 0 without cross-validation.
      stage: name of a train stage.
    """

    protocol: str
    seed: int
    fold: int | str
    stage: str

    def key(self, dataset: str, split: str = "test") -> RunKey:
        """The columns that identify this training in the tables."""
        return RunKey(dataset, self.protocol, self.stage, self.seed, self.fold, split)


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity, for the cache of splits
class Context:
    """One run.

    Attributes:
      config: validated.
      workdir: the run's folder.
      published: table of published figures that the report prints beside ours; None for none.
    """

    config: ConfigDict
    workdir: pathlib.Path
    published: pathlib.Path | None = None

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The recordings, checked and described, not decoded."""
        return load.load(self.config.data, cache_dir=self.cache)

    @property
    def cache(self) -> pathlib.Path:
        """Folder of what need not be found or prepared twice."""
        chosen = self.config.data.cache or os.environ.get(CACHE_VARIABLE, "")
        return pathlib.Path(chosen).expanduser() if chosen else self.workdir / "cache"

    @functools.cached_property
    def examples(self) -> Examples:
        """Every window of every recording."""
        with progress.bar("reading recordings", len(self.dataset.recordings)) as advance:
            # Rendered recordings are rendered once more to tell whether they are those in the cache: it saves nothing.
            cache = None if self.dataset.synthetic and not self.streams else self.cache
            return prepare.examples(self.dataset, self.config.prepare, advance, cache_dir=cache)

    @functools.cached_property
    def front_end(self) -> features.FrontEnd:
        """Samples to features."""
        window, _ = prepare.window_samples(self.config.prepare)
        return features.build(self.config.features, self.config.prepare.sample_rate, window)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a run is one object and lives as long as its process
    def inputs(self, protocol: str, fold: int | str) -> Inputs:
        """What is fitted on the training part of a fold, and every example's features."""
        chosen = self.split(protocol, fold).train
        if self.streams:
            samples, state = self.examples.samples, self.front_end.fit(self.examples.samples, chosen)
            compute = functools.partial(self.front_end.compute, state)
            return Inputs(state, train.WindowFeatures(samples, np.arange(len(samples)), compute))
        if self.front_end.learn is None:
            return Inputs(self.front_end.standardisation(self.raw_features, chosen), self.raw_features)
        state = self.front_end.fit(self.examples.samples, chosen)
        with self._extracting() as advance:
            transform = functools.partial(self.front_end.transform, bands=state.bands)
            raw = feature_store.in_memory(transform, self.front_end.shape, self.examples.samples, advance)
        return Inputs(state, raw)

    @property
    def streams(self) -> bool:
        """True where features are computed batch by batch, from windows on the disk."""
        return choice(Placement, self.config.data.placement, "data.placement") is Placement.STREAM

    @functools.cached_property
    def raw_features(self) -> np.ndarray:
        """Features of every example before normalisation, for every protocol; on the disk where the examples are."""
        transform, shape, examples = self.front_end.transform, self.front_end.shape, self.examples
        with self._extracting() as advance:
            if self.dataset.synthetic:
                return feature_store.in_memory(transform, shape, examples.samples, advance)
            key = prepare.key(self.dataset, self.config.prepare)
            about = {"dataset": self.dataset.name, "features": self.config.features.name}
            return feature_store.on_disk(transform, shape, examples, self.cache, key, about, advance)

    def raw_features_of(self, rows: slice) -> np.ndarray:
        """As `raw_features`, of consecutive examples, without those of all others in memory where they are streamed."""
        if self.streams:
            return features.extract(self.front_end.transform, self.examples.samples[rows])
        return self.raw_features[rows]

    def _extracting(self) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """The progress bar of features, if training will have room for them."""
        train.check_fits(len(self.examples.label) * math.prod(self.front_end.shape) * 4)
        return progress.bar("features", len(self.examples.label))

    @property
    def labelled(self) -> bool:
        """True where recordings have labels; False where only their beats have, so that no recording is scored."""
        return all(recording.label for recording in self.dataset.recordings)

    @property
    def unit(self) -> str:
        """What is scored in the first place."""
        return "recording" if self.labelled else "segment"

    @property
    def aggregation(self) -> Aggregation:
        """How windows become recordings."""
        return choice(Aggregation, self.config.evaluate.aggregation, "evaluate.aggregation")

    @functools.cached_property
    def positive(self) -> int | None:
        """Index of the class to detect."""
        dataset = self.dataset
        return None if dataset.positive is None else dataset.classes.index(dataset.positive)

    @functools.cached_property
    def subset(self) -> np.ndarray:
        """Number of each example's sub-dataset, int64 (n,)."""
        of_recording = np.unique([one.subset for one in self.dataset.recordings], return_inverse=True)[1]
        return of_recording[self.examples.recording]

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a run is one object and lives as long as its process
    def splits(self, protocol: str) -> dict[int | str, Split]:
        """Train, validation and test examples under a protocol, by the name of the fold."""
        seed = self.config.data.split_seed
        made = protocols.splits(protocol, self.examples, self.dataset, self.config.split, seed=seed)
        return {split.name: split for split in made}

    def split(self, protocol: str, fold: int | str) -> Split:
        """Train, validation and test examples of one fold."""
        return self.splits(protocol)[fold]

    @functools.lru_cache(maxsize=256)  # noqa: B019 - a run is one object and lives as long as its process
    def stage(self, name: str) -> ConfigDict:
        """Settings of a train stage, or of a member of its sweep."""
        return run_config.of_member(self.config.stages, name)

    def network(
        self, stage: str, form: models.Form = models.Form.FAST, num_classes: int | None = None
    ) -> models.Network:
        """The network of a train stage, with as many outputs as the dataset has classes."""
        num_classes = len(self.dataset.classes) if num_classes is None else num_classes
        settings = self.stage(stage)
        network = self._built(stage, form, num_classes)
        precision = choice(models.Precision, settings.precision, f"stages.{stage}.precision")
        if form is models.Form.PLAIN:
            precision = models.Precision.FLOAT32  # what is counted and exported
        return dataclasses.replace(network, frozen=tuple(settings.freeze), precision=precision)

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a run is one object and lives as long as its process
    def _built(self, stage: str, form: models.Form, num_classes: int) -> models.Network:
        settings = self.stage(stage)
        quantiser = learning.quantiser(settings, f"config.stages.{stage}.quantise")
        network = models.build(
            settings.model, num_classes=num_classes, form=form, quantiser=quantiser, **settings.options
        )
        try:
            network = smaller.network(network, run_config.shrinkings(self.config.stages, stage), self.one_input)
        except UserError as error:
            raise UserError(f"config.stages.{stage}.compress: {error}") from error
        try:
            quantised.check_overrides(network, self.one_input)
        except UserError as error:
            raise UserError(f"config.stages.{stage}.quantise.overrides: {error}") from error
        return network

    @property
    def one_input(self) -> jax.ShapeDtypeStruct:
        """What a network sees of one example: shape and dtype, with a batch of 1 in front."""
        return jax.ShapeDtypeStruct((1, *self.front_end.shape), jnp.float32)

    def learner(self, name: str, steps: int, num_classes: int | None = None) -> train.Learner:
        """Network, objective and optimiser of a train stage that takes `steps` steps in all."""
        stage = self.stage(name)
        num_classes = len(self.dataset.classes) if num_classes is None else num_classes
        runs = learning.runs_teachers(stage)
        teachers = [self.network(teacher, num_classes=num_classes) for teacher in run_config.teachers(stage)]
        network = self.network(name, num_classes=num_classes)
        peer = None
        if stage.peer:
            peer = models.build(stage.peer, num_classes=num_classes, **stage.peer_options)
            peer = dataclasses.replace(peer, precision=network.precision)
        return learning.learner(
            stage,
            name,
            network,
            steps=steps,
            front_end=self.front_end,
            sample_rate=self.config.prepare.sample_rate,
            # Nobody trains them: what of them was frozen is no part of what a step is compiled for.
            teachers=tuple(dataclasses.replace(teacher, frozen=()) for teacher in teachers) if runs else (),
            peer=peer,
            keeps_zeros=run_config.keeps_zeros(self.config.stages, name),
        )

    def trained(self, training: Training) -> folder.Part:
        """The folder of one training, with everything that its result depends on."""
        config = self.config
        its = self.stage(training.stage)
        settings = self.of_examples(training) | folder.flat({"stage": _of_result(its)})
        if file := its.pretrained:
            settings["stage.pretrained"] = self._sha256(file)  # what the weights are, not where they lie
        # Numbers depend on these too: what was begun with one version is not gone on with by another.
        dispatch = train.Dispatch.STEPS if self.streams else train.Dispatch(config.dispatch).resolve()
        settings |= {"dispatch": dispatch.value, "backend": jax.default_backend()}
        settings |= {"hsjax": hsjax.__version__, "jax": jax.__version__}
        for number, name in enumerate(run_config.earlier(its)):
            above = self.trained(training._replace(stage=name)).settings
            prefix = f"teacher{number or ''}" if name in run_config.teachers(its) else "begin"
            settings |= {
                f"{prefix}.{key}": value
                for key, value in above.items()
                if key.startswith(("stage.", "teacher", "begin."))
            }
        defaults = {key: self._defaults[name] for key in settings if (name := _unprefixed(key)) in self._defaults}
        return folder.Part(self.path(training), settings, defaults)

    def of_examples(self, training: Training) -> dict[str, Any]:
        """The flat settings that the examples of a training, and its seed, depend on."""
        config, (protocol, seed, fold, _) = self.config, training
        data = {key: value for key, value in config.data.items() if key not in _other_data(config)}
        parts = {"data": data, "prepare": config.prepare, "features": config.features, "split": config.split[protocol]}
        of_run = {"protocol": protocol, "seed": seed, "fold": fold, "recordings": self.digest}
        return folder.flat(parts) | of_run

    @functools.cached_property
    def _defaults(self) -> dict[str, Any]:
        """Flat defaults of the settings that a training depends on."""
        base = run_config.base()
        parts = {name: base[name] for name in ("data", "prepare", "features")}
        return folder.flat(parts | {"stage": _of_result(run_config.train_stage(""))})

    def path(self, training: Training) -> pathlib.Path:
        """The folder of one training, or of one fit."""
        protocol, seed, fold, stage = training
        below = [] if self.folds(protocol) == [0] else [f"fold-{fold}"]
        return self.workdir.joinpath("stages", protocol, str(seed), *below, stage)

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a run is one object and lives as long as its process
    def _sha256(self, path: str) -> str:
        with pathlib.Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @functools.cached_property
    def digest(self) -> str:
        """Changes when recordings are added, removed, relabelled or regrouped, or one sounds or beats otherwise."""
        recordings = self.dataset.recordings
        described = [
            (r.id, r.label, r.subset, r.group, r.sample_rate, r.num_samples, r.digest, prepare.beats_digest(r))
            for r in recordings
        ]
        # Rendered recordings have no digest: the first one's sound tells of a changed generator.
        sound = b"".join(recording.read().tobytes() for recording in recordings[:1] if not recording.digest)
        return hashlib.sha256(repr(described).encode() + sound).hexdigest()[:16]

    def folds(self, protocol: str) -> list[int | str]:
        """Names of a protocol's folds; [0] where it has but one split."""
        return list(self.splits(protocol))

    def trainings(self) -> Iterator[Training]:
        """Every training, by protocol, seed, fold and stage."""
        for protocol in self.config.protocols:
            for seed in self.config.seeds:
                for fold in self.folds(protocol):
                    for name, stage in run_config.stages(self.config, StageKind.TRAIN).items():
                        for member in run_config.members(name, stage):
                            yield Training(protocol, seed, fold, member)

    def together(self) -> Iterator[list[Training]]:
        """Every training, in the order in which they are run: those of a stage that differ in seed and constants."""
        for protocol in self.config.protocols:
            for fold in self.folds(protocol):
                for name, stage in run_config.stages(self.config, StageKind.TRAIN).items():
                    yield [
                        Training(protocol, seed, fold, member)
                        for seed in self.config.seeds
                        for member in run_config.members(name, stage)
                    ]

    def predicts(self, training: Training) -> bool:
        """Whether the network of a training has learnt classes, so that it is scored."""
        return run_config.predicts(self.stage(training.stage))


def _unprefixed(key: str) -> str:
    """The name of a setting in its own stage, of one that belongs to a teacher or to what was begun with."""
    before, stage, name = key.rpartition("stage.")
    return stage + name if before else key


def _of_result(stage: ConfigDict) -> dict[str, Any]:
    """The settings of a stage that its result depends on: not who is trained beside it."""
    return {key: value for key, value in stage.items() if key not in ("sweep", "lanes")}


def _other_data(config: ConfigDict) -> set[str]:
    """Keys of `config.data` that the recordings do not depend on: where they lie, and another dataset's settings."""
    others = {name for name, value in config.data.items() if isinstance(value, ConfigDict)} - {config.data.name}
    return {"root", "cache"} | others
