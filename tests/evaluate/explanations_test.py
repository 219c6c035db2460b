import itertools
import math

import numpy as np
import pytest

from hsjax.evaluate import explanations
from hsjax.evaluate.explanations import Patches
from hsjax.types import UserError

RANDOM = np.random.default_rng(0)
EXAMPLE = RANDOM.normal(size=(4, 7)).astype(np.float32)
BACKGROUND = RANDOM.normal(size=(5, 4, 7)).astype(np.float32)
WEIGHTS = RANDOM.normal(size=(3, 4, 7))


def linear(features):
    return np.einsum("ncf,kcf->nk", features.astype(np.float64), WEIGHTS)


def crooked(features):
    """Patches of 2 x 3 interact, all of them."""
    x = features.astype(np.float64).reshape(len(features), -1)
    return np.stack([np.tanh(x.sum(1)) * x.max(1), np.abs(x).prod(1) + x.min(1)], 1)


def explained(predict, patches, evaluations, seed=0):
    return explanations.explain(predict, EXAMPLE, BACKGROUND, patches, evaluations=evaluations, seed=seed)


def test_of_a_linear_function_each_patch_has_what_it_adds_to_the_mean():
    """w . (x - mean of the background), patch by patch; 12 patches have 4,096 sets, of which 30 are looked at."""
    found = explained(linear, Patches(3, 4), 30)
    # By hand: rows 0-1, 2, 3 (4 over 3) and columns 0-1, 2-3, 4-5, 6 (7 over 4).
    expected = np.zeros((3, 3, 4))
    of_row, of_column = (0, 0, 1, 2), (0, 0, 1, 1, 2, 2, 3)
    for (index, row, column), weight in np.ndenumerate(WEIGHTS):
        difference = float(EXAMPLE[row, column]) - float(BACKGROUND[:, row, column].mean(dtype=np.float64))
        expected[index, of_row[row], of_column[column]] += weight * difference
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    np.testing.assert_allclose(found.expected, linear(BACKGROUND).mean(0), atol=1e-5)


@pytest.mark.parametrize("evaluations", [12, 62])
def test_values_and_expectation_sum_to_the_output(evaluations):
    found = explained(crooked, Patches(2, 3), evaluations)
    np.testing.assert_allclose(found.values.sum((1, 2)) + found.expected, crooked(EXAMPLE[None])[0], atol=1e-10)
    np.testing.assert_array_equal(found.output, crooked(EXAMPLE[None])[0])


def test_with_all_sets_they_are_shapleys_values():
    """Shapley 1953: the mean over all orders of the patches of what one adds to those before it."""
    patches = Patches(2, 2)
    parts = patches.of(4, 7)

    def worth(shown):
        visible = np.any(parts[list(shown)], axis=0) if shown else np.zeros((4, 7), bool)
        return crooked(np.where(visible, EXAMPLE, BACKGROUND)).mean(0)

    expected = np.zeros((4, 2))
    for order in itertools.permutations(range(4)):
        for place, patch in enumerate(order):
            expected[patch] += (worth(order[: place + 1]) - worth(order[:place])) / math.factorial(4)
    found = explained(crooked, patches, 14)  # 2^4 without the empty and the full set
    np.testing.assert_allclose(found.values, expected.T.reshape(2, 2, 2), atol=1e-9)


def test_the_seed_decides_and_nobody_else_is_disturbed():
    patches = Patches(3, 4)
    np.random.seed(11)  # noqa: NPY002
    first = explained(crooked, patches, 60, seed=3).values
    drawn = np.random.random()  # noqa: NPY002
    np.testing.assert_array_equal(explained(crooked, patches, 60, seed=3).values, first)
    assert np.abs(explained(crooked, patches, 60, seed=4).values - first).max() > 1e-6
    np.random.seed(11)  # noqa: NPY002
    assert np.random.random() == drawn  # noqa: NPY002


def test_every_value_is_in_one_patch_and_what_does_not_fit_is_refused():
    parts = Patches(3, 4).of(4, 7)
    np.testing.assert_array_equal(parts.sum(0), np.ones((4, 7)))
    np.testing.assert_array_equal(parts.sum((1, 2)), [4, 4, 4, 2, 2, 2, 2, 1, 2, 2, 2, 1])
    with pytest.raises(ValueError, match="5 x 1 patches do not fit features of 4 x 7"):
        Patches(5, 1).of(4, 7)
    with pytest.raises(ValueError, match="24 evaluations or more"):
        explained(linear, Patches(3, 4), 23)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(explanations.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'hsjax\[explain\]'"):
        explained(linear, Patches(2, 2), 14)
