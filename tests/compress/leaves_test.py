import jax.numpy as jnp
import pytest

from hsjax import compress
from hsjax.types import UserError

PARAMS = {
    "stem": {"conv": {"kernel": jnp.ones((3, 3, 1, 4))}, "norm": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}},
    "rnn": {"kernel": jnp.ones((5, 8)), "recurrent_kernel": jnp.ones((2, 8)), "bias": jnp.zeros(8)},
    "logits": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)},
}


def test_kernels_and_nothing_else():
    every = {"stem/conv/kernel", "rnn/kernel", "rnn/recurrent_kernel", "logits/kernel"}
    assert set(compress.kernels(PARAMS)) == every
    assert set(compress.kernels(PARAMS, ("*", "!logits"))) == every - {"logits/kernel"}
    assert set(compress.kernels(PARAMS, ("stem", "rnn/recurrent*"))) == {"stem/conv/kernel", "rnn/recurrent_kernel"}


def test_what_matches_nothing_is_told():
    with pytest.raises(UserError, match=r"no kernel is at '!head'; there are .*logits/kernel"):
        compress.kernels(PARAMS, ("*", "!head"))
    with pytest.raises(UserError, match="leave no kernel"):
        compress.kernels(PARAMS, ("!stem",))


def test_some_are_exchanged():
    made = compress.replaced(PARAMS, {"rnn/kernel": jnp.zeros((5, 8))})
    assert not made["rnn"]["kernel"].any()
    assert made["rnn"]["recurrent_kernel"] is PARAMS["rnn"]["recurrent_kernel"]
    assert PARAMS["rnn"]["kernel"].all()
