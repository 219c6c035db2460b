"""What there is to say of each recording beside its prediction, for the analysis of errors."""

import numpy as np

from hsjax.evaluate import errors
from hsjax.experiment.context import Context


def sounds(context: Context) -> dict[str, errors.Sound]:
    """Duration of every recording, and its signal-to-noise ratio as prepared, in the order of the dataset.

    Windows that overlap count as often as they do; what is left out between them, or behind the last, does not count.
    """
    examples, rate = context.examples, context.config.prepare.sample_rate
    order = np.argsort(examples.recording, kind="stable")
    recordings = context.dataset.recordings
    bounds = np.searchsorted(examples.recording[order], np.arange(len(recordings) + 1))
    return {
        recording.id: errors.Sound(
            recording.num_samples / recording.sample_rate,
            errors.snr_db(examples.samples[order[begin:end]].reshape(-1), rate),
        )
        for recording, begin, end in zip(recordings, bounds[:-1], bounds[1:], strict=True)
    }
