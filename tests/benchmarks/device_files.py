"""Files for `devices`: networks with random weights and their front ends, exported in every form."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

STATE = "normalisation.npz"
"""Mean and standard deviation of the coefficients, for the peer."""


class Work(NamedTuple):
    """A network, and what it hears.

    Attributes:
      sample_rate: Hz.
      seconds: of a window; the next one begins where it ends.
      features: keys of `config.features` that are not the defaults.
      left_out: forms that TFLite has no kernels for.
    """

    sample_rate: int
    seconds: float
    features: Mapping[str, Any]
    left_out: tuple[str, ...] = ()

    @property
    def window(self) -> int:
        """Samples."""
        return round(self.sample_rate * self.seconds)


WORKS = {
    # 13 MFCCs of 101 frames, as in configs/kd.py.
    "song-student": Work(2000, 2.5, {}),
    # Mahapatra's size, 128 mel bands of 63 frames at 1 kHz, behind the same band-pass filter.
    "mobilenetv3-small": Work(
        1000,
        2.0,
        {"name": "log-mel", "n_fft": 128, "hop_length": 32, "n_mels": 128, "fmin": 0.0, "fmax": 500.0},
        ("tflite-int16",),
    ),
}


def write(name: str, folder: pathlib.Path, recordings: Iterable[pathlib.Path]) -> None:
    """Exports a network, with weights that are drawn and running statistics that fit them.

    Args:
      name: of `WORKS`.
      folder: of the files.
      recordings: for calibration and normalisation.
    """
    import jax

    from hsjax import config, features, models
    from hsjax.data import audio
    from hsjax.export import export
    from hsjax.runtime import Aggregation, Description, Variant
    from tests.models import family, running_statistics

    work = WORKS[name]
    keys = config.base().features
    keys.update(dict(work.features))
    front_end = features.build(keys, work.sample_rate, work.window)
    samples = np.concatenate(
        [
            audio.windows(audio.resample(*audio.decode(path), work.sample_rate), work.window, work.window)[0]
            for path in recordings
        ]
    )
    state = front_end.fit(samples)
    examples = np.asarray(jax.jit(front_end.compute)(state, samples))
    network = models.build(name, num_classes=2, form=models.Form.PLAIN)

    def after(variables: models.Variables) -> models.Variables:
        return jax.jit(lambda v: network.apply(v, examples, True, {"dropout": jax.random.key(0)})[1])(variables)

    variables = running_statistics.settled(family.draw(network, (1, *front_end.shape)), after)
    export(
        folder,
        network=lambda x: network.apply(variables, x)[0].logits,
        front_end=lambda x: front_end.apply(state, x),
        feature_shape=front_end.shape,
        calibration=examples,
        variants=[variant for variant in Variant if variant not in work.left_out],
        description=Description(
            stage=name,
            protocol="none",
            seed=0,
            dataset="physionet2016",
            synthetic=False,
            labels=("normal", "abnormal"),
            positive="abnormal",
            threshold=0.5,
            aggregation=Aggregation.MEAN,
            sample_rate=work.sample_rate,
            window=work.window,
            hop=work.window,
            versions={},
        ),
    )
    np.savez(folder / STATE, mean=state.mean, std=state.std)
