"""SHAP values: how much each part of an example has to do with what a model says of it.

Lundberg & Lee, A Unified Approach to Interpreting Model Predictions, NeurIPS 2017, https://arxiv.org/abs/1705.07874;
computed by their library `shap` (extra `explain`), which sees the model as a black box.
"""

import contextlib
import importlib
import importlib.util
import types
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from hsjax.types import UserError

Predict = Callable[[Float[np.ndarray, "n coeffs frames"]], Float[np.ndarray, "n classes"]]

# Sets of patches at a time, of which each makes as many examples as the background has.
_CHUNK = 64

INSTALL = "pip install 'hsjax[explain]'"


class Patches(NamedTuple):
    """How an example is divided into parts that are hidden or shown as one: as even as rows and columns allow.

    Attributes:
      rows: parts along the coefficients.
      columns: parts along the frames.
    """

    rows: int
    columns: int

    def of(self, coeffs: int, frames: int) -> Bool[np.ndarray, "patches {coeffs} {frames}"]:
        """Which patch every value is in, row by row.

        Raises:
          ValueError: more rows or columns of patches than of values, or none.
        """
        if not (1 <= self.rows <= coeffs and 1 <= self.columns <= frames):
            raise ValueError(f"{self.rows} x {self.columns} patches do not fit features of {coeffs} x {frames}")
        row = np.arange(coeffs) * self.rows // coeffs
        column = np.arange(frames) * self.columns // frames
        patch = row[:, None] * self.columns + column
        return patch == np.arange(self.rows * self.columns)[:, None, None]


class Explanation(NamedTuple):
    """SHAP values of one example.

    Attributes:
      values: what each patch adds to the output for each class; with `expected`, they sum to `output`.
      expected: mean output over the background.
      output: of the example.
    """

    values: Float[np.ndarray, "classes rows columns"]
    expected: Float[np.ndarray, " classes"]
    output: Float[np.ndarray, " classes"]


def installed() -> bool:
    """Whether the library is there; it is not loaded."""
    return importlib.util.find_spec("shap") is not None


def explain(
    predict: Predict,
    example: Float[np.ndarray, "coeffs frames"],
    background: Float[np.ndarray, "b coeffs frames"],
    patches: Patches,
    *,
    evaluations: int,
    seed: int,
) -> Explanation:
    """Shapley values of an example's patches, a hidden patch being that of the background, on average.

    What is shared out among the patches is the mean over the background of `predict(background with the shown patches
    of the example)`. The library's `KernelExplainer` finds them by weighted least squares over sets of shown patches,
    the smallest and largest sets first: exactly where `evaluations` reach all sets, approximately where they do not,
    and additive in any case.

    Args:
      predict: outputs of many examples, in any language: it is only called.
      example: features.
      background: features of other examples, of training.
      patches: the parts, 2 or more.
      evaluations: sets that are looked at, twice the number of patches or more; each costs as many examples as the
        background has.
      seed: of the sets that are drawn.

    Raises:
      UserError: the library is not installed.
      ValueError: the patches do not fit, or the evaluations are too few for them.
    """
    parts = patches.of(*example.shape)
    if len(parts) < 2 or evaluations < 2 * len(parts):
        raise ValueError(f"{len(parts)} patches need 2 of them at least, and {2 * len(parts)} evaluations or more")
    shap = _shap()

    def shown(masks: np.ndarray) -> np.ndarray:
        """The mean output for each row of zeros (hidden) and ones."""
        return np.concatenate([_mixed(predict, example, background, some @ flat > 0) for some in _few(masks)])

    flat = parts.reshape(len(parts), -1).astype(np.float32)
    with _numpy_random(seed):
        explainer = shap.KernelExplainer(shown, np.zeros((1, len(parts))))
        # Without l1_reg=False it would leave patches out.
        found = explainer.shap_values(np.ones(len(parts)), nsamples=evaluations, l1_reg=False, silent=True)
    values = np.asarray(found).T.reshape(-1, patches.rows, patches.columns)
    output = predict(example[None].astype(np.float32))[0].astype(np.float64)
    return Explanation(values, np.atleast_1d(explainer.expected_value).astype(np.float64), output)


def _few(masks: np.ndarray) -> Iterator[np.ndarray]:
    return (masks[start : start + _CHUNK].astype(np.float32) for start in range(0, len(masks), _CHUNK))


def _mixed(
    predict: Predict,
    example: Float[np.ndarray, "coeffs frames"],
    background: Float[np.ndarray, "b coeffs frames"],
    visible: Bool[np.ndarray, "n values"],
) -> Float[np.ndarray, "n classes"]:
    """The mean output over the background, of which some values are the example's."""
    visible = visible.reshape(-1, 1, *example.shape)
    mixed = np.where(visible, example, background).astype(np.float32)
    outputs = predict(mixed.reshape(-1, *example.shape))
    return outputs.reshape(len(visible), len(background), -1).mean(axis=1, dtype=np.float64)


def _shap() -> types.ModuleType:
    if not installed():
        raise UserError(f"SHAP values need the package shap: {INSTALL}")
    return importlib.import_module("shap")  # takes seconds


@contextlib.contextmanager
def _numpy_random(seed: int) -> Iterator[None]:
    """The library draws from NumPy's global generator; what everyone else draws from it is as if it had not."""
    state = np.random.get_state()  # noqa: NPY002 - that one is meant
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
