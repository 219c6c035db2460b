"""Filters and resampler beside SciPy and soxr, as rows for a table of speed.

SciPy's filters use one thread whatever they are given. Times are wall times of float32 batches in memory;
compilation is not counted.
"""

from collections.abc import Iterator

import jax
import numpy as np
import scipy.signal
import soxr

from hsjax.dsp.design import butterworth
from hsjax.dsp.polyphase import AntiAlias, ratio, resample
from hsjax.dsp.sos import sos_filter, zero_phase
from tests.benchmarks.pairing import paired

_COLUMNS = ("work", "peer", "unit", "ours", "theirs", "ratio", "ratio_low", "ratio_high")
_RATES = ((44100, 2000), (8000, 1000), (4000, 2000), (2000, 1000), (2000, 22050))
_BATCH = 64


def rows(threads: int, repetitions: int = 11) -> Iterator[dict]:
    """One row per work and peer; `ratio` > 1 where hsjax is faster.

    Args:
      threads: cores that this process was limited to; part of the name.
      repetitions: pairs of runs behind a row.
    """

    random = np.random.default_rng(0)

    def row(work, peer, function, theirs, *arrays):
        run, there = jax.jit(function), [jax.device_put(array) for array in arrays]
        measured = paired(lambda: jax.block_until_ready(run(*there)), theirs, repetitions)
        work = f"{work}, {threads} core{'s' * (threads > 1)}"
        ours, theirs_s, *ratios = measured
        return dict(zip(_COLUMNS, [work, peer, "ms", ours * 1e3, theirs_s * 1e3, *ratios], strict=True))

    sections = butterworth(3, (25, 400), 2000)
    samples = random.standard_normal((_BATCH, 20 * 2000)).astype(np.float32)
    lengths = np.linspace(10 * 2000, 20 * 2000, _BATCH).astype(np.int32)
    each = [samples[i, :n] for i, n in enumerate(lengths)]
    name = f"{_BATCH} x 20 s at 2 kHz, band-pass of order 3"
    sosfiltfilt = scipy.signal.sosfiltfilt
    yield row(
        f"zero-phase {name}",
        "scipy.signal.sosfiltfilt",
        lambda x: zero_phase(x, sections),
        lambda: sosfiltfilt(sections, samples),
        samples,
    )
    yield row(
        f"zero-phase {name}, lengths 10 to 20 s",
        "scipy.signal.sosfiltfilt",
        lambda x, n: zero_phase(x, sections, lengths=n),
        lambda: [sosfiltfilt(sections, one) for one in each],
        samples,
        lengths,
    )
    yield row(
        f"causal {name}",
        "scipy.signal.sosfilt",
        lambda x: sos_filter(x, sections),
        lambda: scipy.signal.sosfilt(sections, samples),
        samples,
    )
    for rate_in, rate_out in _RATES:
        samples = random.standard_normal((_BATCH, 5 * rate_in)).astype(np.float32)
        up, down = ratio(rate_in, rate_out)
        peers = {
            (AntiAlias.SCIPY, "scipy.signal.resample_poly"): lambda x, up=up, down=down: scipy.signal.resample_poly(
                x, up, down, axis=-1
            ),
            (AntiAlias.SCIPY, "soxr HQ"): lambda x, a=rate_in, b=rate_out: [soxr.resample(one, a, b) for one in x],
            (AntiAlias.STEEP, "soxr HQ"): lambda x, a=rate_in, b=rate_out: [soxr.resample(one, a, b) for one in x],
        }
        for (filter_, peer), run in peers.items():
            yield row(
                f"resample {_BATCH} x 5 s, {rate_in} to {rate_out} Hz, {filter_.value}",
                peer,
                lambda x, a=rate_in, b=rate_out, f=filter_: resample(x, a, b, anti_alias=f),
                lambda run=run, x=samples: run(x),
                samples,
            )
