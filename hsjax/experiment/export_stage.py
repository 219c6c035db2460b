"""The stage that exports networks, holds the files against the parity gate, and scores them as a device would."""

import dataclasses
import importlib
import importlib.util
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
import soundfile

from hsjax import bench, evaluate, features, models, prepare, progress, train
from hsjax.config import ConfigDict
from hsjax.evaluate import Decided
from hsjax.experiment import exports, folder, train_stage
from hsjax.experiment.context import Context
from hsjax.export import gate
from hsjax.export import models as exported
from hsjax.micro import front_end_file
from hsjax.predict import Predictor, decide
from hsjax.runtime import Aggregation, Description, Kernels, quiet, sidecar
from hsjax.types import Predictions, RunKey, UserError

_EXTRAS = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert")
_MAKERS = ("hsjax", "jax", "tensorflow", "tf2onnx", "onnx")


def require_extras(name: str) -> None:
    """Raise a UserError before any work if a package that export needs is missing."""
    missing = [package for package in _EXTRAS if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"stage {name!r} needs {', '.join(missing)}: pip install 'hsjax[export]', "
            f"or leave {name!r} out of config.pipeline"
        )


def run(context: Context, name: str) -> None:
    """Export every network the stage names, unless that is done."""
    stage = context.config.stages[name]
    for source in stage.models:
        part = exports.part(context, stage, source)
        part.claim()
        if part.record() is None:
            _export(context, stage, source, part.path)
            part.finish({"source": source})


@dataclasses.dataclass(frozen=True)
class _Source:
    """A trained network, ready to be exported.

    Attributes:
      key: of its test predictions.
      network: in plain form.
      variables: trained.
      front_end: with what was fitted for it.
      state: that.
      threshold: per recording, from validation; None with more than two classes.
      reference: its own test predictions per recording.
    """

    key: RunKey
    network: models.Network
    variables: models.Variables
    front_end: features.FrontEnd
    state: features.FeatureState
    threshold: float | None
    reference: Predictions

    def from_features(self, inputs: jax.Array) -> jax.Array:
        """Features to logits."""
        return self.network.apply(self.variables, inputs)[0].logits

    def to_features(self, samples: jax.Array) -> jax.Array:
        """Samples to features."""
        return self.front_end.apply(self.state, samples)


def _source(context: Context, stage: ConfigDict, name: str) -> _Source:
    training = exports.training(stage, name)
    variables, state = train_stage.load(context, training)
    path = context.trained(training).path
    validation, test = (
        evaluate.recordings(folder.load_predictions(train_stage.predictions_path(path, split)))
        for split in ("validation", "test")
    )
    threshold = None
    if context.positive is not None:
        threshold = evaluate.choose(validation.probabilities[:, context.positive], validation.label == context.positive)
    network = context.network(name, models.Form.PLAIN)
    return _Source(test.key, network, variables, context.front_end, state, threshold, test)


def _export(context: Context, stage: ConfigDict, name: str, directory: pathlib.Path) -> None:
    source = _source(context, stage, name)
    split = context.split(stage.protocol, stage.fold)
    chosen = calibration_examples(context.examples.label[split.train], stage.calibration, stage.seed)
    calibration = context.inputs(stage.protocol, stage.fold).on_host(split.train[chosen])
    with progress.bar(f"export: {name}", 1) as advance:
        files = exported.export(
            directory,
            network=source.from_features,
            front_end=source.to_features,
            feature_shape=context.front_end.shape,
            calibration=calibration,
            description=_description(context, source),
        )
        front_end_file.write(directory / exported.FRONT_END, _front_end_file(context, source))
        advance(1)
    checks, profiles = [], {}
    windows = _windows(context, source, split.test)
    recordings = _test_recordings(context, source.reference)
    with progress.bar(f"gate: {name}, recordings", len(files) * len(recordings)) as advance:
        for file in [*files, directory / exported.FRONT_END]:
            try:  # what is wrong with one file is its failed check, and the others go on
                if file in files:
                    checks += _inspect(stage, windows, file)
                    predictions = _score(file, recordings, source.reference, advance)
                    folder.save_predictions(exports.predictions_path(file), predictions)
                    checks += _compare(context, stage, source, file, predictions)
                profiles[file.name] = _profile(file, stage.threads)
            except UserError as error:
                checks.append(gate.Check(file.name, "runs on recordings", 0.0, 1.0, False, str(error)))
    named = (dataclasses.replace(check, model=f"{name}/{check.model}") for check in checks)
    folder.write_json(directory / exports.GATE, [dataclasses.asdict(check) for check in named])
    folder.write_json(directory / exports.PROFILE, profiles)


def _profile(file: pathlib.Path, threads: int) -> dict[str, float | int | str | None]:
    """Size, latency and memory of a file; of a TFLite file also the latency with the kernels LiteRT itself chooses."""
    profile = dataclasses.asdict(bench.measure(file, threads)) | {"model": file.name, exports.AUTO_KERNELS: None}
    if file.suffix == ".tflite":
        profile[exports.AUTO_KERNELS] = bench.measure(file, threads, kernels=Kernels.AUTO).median_microseconds
    return profile


def calibration_examples(label: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of training examples that fix the int8 ranges: as many of each class, drawn at random."""
    rng = np.random.default_rng(seed)
    classes = np.unique(label)
    per_class = [rng.permutation(np.flatnonzero(label == c))[: -(-count // len(classes))] for c in classes]
    return np.sort(np.concatenate(per_class))


def _description(context: Context, source: _Source) -> Description:
    window, hop = prepare.window_samples(context.config.prepare)
    with quiet.native_stderr():  # TensorFlow greets whoever imports it
        versions = {name: importlib.import_module(name).__version__ for name in _MAKERS}
    return Description(
        stage=source.key.stage,
        protocol=source.key.protocol,
        seed=source.key.seed,
        dataset=context.dataset.name,
        synthetic=context.dataset.synthetic,
        labels=context.dataset.classes,
        positive=context.dataset.positive,
        threshold=source.threshold,
        aggregation=Aggregation.MEAN,
        sample_rate=context.config.prepare.sample_rate,
        window=window,
        hop=hop,
        versions=versions,
    )


def _front_end_file(context: Context, source: _Source) -> front_end_file.FrontEndFile:
    config = context.config
    return front_end_file.FrontEndFile(
        config.features, config.prepare.sample_rate, source.front_end.window, source.state
    )


class _Windows(NamedTuple):
    """The windows of the test part, what the network sees of them, and its logits."""

    samples: np.ndarray
    features: np.ndarray
    logits: np.ndarray


def _windows(context: Context, source: _Source, test: np.ndarray) -> _Windows:
    normalised = context.inputs(source.key.protocol, source.key.fold).on_host(test)
    logits = train.logits(source.network, source.variables, normalised)
    return _Windows(context.examples.samples[test], normalised, logits)


def _inspect(stage: ConfigDict, windows: _Windows, file: pathlib.Path) -> list[gate.Check]:
    """What a file must show by itself, on the windows of the test part."""
    takes_samples = sidecar.read(file).input == sidecar.Input.SAMPLES
    inputs = windows.samples if takes_samples else windows.features
    return gate.inspect(file, inputs, windows.logits, stage.float_deviation)


def _test_recordings(context: Context, reference: Predictions) -> list[pathlib.Path]:
    """The recordings of the test part as audio files; rendered ones are written, in float, as they are."""
    by_id = {recording.id: recording for recording in context.dataset.recordings}
    found = []
    for name in reference.recording:
        recording = by_id[str(name)]
        path = recording.path or context.workdir / "recordings" / f"{recording.id}.wav"
        if recording.path is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            soundfile.write(partial, recording.read(), recording.sample_rate, format="WAV", subtype="FLOAT")
            partial.replace(path)
        found.append(path)
    return found


def _score(
    file: pathlib.Path,
    recordings: list[pathlib.Path],
    like: Predictions,
    advance: Callable[[int], None],
) -> Predictions:
    """Predictions of an exported file from audio files through `predict`: decoding, resampling, aggregation and all."""
    predictor = Predictor(file)
    rows = []
    for path in recordings:
        probabilities = predictor.file(path).probabilities
        rows.append([probabilities[label] for label in like.classes])
        advance(1)
    described = predictor.sidecar
    key = dataclasses.replace(like.key, variant=str(described.variant), input=str(described.input))
    return dataclasses.replace(like, key=key, probabilities=np.array(rows, np.float32))


def _compare(
    context: Context, stage: ConfigDict, source: _Source, file: pathlib.Path, predictions: Predictions
) -> Iterator[gate.Check]:
    """Whether a file decides as its network does, and loses nothing that matters."""
    described = sidecar.read(file)
    classes = [
        np.array([described.labels.index(decide(dict(zip(one.classes, row, strict=True)), described)) for row in rows])
        for one, rows in ((p, p.probabilities.tolist()) for p in (source.reference, predictions))
    ]
    yield gate.agreement(file.name, *classes, limit=stage.agreement)
    ours, theirs = (
        evaluate.selection(p.probabilities, p.label, context.positive)["auroc"] for p in (predictions, source.reference)
    )
    drop = gate.metric_drop(file.name, "AUROC", theirs, ours, limit=stage.auroc_drop)
    paired = evaluate.difference(
        [Decided(predictions, source.threshold)],
        [Decided(source.reference, source.threshold)],
        source.key.stage,
        positive=context.positive,
        resamples=context.config.evaluate.bootstrap,
        seed=context.config.data.split_seed,
    )
    # Of the file minus its network; the lower end of the interval is the largest drop it leaves possible.
    bound = next((row.low for row in paired if row.metric.endswith(":auroc")), None)
    if bound is not None:
        drop = dataclasses.replace(
            drop, detail=f"{drop.detail}; with its paired 95 % interval at most {max(0.0, -bound):.4f}"
        )
    yield drop
