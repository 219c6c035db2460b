"""R peaks on the MIT-BIH Arrhythmia Database, hsjax's beside wfdb's XQRS and GQRS.

    python tests/benchmarks/r_peaks.py [--data=DIR]

CSV on standard output: one row per detector, part, rule for flutter and record, and of records together. Lead MLII
(V5 of 102 and 104, which have none), pairs within 150 ms, as ANSI/AAMI EC57 counts them.

* `part` is `whole` or `after 5 minutes`: the beginning may be spent on learning.
* `flutter` is `excluded`: EC57 does not count what lies in ventricular flutter, where no beats are annotated. Only 207
  has some, 2.4 minutes; where it matters there is a second row with all detections there `included` as false ones.
* `record` is a record, or `all`, `even` or `odd` of them together (gross statistics). The constants of hsjax's detector
  were chosen on the records at even places, counted from 0, of the 39 to be had then (`TUNED`); `odd` is all others.
  202 among these is of the same person as 201 among those.
* `*_low`, `*_high` bound the 95 % interval of 10,000 bootstrap samples of the records; 201 and 202 are drawn together.
* `cpu_seconds` is for one record of half an hour alone, one thread, host array in and out (the median of records where
  they are together); hsjax's is the median of three. `compile_cpu_seconds` comes once per length of record.
"""

import argparse
import contextlib
import csv
import functools
import io
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator

_ROOT = pathlib.Path(__file__).parent.parent.parent
_COUNTS = ("true_positives", "false_negatives", "false_positives")
_FIGURES = ("sensitivity", "positive_predictivity")
COLUMNS = (
    *("detector", "part", "flutter", "record", "records", "beats", *_COUNTS),
    *(figure + bound for figure in _FIGURES for bound in ("", "_low", "_high")),
    *("cpu_seconds", "compile_cpu_seconds"),
)
# fmt: off
TUNED = frozenset((
    "100", "102", "105", "107", "109", "113", "115", "117", "122", "124",
    "201", "203", "208", "210", "214", "219", "221", "230", "232", "234",
))
# fmt: on
_PERSON = {"202": "201"}
_RESAMPLES = 10_000
_REPETITIONS = 3


def rows(root: pathlib.Path) -> Iterator[dict]:
    """Every row. The caller limits the process to one core before JAX is imported.

    Args:
      root: the folder that holds the distribution's.
    """
    import numpy as np

    from hsjax.data.readers import mitdb
    from hsjax.evaluate import r_peaks as scores

    names = mitdb.records(root)
    leads = {name: mitdb.lead(root, name).samples for name in names}
    truth = {name: mitdb.beats(root, name) for name in names}
    groups = {"all": names, "even": [n for n in names if n in TUNED], "odd": [n for n in names if n not in TUNED]}

    def counts(name: str, detected, start: float, excluded: bool):
        beats = truth[name]
        flutter = beats.flutter if excluded else None
        return scores.score(beats.index, detected, mitdb.SAMPLE_RATE, start=start, excluded=flutter)

    for detector, build in (("hsjax", _hsjax), ("wfdb xqrs", _xqrs), ("wfdb gqrs", _gqrs)):
        detect, compile_seconds, repetitions = build(max(map(len, leads.values())), mitdb.SAMPLE_RATE)
        found, seconds = {}, {}
        for place, name in enumerate(names):
            print(f"\r{detector}: {place + 1} of {len(names)} records", end="", file=sys.stderr)
            found[name], seconds[name] = _timed(functools.partial(detect, leads[name]), repetitions)
        print(file=sys.stderr)
        for part, start in (("whole", 0.0), ("after 5 minutes", scores.LEARNING)):
            for flutter in ("excluded", "included"):
                scored = {name: counts(name, found[name], start, flutter == "excluded") for name in names}
                members = {name: (name,) for name in names} | groups
                for record, of in members.items():
                    if flutter == "included" and not any(len(truth[name].flutter) for name in of):
                        continue
                    total = scores.gross(scored[name] for name in of)
                    row = {"detector": detector, "part": part, "flutter": flutter, "record": record}
                    row |= {"records": len(of), "beats": total.true_positives + total.false_negatives}
                    row |= dict(zip(_COUNTS, total, strict=True)) | {name: getattr(total, name) for name in _FIGURES}
                    if record in groups:
                        row |= _intervals(of, np.array([scored[name] for name in of]))
                    if part == "whole" and flutter == "excluded":
                        row["cpu_seconds"] = statistics.median(seconds[name] for name in of)
                        if record == "all" and compile_seconds is not None:
                            row["compile_cpu_seconds"] = compile_seconds
                    yield row


def _intervals(names, counts) -> dict[str, float]:
    """Of both figures, from counts (records, 3)."""
    import numpy as np

    from hsjax.evaluate.bootstrap import interval, multiplicities

    people = [_PERSON.get(name, name) for name in names]
    of_person = np.array([[person == other for other in people] for person in sorted(set(people))])
    by_person = of_person @ counts
    drawn = np.concatenate(list(multiplicities(len(by_person), _RESAMPLES, seed=0, chunk=_RESAMPLES)))
    hits, missed, false = (drawn @ by_person).T
    bounds = {}
    for figure, values in zip(_FIGURES, (hits / (hits + missed), hits / (hits + false)), strict=True):
        bounds[f"{figure}_low"], bounds[f"{figure}_high"] = interval(values) or (None, None)
    return bounds


def _timed(work: Callable, repetitions: int):
    """What it returns, and the median CPU time it takes."""
    taken = []
    for _ in range(repetitions):
        start = time.process_time()
        result = work()
        taken.append(time.process_time() - start)
    return result, statistics.median(taken)


def _hsjax(samples: int, rate: int):
    import jax
    import numpy as np

    from hsjax.dsp.qrs import r_peaks

    shape = jax.ShapeDtypeStruct((samples,), np.float32)
    compiled, seconds = _timed(lambda: jax.jit(lambda x: r_peaks(x, rate)).lower(shape).compile(), 1)

    def detect(lead):
        peaks = compiled(lead.astype(np.float32))
        return np.asarray(peaks.index)[np.asarray(peaks.mask)]

    return detect, seconds, _REPETITIONS


def _xqrs(samples: int, rate: int):
    import numpy as np
    import wfdb.processing

    def detect(lead):
        with contextlib.redirect_stdout(io.StringIO()):
            return np.sort(wfdb.processing.xqrs_detect(lead, fs=rate, verbose=False))

    return detect, None, 1


def _gqrs(samples: int, rate: int):
    import numpy as np
    import wfdb.processing

    return lambda lead: np.sort(wfdb.processing.gqrs_detect(sig=lead, fs=rate)), None, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("HSJAX_DATA"), help="folder of the official distributions")
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("say where the recordings are: --data=DIR or HSJAX_DATA")
    sys.path.insert(0, str(_ROOT))
    from tests.benchmarks.signals import limit

    limit(1)
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(pathlib.Path(arguments.data)):
        figures = {name: f"{row[name]:.5f}" for name in row if name.startswith(_FIGURES) and row[name] is not None}
        times = {name: f"{row[name]:.3g}" for name in row if name.endswith("_seconds")}
        writer.writerow(row | figures | times)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
