"""Convolution and max-pooling by their definitions, with gradients, in float64."""

import itertools
from typing import NamedTuple

import numpy as np
import scipy.signal


class Pulled(NamedTuple):
    """A value, and what a cotangent becomes on its way back through it."""

    y: np.ndarray
    by_maps: np.ndarray
    by_kernel: np.ndarray | None = None


def size_out(size, window, strides, pads) -> tuple[int, int]:
    """Height and width after a window has walked over padded maps."""
    height, width = ((size[d] + sum(pads[d]) - window[d]) // strides[d] + 1 for d in (0, 1))
    return height, width


def convolve(x, kernel, strides, pads, groups, dy) -> Pulled:
    """scipy's correlation of every map with every kernel; strides leave out what they skip."""
    x, kernel, dy = (np.asarray(a, np.float64) for a in (x, kernel, dy))
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    y, by_padded, by_kernel = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    in_group, features = kernel.shape[2], kernel.shape[3]
    for example, feature, i in itertools.product(range(len(x)), range(features), range(in_group)):
        channel = feature // (features // groups) * in_group + i
        seen, weights = padded[example, :, :, channel], kernel[:, :, i, feature]
        dense = scipy.signal.correlate2d(seen, weights, "valid")
        y[example, :, :, feature] += dense[:: strides[0], :: strides[1]]
        spread = np.zeros(dense.shape)
        spread[:: strides[0], :: strides[1]] = dy[example, :, :, feature]
        by_padded[example, :, :, channel] += scipy.signal.convolve2d(spread, weights, "full")
        by_kernel[:, :, i, feature] += scipy.signal.correlate2d(seen, spread, "valid")
    (top, _), (left, _) = pads
    return Pulled(y, by_padded[:, top : top + x.shape[1], left : left + x.shape[2]], by_kernel)


def max_pool(x, window, strides, pads, dy) -> Pulled:
    """Every window by itself; the first of its largest values has the gradient."""
    x = np.asarray(x, np.float64)
    (top, _), (left, _) = pads
    height, width = size_out(x.shape[1:3], window, strides, pads)
    y, by_maps = np.empty((len(x), height, width, x.shape[3])), np.zeros(x.shape)
    for n, r, c, k in np.ndindex(*y.shape):
        rows, columns = (range(at * s - before, at * s - before + w) for at, s, before, w in
                         ((r, strides[0], top, window[0]), (c, strides[1], left, window[1])))  # fmt: skip
        places = [(i, j) for i in rows for j in columns if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]]
        first = max(places, key=lambda place: x[n, *place, k])  # of equals, the first
        y[n, r, c, k] = x[n, *first, k]
        by_maps[n, *first, k] += dy[n, r, c, k]
    return Pulled(y, by_maps)
