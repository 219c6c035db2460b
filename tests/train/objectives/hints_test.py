"""What is looked at inside of both networks, under which name, and what is remembered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import train
from hsjax.losses import distillation
from hsjax.types import Outputs, UserError
from tests.train.objectives import formulas, toys
from tests.train.objectives.toys import HPARAMS, PLAIN, WIDE

step = toys.hurried(train.step, static_argnums=0)


def outputs(seed: int, channels: int):
    rng = np.random.default_rng(seed)
    first, last = (jnp.asarray(rng.normal(size=(8, 2, 3, channels)), jnp.float32) for _ in range(2))
    embedding = jnp.asarray(rng.normal(size=(8, channels)), jnp.float32)
    return Outputs(None, embedding, {"first": first, "last": last})


@pytest.mark.parametrize("loss", train.HintLoss)
def test_every_hint_is_the_loss_of_its_name_at_its_places(loss):
    student, teacher, batch, key = outputs(0, 4), outputs(1, 6), toys.make_batch(0, masked=2), jax.random.key(2)
    hint = train.Hint(loss, (("first", ""),))
    head, memory = hint.init(key, student, teacher, 64)
    ours, theirs = student.taps["first"], teacher.taps["last"]
    if not loss.of_maps:
        ours, theirs = student.embedding, teacher.embedding
    got, after = hint(head, memory, student, teacher, batch, key)
    (head,), (memory,), (after,) = head, memory, after
    of_examples = {
        train.HintLoss.FITNET: lambda: distillation.fitnet(head, ours, theirs),
        train.HintLoss.VID: lambda: distillation.vid(head, ours, theirs),
        train.HintLoss.ATTENTION: lambda: distillation.attention_transfer(ours, theirs),
    }
    of_batch = {
        train.HintLoss.SIMILARITY: distillation.similarity_preserving,
        train.HintLoss.RKD_DISTANCE: distillation.rkd_distance,
        train.HintLoss.RKD_ANGLE: distillation.rkd_angle,
        train.HintLoss.PKT: distillation.pkt,
    }
    if loss in of_examples:
        want = formulas.mean(np.asarray(of_examples[loss](), np.float64), batch)
    elif loss in of_batch:
        want = of_batch[loss](ours, theirs, batch.mask)
    else:
        want = distillation.crd(head, memory, ours, theirs, batch.index, batch.label, batch.mask, key)[0]
    assert float(got) == pytest.approx(float(want), rel=1e-5)
    assert float(got) > 0
    assert (after is memory) == (loss is not train.HintLoss.CRD)


def test_contrastive_distillation_files_embeddings_under_the_number_of_their_example():
    objective = train.Distil(soft=None, hints=(train.Hint(train.HintLoss.CRD),), teachers=(WIDE,))
    learner, state = toys.start(objective, PLAIN)
    index = np.array([3, 9, 60, 0, 31, 2, -1, -1])
    batch = toys.make_batch(0, masked=2)._replace(index=jnp.asarray(index, jnp.int32))
    after, _ = step(learner, state, batch, HPARAMS, jax.random.key(1))
    before, held = (one.memory["hint_crd"][0] for one in (state, after))
    head = formulas.double(state.heads["hint_crd"][0])
    label = np.full(64, -1)
    label[index[:6]] = batch.label[:6]
    np.testing.assert_array_equal(held.label, label)
    for side, network, seed in (("student", PLAIN, 0), ("teacher", WIDE, 1)):
        embedding = formulas.forward(formulas.double(toys.drawn(network, seed)["params"]), batch.inputs)[0]
        new = formulas.unit(embedding @ head[f"{side}_kernel"] + head[f"{side}_bias"])
        want = np.array(getattr(before, side), np.float64)
        want[index[:6]] = formulas.unit(0.5 * want[index[:6]] + 0.5 * new[:6])
        np.testing.assert_allclose(getattr(held, side), want, atol=1e-5)


@pytest.mark.parametrize(("places", "whose"), [(("stemm", ""), "student"), (("", "bottom"), "teacher")])
def test_a_tap_that_is_not_there_is_named(places, whose):
    objective = train.Distil(hints=(train.Hint(train.HintLoss.FITNET, (places,)),), teachers=(WIDE,))
    with pytest.raises(UserError, match=f"the {whose} has no tap '{''.join(places)}'; it has double, hidden"):
        toys.start(objective, PLAIN)


def test_the_first_teacher_is_looked_into():
    hint = train.Hint(train.HintLoss.FITNET)
    _, state = toys.start(train.Distil(hints=(hint,), teachers=(WIDE, PLAIN)), PLAIN)
    assert state.heads["hint_fitnet"][0]["kernel"].shape == (4, 5)


@pytest.mark.parametrize("loss", [loss for loss in train.HintLoss if loss.of_maps])
def test_of_several_pairs_the_losses_are_added_each_with_a_head_of_its_own(loss):
    student, teacher, batch, key = outputs(0, 4), outputs(1, 6), toys.make_batch(0, masked=2), jax.random.key(2)
    pairs = (("first", "last"), ("last", "first"))
    both = train.Hint(loss, pairs)
    heads, memories = both.init(key, student, teacher, 64)
    assert len(heads) == len(memories) == 2
    if loss in (train.HintLoss.FITNET, train.HintLoss.VID):
        assert all(
            np.any(one != other) for one, other in zip(*map(jax.tree.leaves, heads), strict=True) if one.ndim > 1
        )
    got, _ = both(heads, memories, student, teacher, batch, key)
    each = [
        train.Hint(loss, (pair,))((head,), (memory,), student, teacher, batch, key)[0]
        for pair, head, memory in zip(pairs, heads, memories, strict=True)
    ]
    assert float(got) == pytest.approx(float(each[0]) + float(each[1]), rel=1e-6)
    assert float(each[0]) != pytest.approx(float(each[1]), rel=1e-3)
