import shutil

import numpy as np
import pytest

from hsjax import config, prepare
from hsjax.data import protocols
from hsjax.segment import parts
from hsjax.segment.parts import Part
from hsjax.types import UserError


def test_divides_as_the_experiments_do(distribution):
    """Against the split of windows that a run makes."""
    dataset = parts.load(distribution)
    divided = parts.divide(dataset)
    settings = config.base()
    settings.split.grouped.folds = 1
    examples = prepare.examples(dataset, settings.prepare)
    (split,) = protocols.splits("grouped", examples, dataset, settings.split, seed=settings.data.split_seed)
    for part, windows in zip(Part, (split.train, split.validation, split.test), strict=True):
        recordings = [dataset.recordings[index] for index in np.unique(examples.recording[windows])]
        assert divided[part] == tuple(recording for recording in recordings if recording.annotation is not None)
    assert sum(map(len, divided.values())) == 23  # one has no annotation


def test_without_annotations_there_is_nothing_to_divide(distribution, tmp_path):
    shutil.copytree(distribution, tmp_path / "copy", ignore=shutil.ignore_patterns("annotations"))
    with pytest.raises(UserError, match="annotations/hand_corrected"):
        parts.load(tmp_path / "copy")


@pytest.mark.realdata
def test_recordings_that_other_tests_hold_out_are_held_out(real_root):
    divided = parts.divide(parts.load(real_root))
    ids = {recording.id for recording in divided[Part.TEST]}
    held_out = {"a0005", "a0009", "b0009", "b0016", "c0009", "c0011"}
    held_out |= {"d0001", "d0002", "e00003", "e00009", "f0003", "f0026"}
    assert ids >= held_out
    groups = [{recording.group for recording in part} for part in divided.values()]
    assert len(set.union(*groups)) == sum(map(len, groups))
