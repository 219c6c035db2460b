"""Lies that a model file's own format allows: one field of its graph says something else, and the file is written anew.

Random bytes mostly break the flatbuffer or the protocol buffer around a graph, which the runtimes verify. What they
trust is what the graph says: shapes, types, indices of tensors and buffers, counts of scales, options of operators.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_NUMBERS = (-(2**31), -1000, -2, -1, 0, 1, 2, 3, 4, 7, 16, 17, 100, 255, 1000, 65_536, 10**6, 2**30, 2**31 - 1)
_FLOATS = (0.0, -1.0, 1e-40, 1e-9, 1.0, 1e30, float("inf"), float("nan"))
_MOST_VALUES = 64  # longer vectors are weights, whose values harm nobody

Change = Callable[[], None]


def tflite(content: bytes, rng: random.Random) -> bytes:
    """A TFLite model of which one to three fields have been changed."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(list(_of_tree(model, rng)))()
    try:
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
    except (TypeError, ValueError, AttributeError, OverflowError, AssertionError):
        return content[: rng.randrange(len(content))]  # a field that has no such value: cut the file instead


def _of_tree(parent: Any, rng: random.Random) -> Iterator[Change]:
    """Every change that can be made to a field of a flatbuffer's objects, drawn at random for each."""
    for name, value in vars(parent).items():
        put = _setter(parent, name)
        if isinstance(value, list):
            yield from _of_list(value, rng)
        elif isinstance(value, np.ndarray):
            if value.size <= _MOST_VALUES:
                yield lambda value=value, put=put: put(_other_array(value, rng))
        elif isinstance(value, bool | int | float):
            yield lambda value=value, put=put: put(_other_number(value, rng))
        elif isinstance(value, bytes):
            yield lambda value=value, put=put: put(rng.choice((b"", value * 2, rng.randbytes(8), None)))
        elif value is not None:
            yield from _of_tree(value, rng)
            yield lambda put=put: put(None)


def _setter(parent: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(parent, name, value)


def _of_list(values: list, rng: random.Random) -> Iterator[Change]:
    def edit() -> None:
        position = rng.randrange(len(values) + 1)
        if values and rng.random() < 0.5:
            del values[position:]
        elif values:
            values.insert(position, rng.choice(values))
            rng.shuffle(values)

    yield edit
    for value in values:
        if hasattr(value, "__dict__"):
            yield from _of_tree(value, rng)


def _other_array(value: np.ndarray, rng: random.Random) -> np.ndarray:
    size = rng.choice((0, value.size, value.size, value.size + 1, 2 * value.size))
    changed = np.resize(value, size) if value.size else np.zeros(size, value.dtype)
    if size:
        changed[rng.randrange(size)] = _fitting(_other_number(value.dtype.type(0).item(), rng), value.dtype)
    return changed


def _fitting(number: float, dtype: np.dtype) -> float:
    return number if dtype.kind == "f" else int(np.clip(number, np.iinfo(dtype).min, np.iinfo(dtype).max))


def _other_number(value: float, rng: random.Random) -> float:
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return rng.choice(_FLOATS)
    return rng.choice((*_NUMBERS, value + 1, value - 1, 2 * value, rng.randrange(160)))


def onnx(content: bytes, rng: random.Random) -> bytes:
    """An ONNX model of which one to three fields have been changed."""
    import onnx as library

    model = library.load_from_string(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        try:
            rng.choice(list(_of_message(model, rng)))()
        except ValueError:  # a field that has no such value: take it away instead
            model.graph.node.pop(rng.randrange(len(model.graph.node)))
    return model.SerializeToString()


def _of_message(message: Any, rng: random.Random) -> Iterator[Change]:
    """Every change that can be made to a field of a protocol buffer, drawn at random for each."""
    for field, value in message.ListFields():
        many = not isinstance(value, bool | int | float | str | bytes) and not hasattr(value, "ListFields")
        yield lambda field=field: message.ClearField(field.name)
        if field.type == field.TYPE_MESSAGE:
            for one in value if many else (value,):
                yield from _of_message(one, rng)
            if many:
                yield lambda value=value: value.append(rng.choice(value)) if len(value) else None
                yield lambda value=value: value.pop(rng.randrange(len(value))) if len(value) else None
        elif many:
            if len(value) <= _MOST_VALUES:
                yield lambda value=value: _edit(value, rng)
        elif field.name != "raw_data" or len(value) <= 8 * _MOST_VALUES:
            yield lambda field=field, value=value: setattr(message, field.name, _other(value, rng))


def _edit(values: Any, rng: random.Random) -> None:
    """One element of a repeated field becomes another, is doubled or gone."""
    if not len(values):
        return
    position, action = rng.randrange(len(values)), rng.random()
    if action < 0.2:
        values.pop(position)
    elif action < 0.4:
        values.append(values[position])
    else:
        values[position] = _other(values[position], rng) if action < 0.7 else rng.choice(list(values))


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str):
        return rng.choice(("", value + "x", "../" * 8 + "etc/passwd", "MatMul", "Loop", "Gather", "Conv", "input"))
    if isinstance(value, bytes):
        return rng.choice((b"", value[:-1], value * 2, rng.randbytes(len(value))))
    number = _other_number(value, rng)
    return number if isinstance(value, float) else max(0, min(number, 2**31 - 1)) if rng.random() < 0.5 else number
