import pytest

from hsjax.data import load
from hsjax.data.download import download, register
from hsjax.data.readers import circor, mitdb, pascal, physionet2016, yaseen2018
from hsjax.types import UserError

READERS = {reader.NAME: reader for reader in (physionet2016, yaseen2018, pascal, mitdb, circor)}


def test_every_reader_can_be_downloaded():
    assert set(register.available()) == READERS.keys()
    official = {name for name, reader in load.READERS.items() if reader.SOURCE.startswith("http")}
    assert set(register.available()) >= official


@pytest.mark.parametrize("name", sorted(READERS))
def test_read(name):
    distribution = register.read(name)
    assert distribution.folder == getattr(READERS[name], "FOLDER", name)
    assert bool(distribution.base) != bool(distribution.archives)
    addresses = [distribution.base] if distribution.base else list(distribution.archives[0].addresses)
    assert all(address.startswith(("https://", "http://")) and address.isascii() for address in addresses)
    assert distribution.expected


def test_official_addresses():
    assert register.read("mitdb").base == "https://physionet.org/files/mitdb/1.0.0/"
    assert register.read("yaseen2018").archives[3].addresses[0] == (
        "https://github.com/yaseen21khan/Classification-of-Heart-Sound-Signal-Using-Multiple-Features-/raw/master/"
        "MVP_New_3%EC%A3%BC%EA%B8%B0.rar"
    )
    marks = register.read("pascal").marks
    assert marks is not None
    assert marks.addresses[-1] == "http://istethoscope.peterjbentley.com/heartchallenge/Atraining_normal_seg.csv"
    assert marks.name == "Atraining_normal_seg.csv"


@pytest.mark.parametrize(
    ("name", "member", "path"),
    [
        ("pascal", "Atraining_normal/201101070538.wav", "set_a/normal__201101070538.wav"),
        ("pascal", "Atraining_extrahls/201101070953.wav", "set_a/extrahls__201101070953.wav"),
        ("pascal", "Aunlabelledtest/201012172010.wav", "set_a/Aunlabelledtest__201012172010.wav"),
        ("pascal", "Training B Normal/103_1305031931979_B.wav", "set_b/normal__103_1305031931979_B.wav"),
        (
            "pascal",
            "Training B Normal/Btraining_noisynormal/101_1305030823364_B.wav",
            "set_b/normal_noisynormal_101_1305030823364_B.wav",
        ),
        (
            "pascal",
            "Btraining_murmur/Btraining_noisymurmur/135_1306428972976_A.wav",
            "set_b/murmur_noisymurmur_135_1306428972976_A.wav",
        ),
        ("pascal", "Btraining_extrastole/127_1306764300147_C2.wav", "set_b/extrastole__127_1306764300147_C2.wav"),
        ("pascal", "Atraining_normal/readme.txt", None),
        ("yaseen2018", "AS_New_3주기/New_AS_001.wav", "AS_New_3주기/New_AS_001.wav"),
        ("yaseen2018", "New_MVP_200.wav", "MVP_New_3주기/New_MVP_200.wav"),
        ("yaseen2018", "MR/New_AS_0001.wav", None),
    ],
)
def test_members_of_archives(name, member, path):
    assert register.read(name).path(member) == path


def test_unknown_dataset():
    with pytest.raises(UserError, match="no download of 'physionet' is registered: choose one of circor, mitdb"):
        register.read("physionet")


def test_no_register(tmp_path):
    with pytest.raises(UserError, match="not there: install hsjax from its repository"):
        download("mitdb", tmp_path, tmp_path / "datasets.toml")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["yaseen2018", "pascal"])
def test_checksums_are_of_the_distribution(real_root, name):
    """Files of the distribution have the registered SHA-256; a sample of them, for time."""
    from hsjax.data.download import checksums

    known = sorted(register.read(name).checksums.items())
    assert len(known) == {"yaseen2018": 802, "pascal": 465}[name]
    for path, sha256 in known[:: len(known) // 40]:
        assert checksums.of_file(real_root / name / path) == sha256
