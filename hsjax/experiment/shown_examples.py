"""Test windows that the page draws."""

import itertools
import pathlib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from hsjax import dsp
from hsjax.experiment.context import Context


def of_test(context: Context, protocol: str, fold: int | str, count: int) -> list[int]:
    """Indices of test windows of different groups, the classes in turn; fewer than `count` where groups are few."""
    examples, recordings = context.examples, context.dataset.recordings
    by_class: dict[int, dict[str, int]] = {}
    for index in context.split(protocol, fold).test[::-1]:
        recording = recordings[examples.recording[index]]
        by_class.setdefault(int(examples.label[index]), {})[recording.group or recording.id] = int(index)
    turns = itertools.zip_longest(*(list(by_class[label].values())[::-1] for label in sorted(by_class)))
    return [index for turn in turns for index in turn if index is not None][:count]


def titles(context: Context, chosen: Sequence[int]) -> list[str]:
    """Class, recording and sub-dataset of windows."""
    owners = [context.dataset.recordings[context.examples.recording[index]] for index in chosen]
    labels = [context.dataset.classes[context.examples.label[index]] for index in chosen]
    return [
        f"{label}: {owner.id}" + (f" ({owner.subset})" if owner.subset else "")
        for label, owner in zip(labels, owners, strict=True)
    ]


def write(context: Context, path: pathlib.Path, count: int) -> None:
    """Keep test windows of the last protocol for the page: sound, spectrogram and features."""
    protocol = context.config.protocols[-1]
    fold = context.folds(protocol)[0]
    chosen = of_test(context, protocol, fold, count)
    rate, options = context.config.prepare.sample_rate, context.config.features
    samples = context.examples.samples[chosen]
    # Up to the upper edge of the mel bands: above it there is nothing that the network sees.
    bins = slice(0, round(min(options.fmax / rate, 0.5) * options.n_fft) + 1)
    spectrogram = dsp.power_to_db(dsp.power_spectrum(jnp.asarray(samples), options.n_fft, options.hop_length, bins))
    with path.open("wb") as file:
        np.savez(
            file,
            samples=samples,
            sample_rate=rate,
            spectrogram=np.swapaxes(spectrogram, -1, -2),
            max_hertz=(bins.stop - 1) * rate / options.n_fft,
            features=context.inputs(protocol, fold).on_host(np.array(chosen)),
            hop_seconds=options.hop_length / rate,
            title=np.array(titles(context, chosen)),
        )
