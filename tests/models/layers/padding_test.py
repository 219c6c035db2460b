import itertools

import jax
import pytest

from hsjax.models.layers.padding import Padding, resolve
from hsjax.types import UserError


def test_same_is_xla_s():
    for size, window, stride in itertools.product(range(1, 14), range(1, 6), range(1, 5)):
        (want,) = jax.lax.padtype_to_pads((size,), (window,), (stride,), "SAME")
        got = resolve(Padding.SAME, (size, 7), (window, 7), (stride, 1), "")
        assert got == (want, (3, 3)), (size, window, stride)


def test_symmetric_is_half_the_kernel_on_both_sides():
    got = resolve(Padding.SYMMETRIC, (9, 9), (3, 5), (2, 1), "")
    assert got == ((1, 1), (2, 2))
    assert resolve(Padding.SYMMETRIC, (9, 9), (1, 4), (1, 1), "") == ((0, 0), (1, 1))


def test_symmetric_with_strides_of_one_and_odd_kernels_is_same():
    for size, window in itertools.product(range(5, 9), (1, 3, 5)):
        size_, window_ = (size, size), (window, window)
        symmetric, same = (resolve(rule, size_, window_, (1, 1), "") for rule in (Padding.SYMMETRIC, Padding.SAME))
        assert symmetric == same


def test_ceil_is_pytorch_s():
    """https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html, and its note on the last window."""
    for size, window, stride in itertools.product(range(1, 14), range(1, 6), range(1, 7)):
        if window > size:
            continue
        outputs = -(-(size - window) // stride) + 1
        if (outputs - 1) * stride >= size:
            outputs -= 1
        (before, after), _ = resolve(Padding.CEIL, (size, 1), (window, 1), (stride, 1), "")
        assert before == 0
        assert (size + after - window) // stride + 1 == outputs, (size, window, stride)
        # No more than makes the last window full.
        assert after == max((outputs - 1) * stride + window - size, 0), (size, window, stride)


def test_valid_and_numbers_are_themselves():
    assert resolve(Padding.VALID, (3, 4), (3, 3), (2, 2), "") == ((0, 0), (0, 0))
    assert resolve([(1, 0), (2, 3)], (3, 4), (3, 3), (1, 1), "") == ((1, 0), (2, 3))


@pytest.mark.parametrize("padding", [Padding.VALID, Padding.CEIL, ((2, 3), (0, 0)), ((0, 0), (9, 9))])
def test_nothing_fits(padding):
    message = "at stem/conv it has shrunk to 1 x 8, and a window of 7 x 3 has to fit; give the network more"
    with pytest.raises(UserError, match=f"^the input is too small: {message} coefficients or frames$"):
        resolve(padding, (1, 8), (7, 3), (1, 1), "stem/conv")


def test_no_rows_at_all_fit_no_window():
    with pytest.raises(UserError, match="shrunk to 0 x 5"):
        resolve(Padding.SAME, (0, 5), (3, 3), (1, 1), "stem")
