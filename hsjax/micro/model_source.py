"""A model as C source: its bytes, and what has to be known to feed it and to read its outputs."""

import math

import numpy as np

from hsjax.micro import literals, tables
from hsjax.micro.session import Arena, MicroSession
from hsjax.runtime import litert
from hsjax.runtime.litert import Quantisation
from hsjax.runtime.sidecar import Sidecar
from hsjax.types import Aggregation, UserError

_ARENA_STEP = 16  # bytes that arenas are aligned to

_DECISION = """\
/* Probabilities of a window are the softmax of its logits, those of a recording the mean over its windows{weighted}.
 * The likeliest class is predicted; with a threshold, HS_POSITIVE from HS_THRESHOLD on, which for a single window is
 * when its int8 output less the other class's is at least HS_THRESHOLD_STEPS. */
"""
_WEIGHTED = {
    Aggregation.MEAN: "",
    Aggregation.CONFIDENCE: ",\n * in which each counts for 1 less its entropy over that of even probabilities",
}


def config(described: Sidecar, quantisation: Quantisation, features: dict[str, int]) -> str:
    """Content of hs_config.h: windows, features and how these are quantised.

    Args:
      described: the model's sidecar.
      quantisation: of its input.
      features: sizes of what the model takes and, where C code computes it, of the front end.
    """
    windows = {
        "HS_SAMPLE_RATE": f"{described.sample_rate} /* Hz */",
        "HS_WINDOW": f"{described.window} /* samples */",
        "HS_HOP": f"{described.hop} /* samples between the beginnings of neighbouring windows */",
    }
    steps = {
        "HS_INPUT_SCALE": f"{literals.real(quantisation.scale)} /* feature = scale * (int8 - zero point) */",
        "HS_INPUT_ZERO_POINT": f"({quantisation.zero_point})",
    }
    before = ""
    if described.whole:
        before = (
            f"/* Before a recording is cut: level {described.level}, zeros at {described.fit}"
            f"{', only its first window' if described.first else ''}. No C code does that. */\n"
        )
    return before + "\n".join((tables.definitions(windows), tables.definitions(features), tables.definitions(steps)))


def header(described: Sidecar, session: MicroSession, arena: Arena, operators: tuple[str, ...]) -> str:
    """Content of hs_model.h."""
    quantisation = quantised(session.output_quantisation, session)
    size = -(-arena.total // _ARENA_STEP) * _ARENA_STEP
    constants = {
        "HS_MODEL_BYTES": described.bytes,
        "HS_ARENA_BYTES": f"{size} /* aligned to {_ARENA_STEP}; with pointers of 4 bytes a little less is used */",
        "HS_CLASSES": len(described.labels),
        "HS_OUTPUT_SCALE": f"{literals.real(quantisation.scale)} /* logit = scale * (int8 - zero point) */",
        "HS_OUTPUT_ZERO_POINT": f"({quantisation.zero_point})",
    }
    decision = _DECISION.format(weighted=_WEIGHTED[described.aggregation])
    if described.positive is not None and described.threshold is not None:
        decision += tables.definitions(
            {
                "HS_POSITIVE": described.labels.index(described.positive),
                "HS_THRESHOLD": literals.real(described.threshold),
                "HS_THRESHOLD_STEPS": f"({threshold_steps(described.threshold, quantisation)})",
            }
        )
    return f"""\
#include <stdint.h>

#include "hs_config.h"

#ifdef __cplusplus
extern "C" {{
#endif

/* Operators, for the resolver: {", ".join(sorted(set(operators)))}. */
{tables.definitions(constants)}
{decision}
/* A TFLite file, for tflite::GetModel; aligned to 16 bytes. */
extern const uint8_t hs_model[HS_MODEL_BYTES];

/* Names of the classes, in the order of the outputs. */
extern const char *const hs_labels[HS_CLASSES];

#ifdef __cplusplus
}}
#endif
"""


def source(described: Sidecar, model: bytes) -> str:
    """Content of hs_model.c."""
    labels = ", ".join(map(literals.text, described.labels))
    values = literals.array("hs_model", np.frombuffer(model, np.uint8), ("HS_MODEL_BYTES",))
    return f"""\
#include "hs_model.h"

#if defined(__GNUC__) || defined(__clang__)
#define HS_ALIGNED __attribute__((aligned(16)))
#elif defined(_MSC_VER)
#define HS_ALIGNED __declspec(align(16))
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define HS_ALIGNED _Alignas(16)
#else
#error "say here how this compiler aligns an array to 16 bytes"
#endif

const char *const hs_labels[HS_CLASSES] = {{{labels}}};

{values.replace("static const", "HS_ALIGNED const", 1)}"""


def operators(model: bytes) -> tuple[str, ...]:
    """As `litert.operators`.

    Raises:
      UserError: one is not TFLite's own.
    """
    found = litert.operators(model)
    foreign = sorted({name for name in found if name.startswith(litert.CUSTOM)})
    if foreign:
        raise UserError(f"TFLite Micro has no operator {', '.join(foreign)}: export the model with builtin ones only")
    return found


def quantised(quantisation: Quantisation | None, session: MicroSession) -> Quantisation:
    """The quantisation of an int8 input or output.

    Raises:
      UserError: it is of another type.
    """
    if quantisation is None or quantisation.dtype is not np.int8:
        raise UserError(f"{session.path} takes or gives other numbers than int8; C code is made for full int8 models")
    return quantisation


def threshold_steps(threshold: float, quantisation: Quantisation) -> int:
    """The least difference of the int8 outputs of two classes that means a probability of at least `threshold`.

    Where no difference means that (a threshold of 1), or each does (of 0), a number beyond all differences.
    """
    beyond = 256
    if threshold <= 0 or threshold >= 1:
        return -beyond if threshold <= 0 else beyond
    steps = math.ceil(math.log(threshold / (1 - threshold)) / quantisation.scale)
    return max(-beyond, min(beyond, steps))
