"""Contrastive representation distillation: student and teacher agree on which example they see.

Tian et al. 2020, "Contrastive representation distillation", https://arxiv.org/abs/1910.10699, in the form of the
authors' released code: supervised negatives, memory banks of both sides, noise-contrastive estimation.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key

from hsjax.losses import masked

Scalar = float | Float[Array, ""]


class CRDMemory(NamedTuple):
    """What `crd` remembers between batches. A pytree.

    Attributes:
      student: (examples, dims), unit vectors: the running embedding of each training example.
      teacher: (examples, dims), the same of the teacher's.
      label: int32 (examples,), class of each example, -1 until it was first seen; such are no negatives.
      log_normalizer: (2,), log Z for the student's and for the teacher's scores.
      started: bool, whether `log_normalizer` was estimated.
    """

    student: Array
    teacher: Array
    label: Array
    log_normalizer: Array
    started: Array


def init_crd(
    key: Key[Array, ""],
    student_dims: int,
    teacher_dims: int,
    examples: int,
    dims: int = 128,
    dtype: DTypeLike = jnp.float32,
) -> tuple[dict[str, Array], CRDMemory]:
    """Parameters of the two linear embeddings, and memory banks of random unit vectors.

    Labels known from the start may be put in: `memory._replace(label=...)`. Then all examples are negatives from the
    first batch on, as in the released code; else each from when it was first seen.

    Args:
      key: for all random values.
      student_dims: of the student's embedding.
      teacher_dims: of the teacher's embedding.
      examples: how many there are to train on; `crd`'s index counts them.
      dims: of the common embedding.
      dtype: of parameters and banks.
    """
    keys = jax.random.split(key, 3)
    kernel = jax.nn.initializers.lecun_normal()
    params = {
        "student_kernel": kernel(keys[0], (student_dims, dims), dtype),
        "student_bias": jnp.zeros(dims, dtype),
        "teacher_kernel": kernel(keys[1], (teacher_dims, dims), dtype),
        "teacher_bias": jnp.zeros(dims, dtype),
    }
    banks = masked.unit(jax.random.normal(keys[2], (2, examples, dims), dtype))
    memory = CRDMemory(
        student=banks[0],
        teacher=banks[1],
        label=jnp.full(examples, -1, jnp.int32),
        log_normalizer=jnp.zeros(2, dtype),
        started=jnp.asarray(False),
    )
    return params, memory


def crd(
    params: dict[str, Array],
    memory: CRDMemory,
    student: Float[Array, "batch student_dims"],
    teacher: Float[Array, "batch teacher_dims"],
    index: Int[Array, " batch"],
    label: Int[Array, " batch"],
    mask: Float[Array, " batch"],
    key: Key[Array, ""],
    negatives: int = 1024,
    temperature: Scalar = 0.07,
    momentum: Scalar = 0.5,
) -> tuple[Float[Array, ""], CRDMemory]:
    """Noise-contrastive loss of each embedding against the other side's memory bank, and the new memory.

    An example's student embedding v meets its own entry in the teacher's bank and `negatives` entries of examples of
    other classes, drawn uniformly and with replacement; its teacher embedding meets the student's bank likewise. With
    p = exp(v.w / temperature) / Z and h = p / (p + negatives / examples), the loss is -log h(own) -
    sum(log(1 - h(negative))), for both sides, averaged over examples. Z, one per side, is `examples` times the mean of
    exp(v.w / temperature) over the first batch, and then fixed. Both linear embeddings are trained, the teacher is not.
    The authors draw 16,384 negatives; memory grows with batch x negatives x dims. Their 1e-7 in h is left out.

    After the loss, the entries of a batch's examples become momentum old + (1 - momentum) new, scaled to length 1. An
    index that comes more than once in a batch writes its last occurrence only.

    Without classes, give `index` as `label`: then every other example is a negative.

    Args:
      params: from `init_crd`; the banks get no gradient.
      memory: from `init_crd` or the batch before.
      student: embeddings, `(batch, dims)`.
      teacher: `(batch, dims)`; no gradient flows into it.
      index: `(batch,)`, which training example each is. One outside of the banks (-1) counts as masked.
      label: `(batch,)`, integer classes; a negative one counts as masked.
      mask: `(batch,)`, 0 for padding.
      key: draws the negatives.
      negatives: how many per example.
      temperature: positive; may be traced.
      momentum: of the banks, 0 to 1; may be traced.

    Returns:
      The loss, 0 where no example has both a place in the banks and a negative; and the memory for the next batch.
    """
    chex.assert_rank([student, teacher, index, label, mask], [2, 2, 1, 1, 1])
    chex.assert_type([student, teacher, index, label, mask], [jnp.floating, jnp.floating, int, int, jnp.floating])
    chex.assert_equal_shape_prefix([student, teacher, index, label, mask], 1)
    chex.assert_scalar_positive(negatives)
    teacher, memory = jax.lax.stop_gradient((teacher, memory))
    examples = len(memory.label)

    known = (mask > 0) & (index >= 0) & (index < examples) & (label >= 0)
    embedded = [
        _embed(masked.shown(values, known.astype(values.dtype)), params[f"{side}_kernel"], params[f"{side}_bias"])
        for side, values in (("student", student), ("teacher", teacher))
    ]
    # Out of range is dropped; duplicates have one writer, for the order of writes is nobody's promise.
    row = jnp.where(known & _last(index, known), index, examples)
    labels = memory.label.at[row].set(label.astype(memory.label.dtype), mode="drop")

    own = jnp.where(known, index, 0)
    drawn, count = _draw(key, labels, label, negatives)
    anchor = known & (count > 0)
    candidates = jnp.concatenate([own[:, None], drawn], 1)
    counts = jnp.concatenate([jnp.ones_like(own[:, None], bool), drawn != own[:, None]], 1) & anchor[:, None]

    losses, log_normalizer = [], []
    for vector, bank, known_normalizer in zip(
        embedded, (memory.teacher, memory.student), memory.log_normalizer, strict=True
    ):
        score = jnp.einsum("bd,bnd->bn", vector, bank[candidates], precision=lax.Precision.HIGHEST) / temperature
        first = jax.lax.stop_gradient(_log_mean_exp(score, counts)) + math.log(examples)
        log_normalizer.append(jnp.where(memory.started, known_normalizer, first))
        # h is the logistic function of this.
        logit = score - log_normalizer[-1] - math.log(negatives / examples)
        own_loss, negative_loss = jax.nn.softplus(-logit[:, 0]), jax.nn.softplus(logit[:, 1:])
        each = own_loss + jnp.sum(jnp.where(counts[:, 1:], negative_loss, 0.0), -1)
        losses.append(masked.mean(each, anchor.astype(each.dtype)))

    banks = [
        bank.at[row].set(masked.unit(momentum * bank[own] + (1 - momentum) * vector).astype(bank.dtype), mode="drop")
        for bank, vector in zip((memory.student, memory.teacher), jax.lax.stop_gradient(embedded), strict=True)
    ]
    normalizers = jnp.stack(log_normalizer).astype(memory.log_normalizer.dtype)
    started = memory.started | jnp.any(anchor)
    new = CRDMemory(banks[0], banks[1], labels, jnp.where(started, normalizers, memory.log_normalizer), started)
    return losses[0] + losses[1], new


def _embed(
    values: Float[Array, "batch ins"], kernel: Float[Array, "ins dims"], bias: Float[Array, " dims"]
) -> Float[Array, "batch dims"]:
    return masked.unit(jnp.matmul(values, kernel, precision=lax.Precision.HIGHEST) + bias)


def _last(index: Int[Array, " batch"], known: Bool[Array, " batch"]) -> Bool[Array, " batch"]:
    """Whether no later known example has the same index."""
    same = (index[:, None] == index[None, :]) & known[None, :]
    return ~jnp.any(jnp.triu(same, 1), 1)


def _draw(
    key: Key[Array, ""], labels: Int[Array, " examples"], label: Int[Array, " batch"], negatives: int
) -> tuple[Int[Array, "batch negatives"], Int[Array, " batch"]]:
    """Uniform draws among the examples of known, other classes, and how many such there are (0: the draws are void)."""
    order = jnp.argsort(labels)
    ascending = labels[order]
    unknown = jnp.searchsorted(ascending, jnp.zeros((), labels.dtype))
    label = label.astype(labels.dtype)
    start, stop = jnp.searchsorted(ascending, label), jnp.searchsorted(ascending, label, side="right")
    count = len(labels) - unknown - (stop - start)
    # In the order by class, the others are all known ones but one block.
    place = unknown + jax.random.randint(key, (len(label), negatives), 0, jnp.maximum(count, 1)[:, None])
    place = jnp.where(place >= start[:, None], place + (stop - start)[:, None], place)
    return order[jnp.minimum(place, len(labels) - 1)], count


def _log_mean_exp(values: Float[Array, "batch drawn"], counts: Bool[Array, "batch drawn"]) -> Float[Array, ""]:
    """Log of the mean of exp over what counts; 0 where nothing does."""
    number = jnp.sum(counts, dtype=values.dtype)
    mean = jax.nn.logsumexp(values, where=counts) - jnp.log(jnp.maximum(number, 1))
    return jnp.where(number > 0, mean, 0.0)
