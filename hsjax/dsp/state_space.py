"""A cascade of second-order sections as a state-space system that survives float32; host side, float64.

The textbook recursion (direct form II) of a filter with a low edge, 0.5 Hz at 360 Hz say, loses four of float32's
seven digits: its states are huge and nearly cancel, and rounding its coefficients moves the poles. Here every section
starts in rotation form (a complex pair of poles is one 2 x 2 rotation), and the cascade is then brought to coordinates
in which its transition matrix is a contraction (Moore 1981, input-normal realisation), so that no power of it grows.
"""

import dataclasses
import functools

import numpy as np
import scipy.linalg
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class StateSpace:
    """`state' = transition @ state + gain * x`, `y = readout @ state + direct * x`; all float64.

    Attributes:
      transition: `(states, states)`.
      gain: `(states,)`.
      readout: `(states,)`.
      direct: from input to output of the same sample.
      to_direct_form: `(2 * sections, states)`; times the state it is SciPy's `zi`, section by section.
      from_direct_form: `(states, 2 * sections)`, its inverse on states that occur.
    """

    transition: Float[np.ndarray, "states states"]
    gain: Float[np.ndarray, " states"]
    readout: Float[np.ndarray, " states"]
    direct: float
    to_direct_form: Float[np.ndarray, "direct states"]
    from_direct_form: Float[np.ndarray, "states direct"]

    @property
    def steady(self) -> Float[np.ndarray, " states"]:
        """`(states,)`, where the state comes to rest under a constant input of 1 (`scipy.signal.sosfilt_zi`)."""
        return np.linalg.solve(np.eye(len(self.gain)) - self.transition, self.gain)

    @property
    def constant_gain(self) -> float:
        """What a constant input of 1 comes out as in the end."""
        return float(self.direct + self.readout @ self.steady)

    def powers(self, count: int) -> Float[np.ndarray, "{count} states states"]:
        """`(count, states, states)`: the transition over 0, 1, ... samples."""
        return powers(self.transition, count)


def powers(matrix: Float[np.ndarray, "n n"], count: int) -> Float[np.ndarray, "{count} n n"]:
    """`(count, n, n)`: the powers 0, 1, ... of a matrix."""
    found = [np.eye(len(matrix))]
    for _ in range(count - 1):
        found.append(found[-1] @ matrix)
    return np.stack(found)


def state_space(sections: Float[np.ndarray, "sections 6"]) -> StateSpace:
    """The system that the sections in series are.

    Raises:
      ValueError: `sections` is not `(sections, 6)` with `a0 = 1`, or has a pole on or outside the unit circle.
    """
    sections = np.asarray(sections, np.float64)
    if sections.ndim != 2 or sections.shape[1] != 6 or len(sections) == 0:
        raise ValueError(f"second-order sections are (sections, 6), got {sections.shape}")
    if not (np.isfinite(sections).all() and (sections[:, 3] == 1).all()):
        raise ValueError("second-order sections are finite and normalised to a0 = 1")
    return _state_space(tuple(map(tuple, sections.tolist())))


@functools.lru_cache(maxsize=64)
def _state_space(sections: tuple[tuple[float, ...], ...]) -> StateSpace:
    transition, gain, readout, direct = np.zeros((0, 0)), np.zeros(0), np.zeros(0), 1.0
    to_direct, from_direct = np.zeros((0, 0)), np.zeros((0, 0))
    for b0, b1, b2, _, a1, a2 in sections:
        first_order = (
            a2 == 0 and b2 == 0 and abs(a1) < 1
        )  # its second state is always 0, and would only spoil the condition
        one, basis = (np.array([[-a1]]), np.eye(1)) if first_order else _rotation(a1, a2)
        entry = np.linalg.solve(basis, [b1 - a1 * b0, b2 - a2 * b0][: len(one)])
        # Unit states for unit noise, then a unit coupling to what comes before: gains of 1e-8 and 1e8 are usual.
        own = _contraction(one, entry) * (np.linalg.norm(readout) + abs(direct) or 1.0)
        one, entry, basis = np.linalg.solve(own, one @ own), np.linalg.solve(own, entry), basis @ own
        n = len(gain)
        wider = scipy.linalg.block_diag(transition, one)
        wider[n:, :n] = np.outer(entry, readout)
        # A section in direct form II transposed is read out at the first component of its state.
        readout, gain = np.concatenate([readout * b0, basis[0]]), np.concatenate([gain, entry * direct])
        direct *= b0
        root = _contraction(wider, gain)
        transition, gain, readout = np.linalg.solve(root, wider @ root), np.linalg.solve(root, gain), readout @ root
        inverse = np.linalg.inv(basis)
        if first_order:
            basis, inverse = np.concatenate([basis, [[0.0]]]), np.concatenate([inverse, [[0.0]]], axis=1)
        to_direct = scipy.linalg.block_diag(to_direct, basis) @ root
        from_direct = np.linalg.solve(root, scipy.linalg.block_diag(from_direct, inverse))
    return StateSpace(transition, gain, readout, direct, to_direct, from_direct)


def _contraction(transition: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The basis in which the transition is a contraction and white noise excites all states alike."""
    # P = A P A' + B B' + ridge, hence A P A' <= P. The ridge is for poles that a zero hides: they are not excited.
    drive = np.outer(gain, gain) + (1e-6 * gain @ gain or 1.0) * np.eye(len(gain))
    return np.linalg.cholesky(scipy.linalg.solve_discrete_lyapunov(transition, drive, method="direct"))


def _rotation(a1: float, a2: float) -> tuple[np.ndarray, np.ndarray]:
    """One section's transition in rotation form, and the basis that takes its state to direct form II transposed.

    The poles are found as distances from 1, where they are without cancellation, for they crowd there.
    """
    half, product = (2.0 + a1) / 2, 1.0 + a1 + a2
    discriminant = half * half - product
    root = np.sqrt(abs(discriminant))
    if discriminant < 0:
        real, imaginary = 1.0 - half, root
        transition, basis = [[real, imaginary], [-imaginary, real]], [[1.0, 0.0], [-real, imaginary]]
        radius = np.hypot(real, imaginary)
    else:
        first, second = 1.0 - half + root, 1.0 - half - root
        transition, basis = [[first, 1.0], [0.0, second]], [[1.0, 0.0], [-second, 1.0]]
        radius = max(abs(first), abs(second))
    if radius >= 1:
        raise ValueError(f"a pole of radius {radius:g}: the filter is not stable")
    return np.array(transition), np.array(basis)
