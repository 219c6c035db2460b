import dataclasses
import importlib
import pathlib
import re

import numpy as np
import pytest

from hsjax.models.pretrained import Library, register
from hsjax.models.pretrained.load import _FAMILIES
from hsjax.types import UserError

TABLE = """
[squeezenet.torchvision]
base = "https://example.org/models/"
licence = "BSD-3-Clause"
files = [{ name = "squeezenet1_1-%s.pth", classes = 1000, sha256 = "%s" }]

[efficientnetb0.keras]
base = "https://example.org/keras/"
licence = "Apache-2.0"
files = [{ name = "b0.h5", classes = 1000, md5 = "5d41402abc4b2a76b9719d911017c592" }]

[mobilenetv2.keras]
base = "https://example.org/keras/"
licence = "Apache-2.0"
files = [{ name = "v2.h5", classes = 0 }]
"""
HELLO_SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # published test vector of b"hello"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "weights.toml"
    path.write_text(TABLE % (HELLO_SHA256[:8], HELLO_SHA256[:8]))
    return path


def test_every_network_with_names_is_registered_and_the_other_way_round():
    entries = register.read()
    assert {entry.network for entry in entries} == set(_FAMILIES)
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.address.startswith("https://")
        assert entry.address.endswith(entry.name)
        assert entry.licence


def test_torchvision_s_checksums_are_those_in_the_names():
    entries = [entry for entry in register.read() if entry.library is Library.TORCHVISION]
    assert len(entries) >= 10
    for entry in entries:
        assert entry.sha256 == re.fullmatch(r".*-([0-9a-f]{8})\.pth", entry.name)[1]


def test_keras_s_checksums_and_addresses_are_those_in_its_sources():
    applications = {
        "resnet50": "resnet", "resnet101": "resnet", "densenet201": "densenet", "mobilenetv2": "mobilenet_v2",
        "mobilenetv3-small": "mobilenet_v3", "mobilenetv3-large": "mobilenet_v3", "efficientnetb0": "efficientnet",
        "efficientnetv2-s": "efficientnet_v2",
    }  # fmt: skip
    sources = {name: importlib.import_module(f"keras.src.applications.{name}") for name in {*applications.values()}}
    entries = [entry for entry in register.read() if entry.library is Library.KERAS]
    assert {entry.network for entry in entries} == set(applications)
    for entry in entries:
        module = sources[applications[entry.network]]
        text = pathlib.Path(module.__file__).read_text()
        assert entry.address.rpartition("/")[0] in text
        assert entry.md5 in text
    hashes = sources["resnet"].WEIGHTS_HASHES
    assert {entry.md5 for entry in entries if entry.network == "resnet101"} == set(hashes["resnet101"])
    notop = next(entry for entry in entries if entry.name == "efficientnetv2-s_notop.h5")
    assert (notop.classes, notop.md5) == (0, sources["efficientnet_v2"].WEIGHTS_HASHES["-s"][1])


def test_identify_by_sha256_md5_and_content(tmp_path, table):
    named = tmp_path / f"squeezenet1_1-{HELLO_SHA256[:8]}.pth"
    named.write_bytes(b"hello")
    origin = register.identify(named, {}, "squeezenet", table)
    assert (origin.name, origin.sha256) == (named.name, HELLO_SHA256)
    assert origin.registered.licence == "BSD-3-Clause"
    renamed = tmp_path / "mine.h5"
    renamed.write_bytes(b"hello")  # its MD5 is b0.h5's
    assert register.identify(renamed, {}, "efficientnetb0", table).registered.name == "b0.h5"


def test_another_checksum_is_refused_by_name(tmp_path, table):
    path = tmp_path / "b0.h5"
    path.write_bytes(b"hellO")
    with pytest.raises(UserError, match=r"not the b0\.h5 .* fetch it again from https://example\.org/keras/b0\.h5"):
        register.identify(path, {}, "efficientnetb0", table)


def test_a_converted_file_is_held_against_its_origin_s_checksum(tmp_path, table):
    path = tmp_path / "squeezenet.safetensors"
    path.write_bytes(b"anything")
    name = f"squeezenet1_1-{HELLO_SHA256[:8]}.pth"
    about = {"origin": name, "origin_sha256": HELLO_SHA256}
    assert register.identify(path, about, "squeezenet", table).registered.name == name
    for wrong in ("0" * 64, HELLO_SHA256[:8]):
        with pytest.raises(UserError, match="checksum is another"):
            register.identify(path, about | {"origin_sha256": wrong}, "squeezenet", table)


def test_another_network_s_file_is_refused(tmp_path, table):
    path = tmp_path / "b0.h5"
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="holds weights of efficientnetb0, not of squeezenet"):
        register.identify(path, {}, "squeezenet", table)


@pytest.mark.parametrize("name", ["mine.h5", "v2.h5"])
def test_nobody_vouches_for_a_file_without_a_known_checksum(tmp_path, table, name):
    path = tmp_path / name
    path.write_bytes(b"other")
    origin = register.identify(path, {}, "mobilenetv2", table)
    assert origin.registered is None
    assert origin.name == name


def test_missing_register(tmp_path):
    with pytest.raises(UserError, match="pip install -e"):
        register.read(tmp_path / "weights.toml")


def test_how_to_get_names_addresses_and_conversion():
    words = register.how_to_get("squeezenet")
    assert "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth" in words
    assert "python -m hsjax.models convert" in words


def test_checksum_of_tensors_sees_every_change_but_not_the_order():
    a, b = np.arange(6, dtype=np.float32), np.zeros((2, 2), np.int64)
    digest = register.sha256_of_tensors({"a": a, "b": b})
    assert digest == register.sha256_of_tensors({"b": b, "a": a})
    others = [{"a": a, "c": b}, {"a": a + 1, "b": b}, {"a": a.reshape(2, 3), "b": b}, {"a": a, "b": b.astype(np.int32)}]
    assert len({digest, *map(register.sha256_of_tensors, others)}) == 5


def test_entries_are_not_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        register.read()[0].sha256 = ""
