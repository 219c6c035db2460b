import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import models
from hsjax.models import Form
from hsjax.models.layers import Padding, Quantiser
from hsjax.models.mobilenet_v2 import STAGES, Stage, Variant
from hsjax.models.resnet import Variant as ResNetVariant
from hsjax.types import UserError


def module(name, **options):
    return models.build(name, num_classes=3, **options).module


def test_a_choice_may_be_given_by_name():
    assert module("mobilenetv2", variant="torchvision").variant is Variant.TORCHVISION
    assert module("mobilenetv2", variant=Variant.TORCHVISION).variant is Variant.TORCHVISION
    assert module("dscnn", padding="symmetric").padding is Padding.SYMMETRIC
    assert module("mobilenetv2").variant is Variant.KERAS  # the default


def test_lists_become_tuples_all_the_way_down():
    got = module("dscnn", widths=[8, 8], depths=[1, 2], strides=[[1, 1], [2, 1]])
    assert (got.widths, got.depths, got.strides) == ((8, 8), (1, 2), ((1, 1), (2, 1)))
    hash(got)
    assert module("li2021", layers=[[4, 3, [2, 2]]] * 3).layers == ((4, 3, (2, 2)),) * 3
    assert module("squeezenet", stages=[[[4, 8]], [[4, 8], [6, 12]]]).stages == (((4, 8),), ((4, 8), (6, 12)))


def test_rows_of_a_table_keep_their_columns():
    """From Python as they are; from a config as lists."""
    table = (Stage(1, 8, 1, 1), Stage(2, 16, 1, 2))
    assert module("mobilenetv2", stages=STAGES) == module("mobilenetv2")
    for given in (table, [list(row) for row in table], [[1, 8, 1, 1], table[1]]):
        got = module("mobilenetv2", stages=given).stages
        assert got == table
        assert all(isinstance(row, Stage) for row in got)


def test_a_table_is_built_into_a_network():
    network = models.build("mobilenetv2", num_classes=3, stages=[[2, 8, 1, 2]], width=0.25)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32)))
    assert variables["params"]["block1"].keys() == {"expand", "depthwise", "project"}


def test_a_row_with_other_columns_is_an_error():
    with pytest.raises(
        UserError, match=r"^stages of mobilenetv2 has a row \(1, 8, 1\); .*expansion, features, repeats"
    ):
        module("mobilenetv2", stages=[[1, 8, 1]])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet51", {}, r"no network is called 'resnet51'; there are .*resnet18, .*resnet50, .*song-teacher"),
        ("dscnn", {"width": 3}, "dscnn has no option 'width'; it has channels, stem, .*padding"),
        ("song-student", {"padding": "same"}, "song-student has no option 'padding'; it has widths, hidden"),
        ("dscnn", {"execution": 1}, "dscnn has no option 'execution'; it has"),
        ("dscnn", {"parent": None}, "dscnn has no option 'parent'; it has"),
        ("resnet50", {"bottleneck": 1}, "bottleneck of resnet50 is 1; it must be True or False"),
        ("dscnn", {"channels": True}, "channels of dscnn is True; it must be a whole number"),
        ("dscnn", {"padding": "smae"}, "padding of dscnn is 'smae'; it must be one of valid, same, symmetric, ceil"),
        ("resnet50", {"variant": "keras "}, "variant of resnet50 is 'keras '; it must be one of .*keras"),
        ("dscnn", {"padding": 1}, "padding of dscnn is 1; it must be one of valid, same, symmetric, ceil"),
        ("dscnn", {"dropout": "0.2"}, "dropout of dscnn is '0.2'; it must be a number"),
        ("dscnn", {"stem": 24.5}, "stem of dscnn is 24.5; it must be a whole number"),
        (
            "mobilenetv3-small",
            {"blocks": [[3, 16, 16, True, "swish", 2]]},
            "blocks .*'swish'; .* relu, .*hard-swish",
        ),
        ("dscnn", {"widths": 32}, r"widths of dscnn is 32; it must be a list such as \(32, 64, 96\)"),
        ("dscnn", {"widths": ["a", 2, 3]}, "widths of dscnn is 'a'; it must be a whole number"),
    ],
)
def test_what_cannot_be_built_says_what_could(name, options, message):
    with pytest.raises(UserError, match=f"^{message}"):
        module(name, **options)


def test_a_whole_number_is_a_number():
    assert module("dscnn", dropout=0).dropout == 0
    assert module("efficientnetb0", width=np.int64(1)).width == 1


def test_a_list_that_is_empty_by_default_is_of_whole_numbers():
    assert module("mobilenetv2", expanded=[8, 16]).expanded == (8, 16)
    with pytest.raises(UserError, match=r"expanded of mobilenetv2 is 1\.5; it must be a whole number"):
        module("mobilenetv2", expanded=[8, 1.5])


def test_blocks_are_rows_whose_functions_have_names():
    rows = [[3, 16, 16, True, "relu", 2], [5, 96, 40, True, "hard-swish", 2]]
    blocks = module("mobilenetv3-small", blocks=rows).blocks
    assert [block.function for block in blocks] == [jax.nn.relu, jax.nn.hard_swish]
    assert [block.expanded for block in blocks] == [16, 96]


def test_options_are_those_of_the_family_with_the_name_s_own_defaults():
    assert models.options("song-student") == {"widths": (16, 32), "hidden": 16}
    assert models.options("resnet18")["bottleneck"] is False
    assert models.options("resnet18")["variant"] is ResNetVariant.TORCHVISION
    assert models.options("resnet101")["blocks"] == (3, 4, 23, 3)
    assert models.options("dscnn")["padding"] is Padding.SAME
    for name in models.MODELS:
        assert not {"num_classes", "execution", "parent", "name"} & models.options(name).keys()
        assert module(name, **models.options(name)) == module(name)


def test_form_and_quantiser_reach_the_network():
    class Other(Quantiser):
        pass

    quantiser = Other()
    got = module("dscnn", form=Form.PLAIN, quantiser=quantiser).execution
    assert (got.form, got.quantiser) == (Form.PLAIN, quantiser)
    assert module("dscnn").execution.form is Form.FAST
