"""Where the time of a training step goes: what `training.py --profile WORK` prints.

As a script it is the process that measures: `python tests/benchmarks/step_profile.py WORK CORES`. First the step built
up part by part, in both forms of our layers and in PyTorch; then our step's operations as XLA has compiled them, and
PyTorch's.
"""

import collections
import pathlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))

_REPETITIONS, _TRACED, _SHOWN = 9, 3, 25


def main(name: str, cores: int) -> None:
    from tests.benchmarks.training import prepare, setting

    prepare(cores)
    from hsjax.models import Form
    from tests.benchmarks import steps

    work = steps.WORKS[name]
    print(f"{name}, batch {work.batch}, {setting(cores)}: median milliseconds up to and with\n")
    parts = {f"hsjax, {form.value}": _our_parts(work, form) for form in (Form.FAST, Form.PLAIN)}
    parts["torch"] = _their_parts(work)
    columns = next(iter(parts.values()))
    print(" " * 14 + "".join(f"{column:>20}" for column in columns))
    for side, runs in parts.items():
        print(f"{side:14}" + "".join(f"{1e3 * _median(run):20.2f}" for run in runs.values()), flush=True)
    ours = steps.Ours(work)
    ours.run(2)
    print(f"\nOperations of our step, milliseconds each step (of {_TRACED} traced), and what asked for them\n")
    for operation, milliseconds, source in _our_operations(ours, work):
        print(f"{milliseconds:10.3f}  {operation:34} {source}")
    print("\nOperations of PyTorch's step\n")
    print(_their_operations(steps.Theirs(work)))


def _median(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(_REPETITIONS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _our_parts(work, form) -> dict[str, Callable[[], object]]:
    import jax

    from hsjax.train.objectives import Parts
    from tests.benchmarks import steps

    learner, hparams, key = work.learner(form), steps.hparams(), jax.random.key(0)
    batch = steps.batch_of(work, *work.examples(work.batch))
    variables = learner.network.init(key, batch.inputs)
    params = variables.pop("params")

    def loss(params):
        parts = Parts(variables | {"params": params}, {}, {}, {})
        return learner.objective(learner.network, parts, batch, hparams, key)[0]

    evaluated = jax.jit(lambda p: learner.network.apply(variables | {"params": p}, batch.inputs)[0].logits)
    forward, gradient = jax.jit(loss), jax.jit(jax.value_and_grad(loss))
    step = steps.Ours(work, form)
    return {
        "forward, evaluation": lambda: jax.block_until_ready(evaluated(params)),
        "forward and loss": lambda: jax.block_until_ready(forward(params)),
        "backward": lambda: jax.block_until_ready(gradient(params)),
        "update": lambda: step.run(1),
    }


def _their_parts(work) -> dict[str, Callable[[], object]]:
    import torch

    from tests.benchmarks import steps

    device = "cuda" if torch.cuda.is_available() else "cpu"
    inputs, label = work.examples(work.batch)
    network = work.peer(work.num_classes).to(device)
    x, y = torch.from_numpy(work.theirs(inputs)).to(device), torch.from_numpy(label).long().to(device)

    def synchronised(run: Callable[[], object]) -> Callable[[], object]:
        def both():
            run()
            if device == "cuda":
                torch.cuda.synchronize()

        return both

    def evaluated():
        network.eval()
        with torch.inference_mode():
            network(x)

    def forward():
        return steps.torch_loss(network.train()(x), y)

    def backward():
        network.zero_grad(set_to_none=True)
        forward().backward()

    step = steps.Theirs(work)
    return {
        "forward, evaluation": synchronised(evaluated),
        "forward and loss": synchronised(forward),
        "backward": synchronised(backward),
        "update": lambda: step.run(1),
    }


def _our_operations(ours, work) -> list[tuple[str, float, str]]:
    """The longest: name in the compiled program, milliseconds a step, and the JAX operations behind it."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            ours.run(_TRACED)
        trace = next(pathlib.Path(folder).rglob("*.xplane.pb"))
        planes = list(jax.profiler.ProfileData.from_file(str(trace)).planes)
    sources = _sources(ours.compiled_text())
    spent: collections.Counter[str] = collections.Counter()
    for plane in planes:
        for line in plane.lines:
            for event in line.events:
                if event.name in sources:
                    spent[event.name] += event.duration_ns
    return [(name, time / _TRACED / 1e6, sources[name]) for name, time in spent.most_common(_SHOWN)]


def _sources(program: str) -> dict[str, str]:
    """Of every instruction of an HLO text, the name of the JAX operation it comes from."""
    name_of = re.compile(r'op_name="[^"/]*/([^"]*)"')
    bodies = {
        match[1]: name_of.findall(match[2])
        for match in re.finditer(r"^(?:ENTRY )?%([\w.-]+) \(.*?\{$(.*?)^\}", program, re.MULTILINE | re.DOTALL)
    }
    sources = {}
    for name, rest in re.findall(r"^\s+(?:ROOT )?%([\w.-]+) = (.*)$", program, re.MULTILINE):
        called = re.search(r"calls=%([\w.-]+)", rest)
        # A fusion may say nothing of itself, but its last operation does.
        own = name_of.findall(rest) or (bodies[called[1]] if called else [])
        sources[name] = own[-1] if own else ""
    return sources


def _their_operations(theirs) -> str:
    from torch.profiler import ProfilerActivity, profile

    theirs.run(2)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        theirs.run(_TRACED)
    return profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=_SHOWN, max_name_column_width=50)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
