"""The inter-patient split of MIT-BIH: nobody whose beats are tested was trained on.

De Chazal, O'Dwyer & Reilly, Automatic classification of heartbeats using ECG morphology and heartbeat interval
features, IEEE Trans. Biomed. Eng. 51(7):1196-1206, 2004. The four records of paced beats (102, 104, 107, 217) are in
neither part.
"""

import ml_collections
import numpy as np

from hsjax.data.protocols import division, fractions
from hsjax.types import Dataset, Examples, Split, UserError

DS1 = frozenset(
    {
        *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
        *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
    }
)
"""Records for training."""

DS2 = frozenset(
    {
        *("100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210"),
        *("212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234"),
    }
)
"""Records for the test."""


def splits(
    examples: Examples, dataset: Dataset, settings: ml_collections.ConfigDict, rng: np.random.Generator
) -> tuple[Split, ...]:
    """DS2 for the test; groups of DS1 for training and validation.

    Records that are absent are missing from their part. Record 201 (DS1) and 202 (DS2) are of one person: 202 is
    tested, so 201 is in no part.

    Args:
      examples: of MIT-BIH.
      dataset: ids are the records' numbers; groups are people.
      settings: `validation`, a fraction of DS1.
      rng: of ties and order.

    Raises:
      UserError: the fraction is out of range, or the dataset holds too few of these records.
    """
    ids = np.array([recording.id for recording in dataset.recordings])
    group = division.groups_of(dataset)
    tested = np.isin(ids, sorted(DS2))
    trained = np.isin(ids, sorted(DS1)) & ~np.isin(group, group[tested])
    if not tested.any() or len(np.unique(group[trained])) < 2:
        raise UserError(
            f"protocol inter-patient needs records of MIT-BIH from both of de Chazal's sets, and {dataset.name} lacks "
            "them: set config.data.name to mitdb, or run other protocols"
        )
    shares = fractions.shares(settings.validation, 0.5)[:2] * 2
    rest = np.flatnonzero(trained[examples.recording])
    test = np.flatnonzero(tested[examples.recording])
    part = division.by_group(examples, dataset, rest, shares, rng)
    left_out = ", ".join(ids[~tested & ~trained])
    note = f"{tested.sum()} of {len(DS2)} records of DS2 and {trained.sum()} of {len(DS1)} of DS1"
    note += f"; in no part: {left_out}" if left_out else ""
    chosen = np.concatenate([rest, test])
    return (fractions.split(chosen, np.concatenate([part, np.full(len(test), 2)]), note=note),)
