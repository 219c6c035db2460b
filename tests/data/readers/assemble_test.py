import numpy as np
import soundfile

from hsjax.data.readers.assemble import Described, assemble, printable
from hsjax.types import Dataset


def test_notes_of_file_and_reader(tmp_path):
    beats = np.sin(np.arange(4000) / 20)
    soundfile.write(tmp_path / "loud.wav", np.clip(2 * beats, -1, 1), 4000)
    soundfile.write(tmp_path / "soft.wav", 0.5 * beats, 4000)
    described = [
        Described("s", tmp_path / "soft.wav", "x", note="odd", metadata={"site": "AV", "age": ""}),
        Described("l", tmp_path / "loud.wav", "y"),
        Described("gone\n" + "g" * 300, tmp_path / "gone.wav", "y", fault="f" * 1000),
    ]
    dataset = assemble(described, tmp_path, None, dataset=Dataset("d", ("x", "y"), None, False, (), grouping="no"))
    assert [recording.id for recording in dataset.recordings] == ["l", "s"]
    assert dataset.recordings[1].metadata == {"site": "AV"}
    assert dataset.recordings[0].digest != dataset.recordings[1].digest
    assert (dataset.name, dataset.grouping) == ("d", "no")
    clipped, odd = dataset.noted
    assert (clipped.id, clipped.path) == ("l", "loud.wav")
    assert clipped.reason.startswith("clipped")
    assert (odd.id, odd.path, odd.reason) == ("s", "soft.wav", "odd")
    (gone,) = dataset.quarantined
    assert gone.id == "gone\ufffd" + "g" * 195 + "..."
    assert gone.reason == "f" * 500 + "..."


def test_printable():
    assert printable("Müller 주기.wav") == "Müller 주기.wav"
    assert printable("a\tb\udcff\x1b[31m") == "a\ufffdb\ufffd\ufffd[31m"
