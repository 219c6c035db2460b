"""How often 95 % intervals hold the truth: `python tests/benchmarks/coverage.py`, CSV on standard output.

Simulated subjects have several units each, which share an effect (intraclass correlation one half). In the scenario
`subject` they share their label too, as a diagnosis does, and the number of positive subjects is fixed, as in a
stratified split; in `unit` every unit has its own, as beats do. The score is normal given the label, so that every
figure's true value is known. A row: of so many intervals of a figure, the part that holds the truth, its Monte-Carlo
standard error, the mean width, and the part of samples that had no interval.

About three minutes on one core; `--trials .5` halves that, `--trials 4` halves the Monte-Carlo error.
"""

import argparse
import csv
import dataclasses
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import scipy.integrate
import scipy.special

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))

from hsjax.evaluate import bootstrap, calibration, delong
from hsjax.evaluate.panel import panel
from hsjax.types import Predictions, RunKey

GROUPS = (10, 20, 50, 100, 200)
SCENARIOS = (("subject", 0.25), ("subject", 0.5), ("unit", 0.25))
"""What a label belongs to, and the prevalence of positives."""
COLUMNS = (
    "scenario", "prevalence", "metric", "groups", "positive_groups",
    "trials", "coverage", "error", "mean_width", "without",
)  # fmt: skip
RESAMPLES = 400

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Population:
    """Subjects from which samples are drawn.

    Attributes:
      label_of: `subject` or `unit`, what a label belongs to.
      prevalence: of positives.
      separation: of the classes' mean scores, in standard deviations of the score.
      weaker: the same of the second model.
      correlation: intraclass, the subject's part of the score's variance.
      units: fewest and most units of a subject.
    """

    label_of: str
    prevalence: float = 0.25
    separation: float = 1.5
    weaker: float = 1.2
    correlation: float = 0.5
    units: tuple[int, int] = (2, 8)

    def positive_groups(self, num_groups: int) -> int:
        """How many subjects have positive units; in scenario `unit` nearly all."""
        return max(1, round(self.prevalence * num_groups)) if self.label_of == "subject" else num_groups

    def rates(self, separation: float) -> dict[str, float]:
        """True figures where positive is decided at the probability `prevalence`, halfway between the classes."""
        right, share = float(scipy.special.ndtr(separation / 2)), self.prevalence
        found, false = share * right, (1 - share) * (1 - right)

        def precision(recall: float) -> float:
            above = share * recall
            cut = separation - scipy.special.ndtri(recall)
            return above / (above + (1 - share) * scipy.special.ndtr(-cut))

        return {
            "accuracy": right,
            "sensitivity": right,
            "specificity": right,
            "macc": right,
            "f1": 2 * found / (found + false + share),
            "auroc": float(scipy.special.ndtr(separation / np.sqrt(2))),
            "auprc": scipy.integrate.quad(precision, 0, 1)[0],
        }

    def sample(self, rng: np.random.Generator, num_groups: int) -> tuple[Predictions, Predictions]:
        """Two models' perfectly calibrated predictions for the same units."""
        group = np.repeat(np.arange(num_groups), rng.integers(*self.units, num_groups, endpoint=True))
        of_subject = np.arange(num_groups) < self.positive_groups(num_groups)
        of_unit = rng.random(len(group)) < self.prevalence
        label = (of_subject[group] if self.label_of == "subject" else of_unit).astype(np.int32)
        shared = rng.normal(size=num_groups)[group] * np.sqrt(self.correlation)
        names = np.array([f"g{index:04d}" for index in range(num_groups)])[group]

        def model(separation: float) -> Predictions:
            score = shared + rng.normal(size=len(group)) * np.sqrt(1 - self.correlation) + separation * label
            prior = scipy.special.logit(self.prevalence)
            probability = scipy.special.expit(separation * (score - separation / 2) + prior)
            return Predictions(
                RunKey("synthetic", "grouped", "simulated", 0), "segment", ("negative", "positive"), names,
                np.arange(len(group)).astype(float), names, label, np.stack([1 - probability, probability], axis=1),
            )  # fmt: skip

        return model(self.separation), model(self.weaker)


def intervals(
    population: Population, rng: np.random.Generator, num_groups: int, seed: int
) -> dict[str, Interval | None]:
    """All intervals of one sample of subjects."""
    ours, weaker = population.sample(rng, num_groups)
    names, positive = np.unique(ours.group), ours.label == 1
    at = population.prevalence
    scored = bootstrap.estimates(panel(ours, at, 1, names), resamples=RESAMPLES, seed=seed)
    found = {metric: estimate.interval for (metric, label), estimate in scored.items() if not label}
    gain = bootstrap.differences(
        [bootstrap.Decided(ours, at)], [bootstrap.Decided(weaker, at)], positive=1, resamples=RESAMPLES, seed=seed
    )
    found |= {f"difference:{metric}": gain[metric, ""].interval for metric in ("accuracy", "auroc")}
    scores = ours.probabilities[:, 1], weaker.probabilities[:, 1]
    for name, group in (("delong", None), ("clustered", ours.group)):
        area = delong.area(scores[0], positive, group)
        found |= {f"auroc ({name}, logit)": area.interval, f"auroc ({name}, plain)": area.plain_interval}
        found[f"difference:auroc ({name})"] = delong.difference(*scores, positive, group).interval
    calibrated = calibration.estimates(
        ours.probabilities, ours.label, ours.group, positive=1, resamples=RESAMPLES, seed=seed
    )
    return found | {"ece": calibrated.error.interval}


def truths(population: Population) -> dict[str, float]:
    """True value of each figure."""
    ours, weaker = population.rates(population.separation), population.rates(population.weaker)
    gains = {f"difference:{metric}": ours[metric] - weaker[metric] for metric in ("accuracy", "auroc")}
    areas = {}
    for name in ("delong", "clustered"):
        areas |= {f"auroc ({name}, {scale})": ours["auroc"] for scale in ("logit", "plain")}
        areas[f"difference:auroc ({name})"] = gains["difference:auroc"]
    return ours | gains | areas | {"ece": 0.0}


def rows(population: Population, num_groups: int, trials: int, seed: int = 0) -> Iterator[dict[str, object]]:
    """Coverage of every figure's interval."""
    rng = np.random.default_rng((seed, num_groups))
    samples = [intervals(population, rng, num_groups, trial) for trial in range(trials)]
    for metric, truth in truths(population).items():
        given = np.array([sample[metric] for sample in samples if sample[metric] is not None]).reshape(-1, 2)
        coverage = float(((given[:, 0] <= truth) & (truth <= given[:, 1])).mean()) if len(given) else float("nan")
        yield {
            "scenario": population.label_of,
            "prevalence": population.prevalence,
            "metric": metric,
            "groups": num_groups,
            "positive_groups": population.positive_groups(num_groups),
            "trials": trials,
            "coverage": coverage,
            "error": float(np.sqrt(coverage * (1 - coverage) / max(1, len(given)))),
            "mean_width": float(np.diff(given).mean()) if len(given) else float("nan"),
            "without": 1 - len(given) / trials,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, nargs="*", default=GROUPS, help="numbers of subjects")
    parser.add_argument("--trials", type=float, default=1.0, help="factor on the number of samples")
    arguments = parser.parse_args()
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for label_of, prevalence in SCENARIOS:
        for num_groups in arguments.groups:
            # Large samples take longer and vary less.
            trials = max(2, round(arguments.trials * min(400, 24000 / num_groups)))
            for row in rows(Population(label_of, prevalence), num_groups, trials):
                writer.writerow({key: f"{x:.4g}" if isinstance(x, float) else x for key, x in row.items()})
            sys.stdout.flush()


if __name__ == "__main__":
    main()
