"""Smaller networks compute what the large ones do with the channels that are left out at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import compress, models
from hsjax.compress import channels
from hsjax.models.channels import ChannelGroups, channel_groups
from hsjax.models.dscnn import DSCNN
from hsjax.models.layers import Execution, Form
from hsjax.models.mobilenet_v2 import MobileNetV2, Stage
from hsjax.models.song import SongStudent, SongTeacher
from hsjax.types import UserError
from tests.models import family

INPUTS = jax.ShapeDtypeStruct((3, 13, 24), jnp.float32)
PLAIN = Execution(Form.PLAIN)
STUDENT = SongStudent(2, widths=(6, 8), hidden=5, execution=PLAIN)
SEPARABLE = DSCNN(
    3, stem=6, widths=(8, 12), depths=(2, 2), strides=((1, 1), (2, 2)), stem_kernel=(3, 3), execution=PLAIN
)  # fmt: skip
INVERTED = MobileNetV2(
    3, channels=1, stem=6, last=20, stages=(Stage(1, 4, 1, 1), Stage(3, 8, 2, 2), Stage(2, 10, 1, 1)), execution=PLAIN
)


def logits(network, variables):
    x = jax.random.normal(jax.random.key(3), INPUTS.shape)
    return family.hurried(lambda v: network.apply(v, x)[0].logits, variables)


def check(module, keep, silence, importance=compress.Importance.L2):
    """The smaller network's logits against the large one's after `silence(variables, best)` in numpy."""
    network = models.Network(module)
    variables = family.draw(network, INPUTS.shape)
    made = compress.narrow(network, variables, INPUTS, keep, importance)
    want = logits(network, silence(jax.tree.map(np.array, variables)))
    np.testing.assert_allclose(logits(made.network, made.variables), want, rtol=1e-4, atol=1e-5)
    assert models.parameter_count(made.variables) < models.parameter_count(variables)
    return variables, made


def smallest(norms, count):
    return np.argsort(norms)[:count]


def test_song_s_student_by_hand():
    """Of ReLU networks, a channel is silent once its filter and bias are zero."""

    def silence(variables):
        params = variables["params"]
        for name, count in (("conv1", 3), ("conv2", 2), ("hidden", 2)):
            kernel = params[name]["kernel"]
            gone = smallest(np.sqrt((kernel.reshape(-1, kernel.shape[-1]) ** 2).sum(0)), count)
            kernel[..., gone], params[name]["bias"][gone] = 0, 0
        return variables

    variables, made = check(STUDENT, {"conv1": 0.5, "conv2": 6, "hidden": 0.6}, silence)
    assert made.options == {"widths": (3, 6), "hidden": 3}
    # Channels lie innermost in the flattened map of 3 x 6.
    kernel = variables["params"]["conv2"]["kernel"]
    kept = np.sort(np.argsort(-np.linalg.norm(np.asarray(kernel).reshape(-1, 8), axis=0))[:6])
    hidden = np.asarray(variables["params"]["hidden"]["kernel"])
    units = np.sort(np.argsort(-np.linalg.norm(hidden, axis=0))[:3])
    got = made.variables["params"]["hidden"]["kernel"]
    np.testing.assert_array_equal(got, hidden.reshape(18, 8, 5)[:, kept][..., units].reshape(18 * 6, 3))


def test_song_s_teacher_has_the_shapes_of_a_narrower_one():
    network = models.build("song-teacher", num_classes=2, widths=(4, 6, 8, 8))
    groups = channel_groups(network)
    assert groups == ChannelGroups({"conv1": 4, "conv2": 6, "conv3": 8, "conv4": 8})
    variables = family.draw(network, INPUTS.shape)
    made = compress.narrow(network, variables, INPUTS, {"*": 0.5})
    assert made.options == {"widths": (2, 3, 4, 4)}
    built = models.build("song-teacher", num_classes=2, **made.options)
    assert isinstance(built.module, SongTeacher)
    want = jax.eval_shape(built.init, jax.random.key(0), INPUTS)
    assert jax.tree.map(jnp.shape, made.variables) == jax.tree.map(jnp.shape, want)


def within(variables, path):
    place = variables["params"]
    for name in path.split("/"):
        place = place[name]
    return place


def norm(variables, path):
    return within(variables, path)["norm"]


def conv(variables, path):
    return within(variables, path)["conv"]["kernel"]


def silence_norms(variables, gone, paths):
    """Channels at zero after each of some batch norms."""
    for path in paths:
        norm(variables, path)["scale"][gone] = 0
        norm(variables, path)["bias"][gone] = 0


def test_dscnn_by_its_norms():
    """Wherever channels of a group pass a batch norm they are zero: so are those that residual blocks share."""
    of_group = {
        "stem": ("stem", "stage1_block1/depthwise"),
        "stage1": ("stage1_block1/pointwise", "stage1_block2/depthwise", "stage1_block2/pointwise",
                   "stage2_block1/depthwise"),
        "stage2": ("stage2_block1/pointwise", "stage2_block2/depthwise", "stage2_block2/pointwise"),
    }  # fmt: skip

    def silence(variables):
        for group, count in (("stem", 2), ("stage1", 3), ("stage2", 4)):
            scales = sum(np.abs(norm(variables, path)["scale"]) for path in of_group[group])
            silence_norms(variables, smallest(scales, count), of_group[group])
        return variables

    _, made = check(SEPARABLE, {"stem": 4, "stage*": 0.65}, silence, compress.Importance.NORM_SCALE)
    assert made.options == {"stem": 4, "widths": (5, 8)}
    built = models.build("dscnn", num_classes=3, depths=(2, 2), strides=((1, 1), (2, 2)), **made.options)
    assert built.module.widths == (5, 8)


def test_mobilenetv2_by_its_norms():
    of_group = {
        "stem": ("stem", "block1/depthwise"),
        "stage1": ("block1/project",),
        "block2": ("block2/expand", "block2/depthwise"),
        "stage2": ("block2/project", "block3/project"),
        "block3": ("block3/expand", "block3/depthwise"),
        "block4": ("block4/expand", "block4/depthwise"),
        "stage3": ("block4/project",),
        "head": ("head",),
    }
    lost = {"stem": 1, "stage1": 1, "block2": 6, "stage2": 2, "block3": 12, "block4": 8, "stage3": 3, "head": 10}

    def silence(variables):
        for group, count in lost.items():
            kernels = [conv(variables, path) for path in of_group[group]]
            norms = sum(np.abs(kernel).reshape(-1, kernel.shape[-1]).sum(0) for kernel in kernels)
            silence_norms(variables, smallest(norms, count), of_group[group])
        return variables

    sizes = channel_groups(models.Network(INVERTED)).sizes
    assert sizes == {
        "stem": 6, "stage1": 4, "block2": 12, "stage2": 8, "block3": 24, "block4": 16, "stage3": 10, "head": 20,
    }  # fmt: skip
    keep = {name: size - lost[name] for name, size in sizes.items()}
    _, made = check(INVERTED, keep, silence, compress.Importance.L1)
    built = models.build("mobilenetv2", num_classes=3, channels=1, **made.options)
    assert built.module.expanded == (5, 6, 12, 8)
    assert built.module == made.network.module.clone(execution=built.module.execution)


def test_the_published_mobilenetv2_is_told_apart_by_its_options():
    groups = channel_groups(models.build("mobilenetv2", num_classes=5))
    assert groups.sizes["block17"] == 960
    assert (groups.sizes["stem"], groups.sizes["stage7"], groups.sizes["head"]) == (32, 320, 1280)
    assert len(groups.sizes) == 1 + 7 + 16 + 1
    half = models.build("mobilenetv2", num_classes=5, width=0.5)
    sizes = channel_groups(half).sizes
    assert (sizes["stem"], sizes["stage1"], sizes["block2"], sizes["head"]) == (16, 8, 48, 1280)
    same = models.channels.with_channels(half, sizes)
    shapes = (jax.eval_shape(one.init, jax.random.key(0), INPUTS) for one in (half, same))
    assert len({str(jax.tree.map(jnp.shape, tree)) for tree in shapes}) == 1


def test_sizes_by_number_fraction_and_the_longest_pattern():
    groups = ChannelGroups({"stem": 24, "stage1": 32, "stage2": 64}, (("stage1", "stem"), ("stage2", "stage1")))
    assert channels.kept_sizes(groups, {"*": 0.5}) == {"stem": 12, "stage1": 16, "stage2": 32}
    assert channels.kept_sizes(groups, {"*": 0.5, "stage2": 20}) == {"stem": 12, "stage1": 16, "stage2": 20}
    assert channels.kept_sizes(groups, {"stage1": 0.01}) == {"stem": 24, "stage1": 1, "stage2": 64}
    # As many channels as before a stage would make its first block add its input: one more is kept.
    assert channels.kept_sizes(groups, {"stage1": 0.75}) == {"stem": 24, "stage1": 25, "stage2": 64}


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"conv9": 0.5}, "no channels are called 'conv9'; there are conv1, conv2, hidden"),
        ({"hidden": 6}, "hidden has 5 channels, of which 6 cannot be kept"),
        ({"*": 0.99}, "leaves all of conv1 6, conv2 8, hidden 5"),
    ],
)
def test_what_cannot_be_kept(keep, message):
    with pytest.raises(UserError, match=message):
        channels.kept_sizes(channel_groups(models.Network(STUDENT)), keep)


def test_families_and_options_without_groups():
    with pytest.raises(UserError, match="not out of SqueezeNet"):
        channel_groups(models.build("squeezenet", num_classes=2))
    with pytest.raises(UserError, match="set it to 0"):
        channel_groups(models.build("dscnn", num_classes=2, squeeze_excite=4))
    network = models.Network(STUDENT)
    variables = family.draw(network, INPUTS.shape)
    with pytest.raises(UserError, match="set the importance to l1 or l2"):
        compress.narrow(network, variables, INPUTS, {"*": 0.5}, compress.Importance.NORM_SCALE)


def test_blocks_that_add_what_comes_in_share_its_channels():
    """A first stage as wide as the stem adds the stem's maps."""
    tied = SEPARABLE.clone(widths=(6, 12))
    assert channel_groups(models.Network(tied)).sizes == {"stem": 6, "stage2": 12}
    network = models.Network(tied)
    made = compress.narrow(network, family.draw(network, INPUTS.shape), INPUTS, {"stem": 4})
    assert made.options == {"stem": 4, "widths": (4, 12)}


def test_after_low_rank_the_thin_layers_lose_channels_too():
    one = models.Network(STUDENT)
    ranks = (("hidden", 3),)
    two = models.Network(STUDENT, ranks=ranks)
    variables = compress.factorised(family.draw(one, INPUTS.shape), ranks)
    made = compress.narrow(two, variables, INPUTS, {"conv2": 4, "hidden": 4})
    hidden = made.variables["params"]["hidden"]
    assert (hidden["down"]["kernel"].shape, hidden["up"]["kernel"].shape) == ((18 * 4, 3), (3, 4))
    assert made.network.ranks == ranks
    want = jax.eval_shape(made.network.init, jax.random.key(0), INPUTS)
    assert jax.tree.map(jnp.shape, made.variables) == jax.tree.map(jnp.shape, want)
