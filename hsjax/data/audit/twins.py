"""Near-duplicates among all pairs of a dataset's recordings, by normalised peak cross-correlation.

Every pair is screened at a low sample rate (`candidates`); what is left is correlated at full rate (`overlap`), at the
lower one of two different rates. What was found is kept by the content of the recordings.
"""

import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from hsjax import progress
from hsjax.data import audio, whole_file
from hsjax.data.audit import candidates, overlap
from hsjax.data.audit.held import Held
from hsjax.types import Recording

TWIN = 0.9
"""Correlation (`overlap.Peak.local`) from which two recordings are near-copies, or one is a cut out of the other."""

SAME_SOURCE = 0.7
"""Correlation by both energies (`overlap.Peak.whole`) from which two recordings are of one source: two cuts of one
recording that share 70 % of their energy have it. Chosen on Yaseen 2018, beside another grouping of its files: at 0.65
groups of that one merge, at 0.75 they fall apart."""

_RULES = 1  # increase when pairs are judged differently: what was kept is then forgotten
_LOOKED_AT = 64  # recordings from which the screen's rate is chosen
_BYTES = 2**27  # of samples, and of spectra, that are held at a time


class Pair(NamedTuple):
    """Two recordings that are alike.

    Attributes:
      first: id.
      second: id, after `first` in order.
      correlation: `overlap.Peak.local`, 0 to 1.
      whole: `overlap.Peak.whole`, 0 to 1.
      lag: where the second begins in the first, seconds.
      inverted: True where they have opposite signs.
    """

    first: str
    second: str
    correlation: float
    whole: float
    lag: float
    inverted: bool

    @property
    def twins(self) -> bool:
        """True for near-copies, False where the two are of one source only."""
        return self.correlation >= TWIN


def search(recordings: Sequence[Recording], cache_dir: pathlib.Path | None = None) -> tuple[Pair, ...]:
    """Finds all pairs whose correlation is at least `TWIN`, or by both energies at least `SAME_SOURCE`.

    Args:
      recordings: of one dataset; their ids are distinct.
      cache_dir: where the result is kept, as one file whose name is made of the recordings' content; processes may
        share the folder. None keeps nothing.

    Returns:
      The pairs, sorted.

    Raises:
      UserError: a recording cannot be read, or `cache_dir` cannot be written to.
    """
    path = None if cache_dir is None else cache_dir / f"twins-{_key(recordings)}.json"
    pairs = None if path is None else _load(path)
    if pairs is None:
        pairs = _search(recordings)
        if path is not None:
            whole_file.write(path, json.dumps({"pairs": pairs}))
    return pairs


def kept(recordings: Sequence[Recording], cache_dir: pathlib.Path) -> tuple[Pair, ...] | None:
    """The result of an earlier `search` of the same recordings; None where there is none."""
    return _load(cache_dir / f"twins-{_key(recordings)}.json")


def _search(recordings: Sequence[Recording]) -> tuple[Pair, ...]:
    if len(recordings) < 2:
        return ()
    looked_at = recordings[:: -(-len(recordings) // _LOOKED_AT)]
    rate = candidates.choose_rate([(_read(recording), recording.sample_rate) for recording in looked_at])
    traces, found = [], []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        with progress.bar("audit: reading recordings", len(recordings)) as advance:
            for trace in pool.map(lambda one: candidates.trace(_read(one), one.sample_rate, rate), recordings):
                traces.append(trace)
                advance(1)
        with progress.bar("audit: screening pairs", len(recordings) * (len(recordings) - 1) // 2) as advance:
            screened = candidates.find(traces, TWIN, SAME_SOURCE, advance)
        del traces
        others = collections.defaultdict(list)
        for longer, shorter in screened:
            others[longer].append(shorter)
        correlator = _Correlator(recordings)
        with progress.bar("audit: correlating pairs", len(screened)) as advance:
            for pairs, row in zip(pool.map(correlator.row, others, others.values()), others.values(), strict=True):
                found += pairs
                advance(len(row))
    return tuple(sorted(found))


class _Correlator:
    """Correlates pairs at full rate."""

    def __init__(self, recordings: Sequence[Recording]):
        self._recordings = recordings
        self._samples = Held[np.ndarray](_BYTES, lambda samples: samples.nbytes)
        self._spectra = Held[overlap.Spectrum](_BYTES, lambda spectrum: spectrum.bins.nbytes + spectrum.sums.nbytes)

    def row(self, index: int, others: Sequence[int]) -> list[Pair]:
        """The pairs of one recording with others that are alike."""
        found = []
        for other in others:
            rate = min(self._recordings[index].sample_rate, self._recordings[other].sample_rate)
            length = {each: len(self._at(each, rate)) for each in (index, other)}
            # The screen's order, unless rounding after resampling says otherwise.
            longer, shorter = (index, other) if length[index] >= length[other] else (other, index)
            size = overlap.size(length[longer], length[shorter])
            peak = overlap.peak_of(self._spectrum(longer, rate, size), self._spectrum(shorter, rate, size))
            if peak.local >= TWIN or peak.whole >= SAME_SOURCE:
                found.append(_pair(self._recordings[longer].id, self._recordings[shorter].id, peak, rate))
        return found

    def _at(self, index: int, rate: int) -> Float32[np.ndarray, " time"]:
        recording = self._recordings[index]
        return self._samples.get((index, rate), lambda: audio.resample(_read(recording), recording.sample_rate, rate))

    def _spectrum(self, index: int, rate: int, size: int) -> overlap.Spectrum:
        return self._spectra.get((index, rate, size), lambda: overlap.spectrum(self._at(index, rate), size))


def _pair(longer: str, shorter: str, peak: overlap.Peak, rate: int) -> Pair:
    first, second = sorted((longer, shorter))
    lag = peak.lag / rate if first == longer else -peak.lag / rate
    return Pair(first, second, round(peak.local, 6), round(peak.whole, 6), lag, peak.inverted)


def _read(recording: Recording) -> Float32[np.ndarray, " time"]:
    samples = recording.read()
    return (samples - samples.mean(dtype=np.float64)).astype(np.float32)


def _key(recordings: Sequence[Recording]) -> str:
    """Names what a search depends on: the rules, and who the recordings are and what they hold."""
    digest = hashlib.sha256(json.dumps([_RULES, TWIN, SAME_SOURCE]).encode())
    for recording in sorted(recordings, key=lambda one: one.id):
        content = recording.digest or hashlib.sha256(recording.read().astype("<f4").tobytes()).hexdigest()
        digest.update(json.dumps([recording.id, recording.sample_rate, content]).encode())
    return digest.hexdigest()[:32]


def _load(path: pathlib.Path) -> tuple[Pair, ...] | None:
    try:
        return tuple(Pair(*fields) for fields in json.loads(path.read_text(encoding="utf-8"))["pairs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # not there, or damaged: searching again gives the same
