import json
import os
import pickle
import struct
import sys
import zipfile

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from hsjax.models.pretrained import files
from hsjax.types import UserError

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3) / 8  # exact in bfloat16


def write_safetensors(path, tensors):
    safetensors.numpy.save_file(tensors, path)


def write_npz(path, tensors):
    np.savez(path, **tensors)


def write_legacy(path, tensors, root="/", suffix=":0", name=None):
    """As Keras 2 writes: every layer a group that lists its weights."""
    layers = {}
    for key in tensors:
        layers.setdefault(key.rpartition("/")[0], []).append(key)
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        group.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, keys in layers.items():
            made = group.require_group(layer)
            made.attrs["weight_names"] = [(name(key) if name else key + suffix).encode() for key in keys]
            for key in keys:
                made[name(key) if name else key + suffix] = tensors[key]


@pytest.mark.parametrize(("suffix", "write"), [(".safetensors", write_safetensors), (".npz", write_npz)])
def test_tensors_come_back(tmp_path, suffix, write):
    path = tmp_path / f"a{suffix}"
    write(path, {"fc.weight": KERNEL, "half": KERNEL.astype(np.float16), "bn.num_batches_tracked": np.int64([3])})
    found = files.read(path).tensors
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        "fc.weight": np.float32, "half": np.float32, "bn.num_batches_tracked": np.int64,
    }  # fmt: skip
    np.testing.assert_array_equal(found["fc.weight"], KERNEL)
    np.testing.assert_array_equal(found["half"], KERNEL)


def test_bfloat16_and_metadata_of_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"w": KERNEL.astype(ml_dtypes.bfloat16)}, path, {"origin": "x.pth"})
    contents = files.read(path)
    assert contents.tensors["w"].dtype == np.float32
    np.testing.assert_array_equal(contents.tensors["w"], KERNEL)
    assert contents.metadata == {"origin": "x.pth"}


@pytest.mark.parametrize("root", ["/", "model_weights"])
def test_legacy_h5(tmp_path, root):
    path = tmp_path / "a.h5"
    tensors = {"Conv1/kernel": KERNEL, "Conv1/bias": KERNEL[0], "expanded_conv/depthwise/BatchNorm/gamma": KERNEL[1]}
    write_legacy(path, tensors, root)
    found = files.read(path).tensors
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_legacy_h5_names_weights_by_the_layer_whatever_their_scope_was(tmp_path):
    path = tmp_path / "a.h5"
    write_legacy(
        path, {"conv/depthwise_kernel": KERNEL}, name=lambda key: "scope_1/conv/depthwise_kernel_1:0"
    )  # fmt: skip
    assert set(files.read(path).tensors) == {"conv/kernel"}


def test_legacy_h5_lists_too_long_for_one_attribute(tmp_path):
    path = tmp_path / "a.h5"
    write_legacy(path, {"a/kernel": KERNEL, "b/kernel": KERNEL})
    with h5py.File(path, "a") as file:
        layers = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        for number, layer in enumerate(layers):
            file.attrs[f"layer_names{number}"] = [layer]
    assert set(files.read(path).tensors) == {"a/kernel", "b/kernel"}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".PTH"])
def test_pickles_are_not_opened_and_the_conversion_is_given(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"python -m hsjax\.models convert .*a\.(pth|pt|bin|PTH)"):
        files.read(path)


class _Touch:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])
def test_a_pickle_by_another_name_runs_nothing(tmp_path, suffix):
    made, path = tmp_path / "made", tmp_path / f"a{suffix}"
    path.write_bytes(pickle.dumps(_Touch(str(made))))
    with pytest.raises(UserError, match="damaged"):
        files.read(path)
    assert not made.exists()


def test_objects_in_an_npz_are_refused(tmp_path):
    made, path = tmp_path / "made", tmp_path / "a.npz"
    np.savez(path, w=np.array([_Touch(str(made))], object))
    with pytest.raises(UserError, match="damaged or no npz file"):
        files.read(path)
    assert not made.exists()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated(tmp_path, suffix, keep):
    path = tmp_path / f"a{suffix}"
    write = {".npz": write_npz, ".safetensors": write_safetensors, ".h5": write_legacy}[suffix]
    write(path, {"layer/kernel": np.zeros((50, 50), np.float32)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(UserError, match="get it again"):
        files.read(path)


def test_flipped_bytes_never_crash(tmp_path, rng):
    for suffix, write in ((".npz", write_npz), (".safetensors", write_safetensors), (".h5", write_legacy)):
        path = tmp_path / f"a{suffix}"
        write(path, {"layer/kernel": KERNEL, "layer/bias": KERNEL[0]})
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        refused = 0
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(len(damaged), size=8)] = rng.integers(256, size=8)
            path.write_bytes(damaged.tobytes())
            try:
                files.read(path)
            except UserError:
                refused += 1
        assert refused > 10, suffix


def test_huge_header_of_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(UserError, match="damaged"):
        files.read(path)


def test_tensor_beyond_the_end_of_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UserError, match="damaged"):
        files.read(path)


def test_more_than_any_network_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 10_000)
    bomb = np.zeros(100_000, np.float32)
    write_npz(tmp_path / "a.npz", {"w": bomb})
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", bytes(1_000_000))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"l"]
        file.create_group("l").attrs["weight_names"] = [b"w"]
        file["l"].create_dataset("w", (1 << 40,), np.float32, chunks=(1 << 10,))
    for name in ("a.npz", "b.npz", "a.h5"):
        with pytest.raises(UserError, match="more than any network"):
            files.read(tmp_path / name)


def test_links_out_of_an_h5_are_not_followed(tmp_path):
    write_legacy(tmp_path / "other.h5", {"l/w": KERNEL})
    outside = tmp_path / "raw"
    outside.write_bytes(KERNEL.tobytes())

    def begin(name):
        file = h5py.File(tmp_path / name, "w")
        file.attrs["layer_names"] = [b"l"]
        file.create_group("l").attrs["weight_names"] = [b"w"]
        return file

    with begin("external.h5") as file:
        file["l"]["w"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/l/l/w:0")
    with begin("soft.h5") as file:
        file["l"]["w"] = h5py.SoftLink("/l")
    with begin("raw.h5") as file:
        file["l"].create_dataset("w", KERNEL.shape, np.float32, external=[(str(outside), 0, KERNEL.nbytes)])
    for name in ("external.h5", "soft.h5", "raw.h5"):
        with pytest.raises(UserError, match="not followed"):
            files.read(tmp_path / name)


def test_text_and_missing_members_of_an_h5(tmp_path):
    path = tmp_path / "a.h5"
    write_legacy(path, {"l/w": KERNEL})
    with h5py.File(path, "a") as file:
        del file["l/l/w:0"]
    with pytest.raises(UserError, match="listed and not there"):
        files.read(path)
    with h5py.File(path, "a") as file:
        file["l/l/w:0"] = "text"
    with pytest.raises(UserError, match="no numbers"):
        files.read(path)


def test_an_h5_of_something_else(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["spectrogram"] = KERNEL
    with pytest.raises(UserError, match="no file of Keras weights"):
        files.read(path)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(UserError, match=r"there is no weight file .*third_party/weights\.toml"):
        files.read(tmp_path / "a.h5")
    with pytest.raises(UserError, match="no weight file that is read here"):
        files.read(tmp_path / "a.onnx")


@pytest.mark.parametrize(("name", "library"), [("a.h5", "h5py"), ("a.safetensors", "safetensors")])
def test_missing_extra_is_named(tmp_path, monkeypatch, name, library):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match="extra `pretrained`"):
        files.read(tmp_path / name)
