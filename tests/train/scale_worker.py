"""One process of `scale_test`: gradients, steps and whole trainings, which it leaves as arrays in a folder.

    python scale_worker.py OUT ROLE [PROCESS PROCESSES PORT]

The devices are those of XLA_FLAGS, times the processes. Roles: `all` is everything, and with several processes ends in
SIGKILL in the middle of a training; `resume` goes on with that.
"""

import dataclasses
import functools
import os
import pathlib
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np

from hsjax import train
from hsjax.dsp import augment
from hsjax.losses import distillation
from hsjax.models import build
from hsjax.train import dispatch, together
from hsjax.train.objectives import Contrast, Contrastive, Distil, Hint, HintLoss, Supervised
from hsjax.train.sources import epoch_order, gather
from hsjax.train.step import gradients
from hsjax.train.views import Change, Views
from hsjax.types import Batch, UserError

# 40 examples in batches of 16: of the last batch half is padding, and so are all the examples of some devices.
SIZE, BATCH, SHAPE, CLASSES = 40, 16, (6, 8), 3
STEPS, EPOCHS = 50, 3
# Compiling takes nearly all the time, so not everything is computed in both precisions and by every layout.
IN_FLOAT32 = ("supervised", "views")
IN_FLOAT64 = ("distil", "views", "moco", "byol")
BY_PROCESSES = ("distil", "views")
HINTS = (HintLoss.SIMILARITY, HintLoss.RKD_DISTANCE, HintLoss.RKD_ANGLE, HintLoss.CRD, HintLoss.FITNET)
VIEWS = Views(
    features=(
        Change(augment.time_shift, (("shift", (-2, 2)),)),
        Change(augment.add_white_noise, (("snr_db", (5.0, 15.0)),), 0.5),
    )
)


class Killed(BaseException):
    """The training stops here."""


def network(width=4):
    sizes = {"stem": width, "stem_kernel": (3, 3), "widths": (width,), "depths": (1,), "strides": ((1, 1),)}
    return build("dscnn", num_classes=CLASSES, **sizes)


@dataclasses.dataclass(frozen=True)
class Several(Contrast):
    """The losses of two views without a target network, in one program: compiling takes most of the time here."""

    def _of(self, first, second, batch, hparams):
        losses = (Contrastive.NT_XENT, Contrastive.SUPCON, Contrastive.BARLOW_TWINS, Contrastive.VICREG)
        return sum(dataclasses.replace(self, loss=loss)._one(first, second, batch, hparams) for loss in losses)

    def _one(self, first, second, batch, hparams):
        return super()._of(first, second, batch, hparams)


def objectives():
    """By name; all with batch norm and dropout."""
    hints = tuple(map(Hint, HINTS))
    return {
        "supervised": Supervised(mix=True),
        "distil": Distil(mix=True, hints=hints, teachers=(network(6),)),
        "views": Several(Contrastive.VICREG, (8, 4), views=VIEWS),
        "moco": Contrast(Contrastive.MOCO, (8, 4), queue=24, views=VIEWS),
        "byol": Contrast(Contrastive.BYOL, (8, 4), 8, views=VIEWS),
    }


def learner(objective, rule=train.Rule.SGD):
    optimizer = train.Optimizer(rule, train.Schedule.COSINE, total_steps=2 * STEPS)
    return train.Learner(network(), objective, optimizer, averages=True)


def constants(rate=0.03):
    weights = {Hint(loss).name: 0.1 for loss in HINTS}
    return train.hparams(learning_rate=rate, temperature=0.5, alpha=0.4, mixup=0.4, ema_decay=0.9, **weights)


def examples(dtype):
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, SIZE).astype(np.int32)
    inputs = (rng.normal(size=(SIZE, *SHAPE)) + label[:, None, None]).astype(np.float32)  # windows are
    ones, logits = np.ones(SIZE, dtype), rng.normal(size=(SIZE, CLASSES)).astype(dtype)
    weight = rng.uniform(0.5, 2, SIZE).astype(dtype)
    return Batch(*map(jnp.asarray, (inputs.astype(dtype), label, ones, weight, logits)))


def common(learner, dtype):
    """What is fixed and a state to begin with, of numbers from NumPy."""
    shape = jax.ShapeDtypeStruct((1, *SHAPE), dtype)

    def begin():
        key = jax.random.key(0)
        fixed = {train.TEACHERS: tuple(net.init(key, shape) for net in getattr(learner.objective, "teachers", ()))}
        return fixed, learner.init(key, shape, constants(), fixed=fixed, examples=SIZE)._replace(fixed={})

    rng = np.random.default_rng(1)

    def values(path, leaf):
        name = jax.tree_util.keystr(path)
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or "opt_state" in name:
            return np.zeros(leaf.shape, leaf.dtype)
        if leaf.ndim > 1:
            return (rng.normal(size=leaf.shape) * np.prod(leaf.shape[:-1]) ** -0.5).astype(leaf.dtype)
        return np.full(leaf.shape, float("scale" in name or "var" in name), leaf.dtype)

    return jax.tree_util.tree_map_with_path(values, jax.eval_shape(begin))


@functools.partial(jax.jit, static_argnums=(0, 1))
def one_gradient(learner, layout, state, fixed, data, index, hparams, key):
    batch = layout.constrain_batch(gather(data, layout.constrain_batch(index)))
    gradient, value, aside = gradients(learner, state._replace(fixed=fixed), batch, hparams, key)
    return layout.constrain_everywhere({"gradient": gradient, "loss": value, "aside": aside})


def by_objective(layout, dtype, keep):
    """Gradients of the batch with padding in float32; in float64 the state after many steps, and all losses."""
    data = layout.everywhere(examples(dtype))
    key = layout.everywhere(jax.random.key(5))
    order = layout.everywhere(epoch_order(jax.random.key(3), 1, size=SIZE, batch_size=BATCH))
    if dtype == jnp.float32:
        names = IN_FLOAT32
    else:
        names = IN_FLOAT64 if jax.process_count() == 1 else BY_PROCESSES
    for name in names:
        its = learner(objectives()[name])
        # A step of `views` is that of four losses.
        hparams = layout.everywhere(constants(3e-4 if name == "views" else 0.03))
        fixed, state = layout.everywhere(common(its, dtype))
        if dtype == jnp.float32:
            keep(f"gradients/{name}", one_gradient(its, layout, state, fixed, data, order[-1], hparams, key))
            continue
        take, losses = dispatch.compiled("one_step"), []
        for _ in range(STEPS):
            state, metrics = take(its, layout, state, fixed, data, order, hparams, key)
            losses.append(float(metrics["loss"]))
        keep(f"steps/{name}", {"state": state, "loss": np.array(losses)})


def reshaped(windows):
    """Features of windows."""
    return jnp.asarray(windows.reshape(-1, *SHAPE), jnp.float64)


def sources():
    """The same examples on the device and streamed."""
    data = examples(jnp.float64)
    on_host = jax.tree.map(np.asarray, data)
    windows = on_host.inputs.astype(np.float32).reshape(SIZE, -1)
    features = train.WindowFeatures(windows, np.arange(SIZE), reshaped)
    return train.OnDevice(data), train.Streamed(on_host._replace(inputs=features))


def validate(logits):
    picked = np.take_along_axis(logits, np.asarray(examples(jnp.float64).label)[:, None], 1)
    return {"score": float(np.mean(picked[:, 0] - logits.mean(1)))}


def member(number, directory):
    logits = examples(jnp.float64).teacher_logits
    rate = (3e-3, 1e-2, 1e-3, 3e-2)[number]
    return train.Member(constants(rate), jax.random.key(20 + number), directory / str(number), logits * (1 + number))


LEARNER = learner(Distil(), train.Rule.ADAM)


def settings(directory, way=train.Dispatch.STEPS, layout=None):
    directory.mkdir(parents=True, exist_ok=True)
    return {
        "epochs": EPOCHS, "batch_size": BATCH, "patience": 0, "select": "score", "directory": directory,
        "dispatch": way, "layout": layout,
    }  # fmt: skip


def fit(source, directory, way=train.Dispatch.STEPS, layout=None, number=0, progress=lambda steps: None):
    its = member(number, directory)
    mine = type(source)(source.data._replace(teacher_logits=its.teacher_logits))
    fitted = train.fit(
        LEARNER, mine, examples(jnp.float64).inputs, validate, hparams=its.hparams, key=its.key, progress=progress,
        **settings(directory, way, layout),
    )  # fmt: skip
    return {"variables": fitted.variables, "epochs": np.array([fitted.best_epoch, fitted.epochs])}


def stops_at(step, kill):
    """A progress callback that ends training within an epoch."""
    done = 0

    def progress(steps):
        nonlocal done
        done += steps
        if done >= step:
            kill()

    return progress


def die():
    raise Killed


def interrupted(*arguments, **options):
    try:
        fit(*arguments, progress=stops_at(2 * EPOCHS + 2, die), **options)
    except Killed:
        return
    raise AssertionError("training was not interrupted")


def compilations():
    """A list that grows with everything XLA compiles."""
    seen = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seen


def trainings(layout, out, keep):
    """Whole trainings, every way."""
    on_device, streamed = sources()
    compiled, after = compilations(), []
    keep("fit/steps", fit(on_device, out / "steps", layout=layout, progress=lambda steps: after.append(len(compiled))))
    # The first call tells how many steps are done already: none. What follows the first epoch's last step is left out:
    # validation.
    first = -(-SIZE // BATCH)
    keep("compiled", {"later": np.array(after[first] - after[1] + len(compiled) - after[first + 1])})
    if layout.data == 8:
        keep("fit/scan", fit(on_device, out / "scan", train.Dispatch.SCAN, layout))
    keep("fit/streamed", fit(streamed, out / "streamed", layout=layout))
    inputs = streamed.data.inputs
    windows = inputs.windows.copy()
    windows[11, 3] = np.nan
    bad = {
        "steps": train.OnDevice(on_device.data._replace(inputs=on_device.data.inputs.at[11].set(jnp.nan))),
        "streamed": train.Streamed(streamed.data._replace(inputs=dataclasses.replace(inputs, windows=windows))),
    }
    for name, source in bad.items():
        try:
            fit(source, out / "bad" / name, layout=layout)
        except UserError as error:
            keep(f"bad/{name}", {"said": np.array(str(error))})


def members(layout, count, out, keep, way):
    """Members over devices."""
    on_device, _ = sources()
    several = [member(number, out) for number in range(count)]
    for one in several:
        one.directory.mkdir(parents=True, exist_ok=True)
    made = together.fit_together(
        LEARNER, on_device, examples(jnp.float64).inputs, validate, several, **settings(out, way, layout)
    )
    for number, fitted in enumerate(made):
        epochs = np.array([fitted.best_epoch, fitted.epochs])
        keep(f"{out.name}/{number}", {"variables": fitted.variables, "epochs": epochs})


def swept(out, keep):
    """Members as a run trains them, who would train beside each other if no other process shared their batches."""
    on_device, _ = sources()
    several = [member(number, out) for number in range(2)]
    for one in several:
        one.directory.mkdir(parents=True, exist_ok=True)
    its = {name: value for name, value in settings(out).items() if name != "layout"}

    def finish(number, fitted):
        epochs = np.array([fitted.best_epoch, fitted.epochs])
        keep(f"swept/{number}", {"variables": fitted.variables, "epochs": epochs})

    inputs = examples(jnp.float64).inputs
    train.sweep(LEARNER, on_device, inputs, validate, several, finish, lanes=2, **its)


def main(out, role, process=0, processes=1, port=0):
    distillation.crd = functools.partial(distillation.crd, negatives=32)
    if processes > 1:
        jax.distributed.initialize(f"localhost:{port}", processes, process)
    devices, held = jax.devices(), {}

    def keep(name, tree):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            value = leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf
            held[f"{name}{jax.tree_util.keystr(path)}"] = np.asarray(value)

    layout = train.Layout.over(devices)
    if role == "all":
        by_objective(layout, jnp.float32, keep)
        jax.config.update("jax_enable_x64", True)
        by_objective(layout, jnp.float64, keep)
        trainings(layout, out, keep)
        on_device, _ = sources()
        if len(devices) == 1:
            for number in range(1, 4):
                keep(f"members/{number}", fit(on_device, out / "alone" / str(number), number=number))
        elif processes == 1:
            members(train.Layout.over(devices, 4), 4, out / "members", keep, train.Dispatch.SCAN)
            one = train.Layout()
            for name, before, after in (("fewer", layout, one), ("more", one, layout)):
                interrupted(on_device, out / name, layout=before)
                keep(f"fit/{name}", fit(on_device, out / name, layout=after))
        else:
            members(train.Layout.over(devices, 2), 2, out / "members", keep, train.Dispatch.STEPS)
            swept(out / "swept", keep)
    else:
        jax.config.update("jax_enable_x64", True)
        on_device, _ = sources()
        keep("fit/resumed", fit(on_device, out / "killed", layout=layout))
    np.savez(out / f"{role}-{process}.npz", **held)
    if role == "all" and processes > 1:
        kill = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
        fit(on_device, out / "killed", layout=layout, progress=stops_at(2 * EPOCHS + 2, kill))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
