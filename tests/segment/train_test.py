import pytest

from hsjax.dsp.segmentation import springer
from hsjax.segment import train
from hsjax.segment.__main__ import main


@pytest.fixture(scope="module")
def few_settings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "EXPONENTS", (0.5,))
        patch.setattr(train, "RATES", (75.0,))
        yield


def test_fits_synthetic_hearts(distribution, tmp_path, few_settings):
    output = tmp_path / "parameters.json"
    assert main(["train", f"--data={distribution}", f"--output={output}"]) == 0
    fitted = springer.load_parameters(output)
    origin = dict(fitted.origin)
    assert origin["command"].startswith("python -m hsjax.segment train")
    assert 8 < origin["recordings"] < 20
    assert origin["recordings"] + origin["validation_recordings"] < 23  # the test part is left alone
    assert max(map(float, origin["validation_f1_100ms"].split())) > 0.9
    # Heart sounds are louder than what lies between them: in every envelope's mean, and so in the homomorphic weight.
    s1, systole, s2, diastole = fitted.weights[0]
    assert min(s1, s2) > max(systole, diastole)
    assert fitted.systole[0] + 0.9 * fitted.systole[1] == pytest.approx(0.33, abs=0.06)


def test_missing_data_is_said_so(tmp_path, capsys):
    assert main(["train", f"--data={tmp_path}", f"--output={tmp_path / 'p.json'}"]) == 2
    assert "physionet2016" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()
