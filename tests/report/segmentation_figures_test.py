import numpy as np

from hsjax.report.segmentation_figures import Shown, segmentation


def test_says_what_it_shows():
    truth = np.repeat(np.array([1, 2, 3, 4, 1, 0], np.int8), 100)
    found = np.roll(truth, 15)
    wave = np.sin(np.arange(600) / 9.0)
    shown = Shown("worst: a0001", 3.0, wave, 200, np.abs(wave), truth, found)
    picture = segmentation(shown)
    assert picture.media_type == "image/svg+xml"
    assert picture.content.startswith(b"<?xml")
    same = np.mean(truth == found)
    assert f"same in {same:.0%} of the time" in picture.alt
    assert "worst: a0001: 3.0 s from 3.0 s on" in picture.alt
    assert picture.content == segmentation(shown).content
    # A bar for every stretch of true and found states.
    assert picture.content.count(b"PolyCollection") >= 6 + 7
