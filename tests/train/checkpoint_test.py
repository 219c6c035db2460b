"""What is written is read back, or refused by name."""

import concurrent.futures
import errno
import hashlib
import os
import re
import resource
import shutil
import types

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest

from hsjax.train import checkpoint, manifest
from hsjax.types import UserError


def state(epoch: int) -> dict:
    """A tree whose values tell its epoch."""
    return {
        "params": {"kernel": jnp.arange(6.0).reshape(2, 3) + epoch, "bias": jnp.full(3, epoch, jnp.bfloat16)},
        "moments": (jnp.zeros((0, 3)), jnp.array([True, False])),
        "epoch": jnp.int32(epoch),
    }


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of epochs 1 to 3, of which 2 and 3 are kept, and what restoring says."""
    said = []
    checkpoints = checkpoint.Checkpoints(tmp_path / "checkpoints", said.append)
    for epoch in (1, 2, 3):
        checkpoints.save(epoch, state(epoch))
    return types.SimpleNamespace(checkpoints=checkpoints, folder=tmp_path / "checkpoints", said=said)


def assert_is(tree, epoch):
    assert jax.tree.structure(tree) == jax.tree.structure(state(epoch))
    for got, want in zip(jax.tree.leaves(tree), jax.tree.leaves(state(epoch)), strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


def largest(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path):
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def test_the_last_two_are_kept_and_the_newest_is_restored(saved):
    assert sorted(path.name for path in saved.folder.iterdir()) == ["2", "2.sha256", "3", "3.sha256"]
    assert_is(saved.checkpoints.restore(state(0)), 3)
    assert_is(checkpoint.Checkpoints(saved.folder).restore(jax.eval_shape(state, 0)), 3)  # of shapes alone
    assert not saved.said


def test_nothing_is_restored_from_nothing(tmp_path):
    assert checkpoint.Checkpoints(tmp_path / "none").restore(state(0)) is None
    assert not (tmp_path / "none").exists()


def test_leaves_come_back_where_those_of_the_like_are(tmp_path):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), "data")
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    tree = {
        "bound": jax.device_put(jnp.arange(4.0), spread), "free": jnp.arange(3), "host": np.arange(3.0),
        "number": 0.1, "small": np.array([1.5], ml_dtypes.float8_e4m3fn),
    }  # fmt: skip
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, tree)
    got = checkpoints.restore(tree)
    assert got["bound"].sharding == spread
    assert not got["free"].committed
    assert isinstance(got["host"], np.ndarray)
    assert got["host"].dtype == np.float64
    assert got["number"] == 0.1
    assert got["small"].dtype == ml_dtypes.float8_e4m3fn
    for name in ("bound", "free", "host", "small"):
        np.testing.assert_array_equal(np.asarray(got[name]), np.asarray(tree[name]))


def test_what_is_restored_may_be_donated(saved):
    got = saved.checkpoints.restore(state(0))
    jax.jit(lambda tree: jax.tree.map(jnp.zeros_like, tree), donate_argnums=0)(got)
    assert_is(saved.checkpoints.restore(state(0)), 3)


def test_the_manifest_is_what_hashlib_says(saved):
    first, *lines = (saved.folder / "3.sha256").read_text().splitlines(keepends=True)
    assert first.split(": ")[1].strip() == hashlib.sha256("".join(lines).encode()).hexdigest()
    listed = dict(reversed(line.rstrip("\n").split("  ")) for line in lines)
    found = {f"3/{path.relative_to(saved.folder / '3')}": hashlib.sha256(path.read_bytes()).hexdigest()
             for path in (saved.folder / "3").rglob("*") if path.is_file()}  # fmt: skip
    assert listed == found


DAMAGES = {
    "flipped": (lambda folder: flip(largest(folder / "3")), r"3/\S+ has changed since it was written"),
    "truncated": (lambda folder: truncate(largest(folder / "3")), r"3/\S+ has changed since it was written"),
    "missing": (lambda folder: largest(folder / "3").unlink(), r"3/\S+ is missing"),
    "all missing": (lambda folder: shutil.rmtree(folder / "3"), r"3/\S+ is missing"),
    "extra": (lambda folder: (folder / "3" / "more").write_text("x"), "3/more was not written with it"),
    "manifest flipped": (lambda folder: flip(folder / "3.sha256"), "3.sha256 is damaged"),
    "manifest truncated": (lambda folder: truncate(folder / "3.sha256"), "3.sha256 is damaged"),
    "manifest empty": (lambda folder: os.truncate(folder / "3.sha256", 0), "3.sha256 is damaged"),
    "manifest of another": (lambda folder: shutil.copy(folder / "2.sha256", folder / "3.sha256"), "3.sha256 is dam"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(saved, name):
    damage, expected = DAMAGES[name]
    damage(saved.folder)
    assert_is(saved.checkpoints.restore(state(0)), 2)
    [said] = saved.said
    assert re.search(expected, said)
    assert "epoch 3" in said
    assert "going on from epoch 2" in said
    assert_is(saved.checkpoints.restore(state(0)), 2)
    assert len(saved.said) == 1  # it is gone, and not told of again
    saved.checkpoints.save(3, state(3))
    assert_is(saved.checkpoints.restore(state(0)), 3)
    assert len(saved.said) == 1


def test_every_byte_of_every_file_matters(saved):
    """One bit flipped in each file in turn."""
    for path in [*(path for path in (saved.folder / "3").rglob("*") if path.is_file()), saved.folder / "3.sha256"]:
        content = path.read_bytes()
        flip(path)
        assert path.name in manifest.damage(saved.folder / "3")
        path.write_bytes(content)
        assert manifest.damage(saved.folder / "3") is None


def test_without_a_whole_one_training_starts_from_the_beginning(saved):
    flip(largest(saved.folder / "2"))
    (saved.folder / "3.sha256").write_bytes(b"\xff\xfe")
    assert saved.checkpoints.restore(state(0)) is None
    assert ["going on from epoch 2" in saved.said[0], "starting from the beginning" in saved.said[1]] == [True, True]
    saved.checkpoints.save(1, state(1))  # and what it writes is not taken for older than what was damaged
    assert_is(saved.checkpoints.restore(state(0)), 1)


def test_the_terminal_is_told_by_default(saved, caplog):
    flip(largest(saved.folder / "3"))
    checkpoint.Checkpoints(saved.folder).restore(state(0))
    assert "epoch 3" in caplog.text
    assert "WARNING" in caplog.text


@pytest.mark.parametrize("left", ["3", "3.orbax-checkpoint-tmp", "3.sha256.partial"])
def test_an_interrupted_one_is_passed_over_in_silence(saved, left):
    """What a kill leaves: a folder without a manifest, Orbax's folder, half a manifest."""
    (saved.folder / "3.sha256").unlink()
    if left != "3":
        shutil.rmtree(saved.folder / "3")
        (saved.folder / left).mkdir() if "tmp" in left else (saved.folder / left).write_text("# SHA")
    assert_is(saved.checkpoints.restore(state(0)), 2)
    assert not saved.said
    saved.checkpoints.save(3, state(3))
    assert sorted(path.name for path in saved.folder.iterdir()) == ["2", "2.sha256", "3", "3.sha256"]
    assert_is(saved.checkpoints.restore(state(0)), 3)


def test_several_threads_save_beside_each_other(tmp_path, caplog):
    """As the members of a sweep do."""

    def train(member):
        checkpoints = checkpoint.Checkpoints(tmp_path / str(member))
        for epoch in range(1, 6):
            checkpoints.save(epoch, state(10 * member + epoch))
        checkpoint.save_variables(tmp_path / str(member) / "variables", state(member)["params"])
        return checkpoints.restore(state(0))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for member, tree in enumerate(pool.map(train, range(4))):
            assert_is(tree, 10 * member + 5)
    assert not caplog.records


def test_foreign_files_stay(saved):
    (saved.folder / "notes.txt").write_text("mine")
    saved.checkpoints.save(4, state(4))
    assert (saved.folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree | {"epoch": jnp.float32(0)}, r"\['epoch'\] int32\[\] where \['epoch'\] float32\[\] is"),
        (lambda tree: tree | {"moments": (jnp.zeros((1, 3)), tree["moments"][1])}, r"float32\[0, 3\] where"),
        (lambda tree: tree | {"queue": jnp.zeros(2)}, r"\['queue'\] float32\[2\] is wanted"),
        (lambda tree: {"epoch": tree["epoch"], "moments": tree["moments"]}, "where nothing is wanted"),
    ],
)
def test_another_tree_is_refused(saved, change, message):
    with pytest.raises(UserError, match=message):
        saved.checkpoints.restore(change(state(0)))


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["os.replace", "os.fsync", "os.rename", "pathlib.Path.mkdir"])
def test_a_full_disk_names_the_folder_and_leaves_what_was_saved(saved, monkeypatch, call):
    with monkeypatch.context() as patched:
        patched.setattr(call, no_room)
        with pytest.raises(OSError, match="No space left") as raised:
            saved.checkpoints.save(4, state(4))
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(saved.folder / "4")
    assert_is(saved.checkpoints.restore(state(0)), 3)
    assert not saved.said
    saved.checkpoints.save(4, state(4))
    assert_is(saved.checkpoints.restore(state(0)), 4)


def test_a_limit_that_tensorstore_meets_is_an_error_of_the_system(tmp_path, capfd, caplog):
    """Files that may not grow: what it raises is a ValueError, what it logs is a trace per thread."""
    large = {"kernel": jnp.zeros(500_000) + 0.1}
    checkpoints = checkpoint.Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, large)
    checkpoint.save_variables(tmp_path / "one" / "variables", large)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(OSError, match="too large") as raised:
            checkpoints.save(2, large)
        with pytest.raises(OSError, match="too large") as of_variables:
            checkpoint.save_variables(tmp_path / "two" / "variables", {"kernel": jnp.arange(500_000) * 0.37})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.filename == str(tmp_path / "checkpoints" / "2")
    assert of_variables.value.filename == str(tmp_path / "two" / "variables")
    assert "Traceback" not in caplog.text + capfd.readouterr().err
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "1.sha256"]
    np.testing.assert_array_equal(checkpoints.restore(large)["kernel"], large["kernel"])
    np.testing.assert_array_equal(
        checkpoint.load_variables(tmp_path / "one" / "variables", large)["kernel"], large["kernel"]
    )


def test_a_file_where_the_folder_is_wanted(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(OSError, match="checkpoints/1"):
        checkpoint.Checkpoints(tmp_path / "checkpoints").save(1, state(1))


VARIABLES = {"params": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}}


@pytest.fixture
def variables(tmp_path):
    checkpoint.save_variables(tmp_path / "stage" / "variables", VARIABLES)
    return tmp_path / "stage" / "variables"


def test_variables_are_orbax_s_own(variables):
    with ocp.StandardCheckpointer() as checkpointer:
        stored = checkpointer.restore(variables)
    for got in (stored, checkpoint.load_variables(variables, jax.eval_shape(lambda: VARIABLES))):
        assert jax.tree.structure(got) == jax.tree.structure(VARIABLES)
        jax.tree.map(np.testing.assert_array_equal, got, VARIABLES)


def test_variables_are_replaced(variables):
    checkpoint.save_variables(variables, jax.tree.map(lambda leaf: leaf + 1, VARIABLES))
    np.testing.assert_array_equal(checkpoint.load_variables(variables, VARIABLES)["params"]["bias"], [2, 2, 2])


@pytest.mark.parametrize("damage", [flip, truncate, os.remove])
def test_damaged_variables_are_refused_by_name(variables, damage):
    for path in [path for path in variables.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        if not content:
            continue
        damage(path)
        with pytest.raises(UserError, match=f"{path.name}.*delete {variables.parent} to make it anew"):
            checkpoint.load_variables(variables, VARIABLES)
        path.write_bytes(content)
    checkpoint.load_variables(variables, VARIABLES)


def test_missing_variables_are_refused(variables):
    shutil.rmtree(variables)
    manifest.beside(variables).unlink()
    with pytest.raises(UserError, match=r"variables is missing; delete"):
        checkpoint.load_variables(variables, VARIABLES)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (
            {"kernel": jnp.zeros((2, 4)), "bias": jnp.ones(3)},
            r"\['kernel'\] float32\[2, 3\] where .*\[2, 4\] is wanted",
        ),
        ({"weight": jnp.zeros((2, 3)), "bias": jnp.ones(3)}, r"\['kernel'\].* where .*\['weight'\]"),
        ({"bias": jnp.ones(3, jnp.bfloat16), "kernel": jnp.zeros((2, 3))}, r"float32\[3\] where .*bfloat16\[3\]"),
        ({"bias": jnp.ones(3)}, "where nothing is wanted"),
    ],
)
def test_variables_of_another_network_are_refused(variables, like, message):
    with pytest.raises(UserError, match=message):
        checkpoint.load_variables(variables, {"params": like})


def test_unsealed_variables_that_orbax_cannot_read_are_refused(variables):
    manifest.beside(variables).unlink()
    for path in variables.rglob("*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match="delete"):
        checkpoint.load_variables(variables, VARIABLES)
