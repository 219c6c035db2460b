"""Sarkhel's recurrent networks, unrolled, in every form."""

import jax
import numpy as np
import pytest

from hsjax import models, runtime
from hsjax.export import FRONT_END, gate
from hsjax.export import models as exported
from hsjax.models import Form
from hsjax.runtime import Input, Variant, litert, sidecar
from tests.models import family

COEFFS, FRAMES = 6, 5
OPTIONS = {"sarkhel-lstm": {"units": (8, 6)}, "sarkhel-rnn": {"units": (8, 6)}}


@pytest.fixture(scope="module", params=sorted(OPTIONS))
def files(request, exported, tmp_path_factory):
    """Files of a small network, features, and its logits by the scan that is never exported."""
    plain, fast = (
        models.build(request.param, num_classes=2, form=form, **OPTIONS[request.param])
        for form in (Form.PLAIN, Form.FAST)
    )
    variables = family.draw(fast, (1, COEFFS, FRAMES))
    features = np.random.default_rng(0).normal(size=(32, COEFFS, FRAMES)).astype(np.float32)
    logits = np.asarray(jax.jit(lambda x: fast.apply(variables, x)[0].logits)(features))
    return exports(plain, variables, features, exported.description, tmp_path_factory), features, logits


def exports(plain, variables, features, description, tmp_path_factory):
    import dataclasses

    return exported.export(
        tmp_path_factory.mktemp("recurrent"),
        network=lambda x: plain.apply(variables, x)[0].logits,
        front_end=lambda samples: samples.reshape(1, COEFFS, FRAMES),
        feature_shape=(COEFFS, FRAMES),
        calibration=features,
        description=dataclasses.replace(description, window=COEFFS * FRAMES),
    )


def test_every_form_gives_what_the_scan_gives_and_passes_the_gate(files):
    paths, features, logits = files
    assert len(paths) == 2 * len(Variant)
    assert (paths[0].parent / FRONT_END).is_file()
    for path in paths:
        described = sidecar.read(path)
        inputs = features if described.input is Input.FEATURES else features.reshape(len(features), -1)
        gate.enforce(gate.inspect(path, inputs, logits, variant=described.variant))
        outputs = runtime.load(path).run(inputs)
        tolerance = 1e-4 if described.variant.exact else 0.02 if "float16" in path.name else 0.15
        assert np.abs(outputs - logits).max() <= tolerance * np.abs(logits).max(), path.name
        if path.suffix == ".tflite":
            assert "WHILE" not in litert.operators(path.read_bytes())
