"""The audit as a command: one dataset, the splits that were asked for, tables on the terminal and as CSV."""

import pathlib
from collections.abc import Sequence

import numpy as np

from hsjax import config as run_config
from hsjax.data import protocols, whole_file
from hsjax.data.audit import grouping, leakage, report
from hsjax.data.protocols import listed
from hsjax.types import Dataset, Examples, UserError

_WINDOW = 2.5  # s: what a recording is cut into where a protocol divides examples


def run(
    dataset: Dataset,
    cache_dir: pathlib.Path | None,
    *,
    names: Sequence[str] = (),
    lists: Sequence[Sequence[str]] = (),
    seed: int = 0,
    csv_path: pathlib.Path | None = None,
) -> int:
    """Prints the audit of a dataset; see `report.audit`.

    Args:
      dataset: as its reader gives it.
      cache_dir: keeps the near-duplicates that were found; None searches every time.
      names: of protocols, measured with the settings of the base config.
      lists: files of ids: that of the test part, and one or more of training.
      seed: of random splits.
      csv_path: also written, with every pair.

    Returns:
      The exit code, 0.

    Raises:
      UserError: a protocol is not for this dataset, or a list cannot be read.
    """
    parts = [_listed(dataset, *pair) for pair in lists]
    if names:
        filled = grouping.fill(dataset, cache_dir)
        parts += [part for name in names for part in _of_protocol(filled, name, seed)]
    found = report.audit(dataset, cache_dir, parts, seed)
    print(report.text(found), end="")
    if csv_path is not None:
        whole_file.write(csv_path, report.table(found))
    return 0


def _listed(dataset: Dataset, test: str, *train: str) -> leakage.Parts:
    if not train:
        raise UserError("--lists takes two files or more: the list of the test part, then those of training")
    ids = {recording.id for recording in dataset.recordings}
    lists = [listed.read(test, "--lists"), [one for path in train for one in listed.read(path, "--lists")]]
    tested, trained = (frozenset(listed.known(some, ids)) for some in lists)
    name = f"{pathlib.Path(test).name} after {' + '.join(pathlib.Path(path).name for path in train)}"
    of_tested, of_trained = (len(set(some)) for some in lists)
    print(f"{name}: {len(tested)} of {of_tested} and {len(trained)} of {of_trained} ids are present", flush=True)
    return leakage.Parts(name, trained, tested)


def _of_protocol(dataset: Dataset, name: str, seed: int) -> list[leakage.Parts]:
    """The recordings of every fold, with as many examples of each as a run would roughly cut."""
    if not all(recording.label for recording in dataset.recordings):
        raise UserError(f"recordings of {dataset.name} have no labels, so that no protocol divides them here")
    seconds = np.array([recording.num_samples / recording.sample_rate for recording in dataset.recordings])
    owner = np.repeat(np.arange(len(seconds), dtype=np.int32), np.maximum(1, (seconds / _WINDOW).astype(int)))
    label = np.array([dataset.classes.index(recording.label) for recording in dataset.recordings], np.int32)
    examples = Examples(np.zeros((len(owner), 1), np.float32), label[owner], owner, np.zeros(len(owner)))
    made = protocols.splits(name, examples, dataset, run_config.base().split, seed=seed)
    return [leakage.parts(name, dataset, examples, split) for split in made]
