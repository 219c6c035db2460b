"""The whole preparation of the PhysioNet/CinC 2016 part at hand, beside the time that the sound itself lasts.

Decoded, filtered without delay (20-400 Hz), freed of spikes, segmented into heart states, cut into cycles of 2.5 s,
MFCC: everything that stands between the files and training in Song et al. (EMBC 2023).
"""

import os
import pathlib
import time
from collections.abc import Iterator

from hsjax import config, features, prepare
from hsjax.data.readers import physionet2016


def rows(threads: int, repetitions: int = 3) -> Iterator[dict[str, str | float]]:
    """One row: the first pass has the compilation in it and is its lower end.

    Args:
      threads: cores that this process was limited to; part of the name.
      repetitions: passes over all recordings.
    """
    settings = config.base()
    settings.prepare.update({"filter": "zero-phase", "remove_spikes": True, "cut": "cycles"})
    dataset = physionet2016.dataset(pathlib.Path(os.environ["HSJAX_DATA"]))
    sound = sum(recording.num_samples / recording.sample_rate for recording in dataset.recordings)
    window, _ = prepare.window_samples(settings.prepare)
    front_end = features.build(settings.features, settings.prepare.sample_rate, window)
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        examples = prepare.examples(dataset, settings.prepare)
        features.extract(front_end.transform, examples.samples)
        seconds.append(time.perf_counter() - start)
    ours = sorted(seconds)[len(seconds) // 2]
    cores = f"{threads} core{'s' * (threads > 1)}"
    yield {
        "work": f"prepare {len(dataset.recordings)} recordings, {len(examples.label)} cycles, {cores}",
        "peer": "real time",
        "unit": "s",
        "ours": ours,
        "theirs": sound,
        "ratio": sound / ours,
        "ratio_low": sound / max(seconds),
        "ratio_high": sound / min(seconds),
    }
