import csv

import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.dsp.segmentation import springer
from hsjax.dsp.segmentation.rhythm import Rhythm
from hsjax.segment import parts
from hsjax.segment.__main__ import main
from hsjax.segment.parts import Part


@pytest.fixture
def oracle(distribution, monkeypatch):
    """Instead of the segmentation: the true states, four frames late in one of the recordings."""
    divided = parts.divide(parts.load(distribution))
    truth = [recording.annotation()[::40] for part in (Part.VALIDATION, Part.TEST) for recording in divided[part]]
    late = [*truth[:-1], np.concatenate([truth[-1][:1].repeat(4), truth[-1][:-4]])]

    def segment_all(recordings, sample_rate, parameters, progress):
        assert len(recordings) == len(late)
        rhythm = Rhythm(*(jnp.zeros(()) for _ in range(3)))
        return [springer.Segmentation(states, rhythm, jnp.zeros(())) for states in late]

    monkeypatch.setattr(springer, "segment_all", segment_all)
    return divided


def test_table_and_figures(distribution, oracle, tmp_path, capsys):
    assert main(["evaluate", f"--data={distribution}", f"--output={tmp_path / 'out'}"]) == 0
    printed = capsys.readouterr().out
    assert "began as the output of Springer's own segmenter" in printed.replace("\n", " ")
    with (tmp_path / "out" / "segmentation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    springer_f1 = {
        (row["part"], row["subset"], row["sound"], row["tolerance_ms"]): row
        for row in rows
        if (row["method"], row["metric"]) == ("springer", "f1")
    }
    assert float(springer_f1["test", "all", "S1+S2", "100"]["value"]) == 1  # at most 100 ms late
    assert 0 < float(springer_f1["test", "all", "S1+S2", "60"]["value"]) < 1
    assert float(springer_f1["validation", "all", "S2", "60"]["value"]) == 1
    assert int(springer_f1["test", "all", "S1", "60"]["n"]) == len(oracle[Part.TEST])
    simple = [row for row in rows if (row["method"], row["metric"], row["sound"]) == ("peaks", "f1", "S1+S2")]
    assert all(0.2 < float(row["value"]) < 1 for row in simple if row["subset"] == "all")
    for name in ("best", "median", "worst"):
        assert (tmp_path / "out" / f"{name}.svg").read_bytes().startswith(b"<?xml")


def test_bad_parameters_are_said_so(distribution, tmp_path, capsys):
    (tmp_path / "p.json").write_text("{}")
    assert main(["evaluate", f"--data={distribution}", f"--parameters={tmp_path / 'p.json'}"]) == 2
    assert "train them again" in capsys.readouterr().err
