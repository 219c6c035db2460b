"""What a network sees of a batch while it trains: random changes of samples and features, made inside the step."""

import dataclasses
import difflib
import enum
import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from hsjax.dsp import augment
from hsjax.dsp.augment.draw import Augmentation
from hsjax.features import FeatureState, FrontEnd
from hsjax.types import UserError

# In the order in which they happen to a sound: the heart, the moment it is caught, what else is heard or picked up, the
# device, its level and converter. Changes are applied in this order, whatever the order in a config.
OF_SAMPLES = {
    function.__name__: function
    for function in (
        augment.resample_speed,
        augment.time_stretch,
        augment.pitch_shift,
        augment.time_shift,
        augment.baseline_wander,
        augment.muscle_noise,
        augment.powerline_hum,
        augment.add_white_noise,
        augment.add_pink_noise,
        augment.add_coloured_noise,
        augment.stethoscope,
        augment.polarity,
        augment.gain,
        augment.clip,
    )
}
"""Changes of windows of samples, `(window,)`."""

OF_FEATURES = {
    function.__name__: function for function in (augment.time_shift, augment.add_white_noise, augment.spec_augment)
}
"""Changes of features, `(coeffs, frames)`, normalised where the front end does that."""

_SAMPLE_RATE, _PROBABILITY = "sample_rate", "probability"


@dataclasses.dataclass(frozen=True)
class Change:
    """A random change of one example. Hashable.

    Attributes:
      function: `(key, example, **arguments) -> example`, one of `hsjax.dsp.augment` or like these.
      arguments: by name, as pairs.
      probability: with which an example is changed at all.
    """

    function: Augmentation
    arguments: tuple[tuple[str, Any], ...] = ()
    probability: float = 1.0

    def __call__(self, key: Key[Array, ""], examples: Float[Array, " batch *rest"]) -> Float[Array, " batch *rest"]:
        """Every example changed by itself, with a key of its own."""

        def change(key: Array, example: Array) -> Array:
            return self.function(key, example, **dict(self.arguments))

        changed = change if self.probability >= 1 else augment.sometimes(change, self.probability)
        return augment.batched(changed)(key, examples)


@dataclasses.dataclass(frozen=True)
class Views:
    """From a batch to what the network sees of it: changed samples, their features, changed features. Hashable.

    Examples never see each other, so whatever padding holds stays in its row. Without changes it is the front end
    alone, and without that nothing at all.

    Attributes:
      samples: changes of windows, one after another.
      features: changes of features, likewise.
      front_end: what makes features of windows; None where the batch holds features already.

    Raises:
      UserError: changes of samples without a front end, which would meet features.
    """

    samples: tuple[Change, ...] = ()
    features: tuple[Change, ...] = ()
    front_end: FrontEnd | None = None

    def __post_init__(self) -> None:
        """See `Raises` above."""
        if self.samples and self.front_end is None:
            raise UserError("Give the views a front end, or leave out their changes of samples, which need windows.")

    def __call__(
        self, key: Key[Array, ""], inputs: Float[Array, " batch *rest"], front_end_state: FeatureState | None = None
    ) -> Float[Array, " batch *seen"]:
        """What the network sees.

        Args:
          key: of this batch and view. Another one gives another view of the same examples.
          inputs: windows of samples, `(batch, window)`, where there is a front end; else features,
            `(batch, coeffs, frames)`.
          front_end_state: as the front end was fitted; differentiable.

        Returns:
          Features, `(batch, coeffs, frames)`.

        Raises:
          ValueError: a front end without its state.
        """
        of_samples, of_features = jax.random.split(key)
        seen = _changed(of_samples, self.samples, inputs)
        if self.front_end is not None:
            if front_end_state is None:
                raise ValueError("views with a front end want its fitted state")
            seen = self.front_end.compute(front_end_state, seen)
        return _changed(of_features, self.features, seen)

    @property
    def unchanged(self) -> "Views":
        """The same without any change: the front end alone."""
        return dataclasses.replace(self, samples=(), features=())

    @staticmethod
    def from_settings(
        settings: Mapping[str, Any] | ConfigDict, front_end: FrontEnd, sample_rate: float | int, key_name: str
    ) -> "Views":
        """Views as a config describes them: `{"samples": {"gain": {"gain_db": (-6, 6), "probability": 0.5}}, ...}`.

        Names and arguments are those of the functions in `OF_SAMPLES` and `OF_FEATURES`, in whose order they are
        applied; `probability` is that of the change, 1 by default. Choices are given by name, ranges as pairs. The
        sample rate is filled in.

        Args:
          settings: sections `samples` and `features`, both may be missing: changes by name, each with its arguments.
          front_end: of the network. It is part of the views where samples are changed; otherwise batches hold features.
          sample_rate: of the windows, Hz.
          key_name: of `settings` in the config, for messages.

        Raises:
          UserError: what does not exist, is missing, or cannot be; the sentence names the key.
        """
        sections = _mapping(settings, key_name)
        kinds = {"samples": (OF_SAMPLES, (front_end.window,)), "features": (OF_FEATURES, front_end.shape)}
        for section in sections:
            _known(section, kinds, key_name)
        changes = {
            section: _section(sections.get(section, {}), *kind, sample_rate, f"{key_name}.{section}")
            for section, kind in kinds.items()
        }
        return Views(**changes, front_end=front_end if changes["samples"] else None)


def _changed(key: Array, changes: tuple[Change, ...], examples: Array) -> Array:
    for place, change in enumerate(changes):
        examples = change(jax.random.fold_in(key, place), examples)
    return examples


def _section(
    settings: Any,
    functions: Mapping[str, Callable[..., Array]],
    shape: tuple[int, ...],
    sample_rate: float | int,
    key_name: str,
) -> tuple[Change, ...]:
    """The changes that a section of settings names, in the order of `functions`."""
    section = _mapping(settings, key_name)
    for name in section:
        _known(name, functions, key_name)
    changes = []
    for name in functions:
        if name in section:
            changes.append(_change(functions[name], section[name], sample_rate, f"{key_name}.{name}"))
            _try(changes[-1], shape, f"{key_name}.{name}")
    return tuple(changes)


def _change(function: Callable[..., Array], settings: Any, sample_rate: float | int, key_name: str) -> Change:
    """One change from its arguments."""
    settings = _mapping(settings, key_name)
    _, _, *parameters = inspect.signature(function).parameters.values()  # key and example are not the user's to give
    known = {parameter.name: parameter for parameter in parameters if parameter.name != _SAMPLE_RATE}
    for name in settings:
        _known(name, [*known, _PROBABILITY], key_name)
    given = {
        name: _typed(settings[name], parameter, f"{key_name}.{name}")
        for name, parameter in known.items()
        if name in settings
    }
    # That of `polarity` is an argument of its own.
    probability = 1.0 if _PROBABILITY in known else settings.get(_PROBABILITY, 1.0)
    if not _number(probability) or not 0 <= probability <= 1:
        raise UserError(f"Set {key_name}.{_PROBABILITY} to a number from 0 to 1, not to {probability!r}.")
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise UserError(f"{key_name} needs the argument {name!r}; give it, or leave the change out.")
    if len(known) < len(parameters):
        given[_SAMPLE_RATE] = sample_rate
    return Change(function, tuple(sorted(given.items())), float(probability))


def _typed(value: Any, parameter: inspect.Parameter, key_name: str) -> Any:
    """A setting as the function wants it: pairs as tuples, choices by name as members of their enum."""
    kind = type(parameter.default)
    if issubclass(kind, enum.Enum) and (isinstance(value, str | kind) or parameter.annotation is kind):
        names = [member.value for member in kind]
        if value not in (*kind, *names):
            raise UserError(f"Set {key_name} to one of {', '.join(names)}, not to {value!r}.")
        return kind(value)
    if parameter.annotation is int:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool):
            raise UserError(f"Set {key_name} to a whole number, not to {value!r}.")
        return int(value)
    if isinstance(value, list | tuple) and len(value) == 2 and all(map(_number, value)):
        return tuple(value)
    if not _number(value):
        raise UserError(f"Set {key_name} to a number, or to (low, high) for a range, not to {value!r}.")
    return value


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _try(change: Change, shape: tuple[int, ...], key_name: str) -> None:
    """Traces the change, so that what it cannot do is said before any work."""
    try:
        jax.eval_shape(change, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    except (ValueError, TypeError) as error:
        raise UserError(f"Mend {key_name}: {error}.") from error


def _mapping(settings: Any, key_name: str) -> Mapping[str, Any]:
    found = settings.to_dict() if isinstance(settings, ConfigDict) else settings
    if not isinstance(found, Mapping):
        raise UserError(f"Give {key_name} as names with their values, {{}} for none, not as {found!r}.")
    return found


def _known(name: str, names: Iterable[str], key_name: str) -> None:
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
        raise UserError(f"{key_name} has no {name!r}; {hint}")
