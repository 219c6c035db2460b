"""Numbers, arrays and texts as C writes them."""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

_WIDTH = 116

# By NumPy's name of the type: C's, and how a value is written.
_TYPES = {
    "float32": ("float", lambda value: real(value)),
    "int8": ("int8_t", str),
    "uint8": ("uint8_t", str),
    "int16": ("int16_t", str),
    "uint16": ("uint16_t", str),
    "int32": ("int32_t", str),
    "int64": ("int64_t", lambda value: f"INT64_C({value})"),
}


def real(value: float) -> str:
    """A float literal that is read as this very float32."""
    digits = np.format_float_positional(np.float32(value), unique=True, trim="0")
    return f"{np.format_float_scientific(np.float32(value), unique=True) if len(digits) > 14 else digits}f"


def text(value: str) -> str:
    """A string literal, of ASCII characters; no trigraph comes about."""
    plain = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in value.encode("utf-8")
    )
    return f'"{"".join(plain)}"'


def array(name: str, values: Shaped[np.ndarray, "..."], sizes: Sequence[str] = ()) -> str:
    """The definition of a constant array, of the C type that is the NumPy one.

    Args:
      name: of the array.
      values: of one or two dimensions.
      sizes: of each dimension as they are to be written, names of constants for instance; numbers by default.
    """
    type_name, write = _TYPES[values.dtype.name]
    dimensions = "".join(f"[{size}]" for size in sizes or values.shape)
    rows = values[None] if values.ndim == 1 else values
    written = [_wrapped(", ".join(map(write, row.tolist()))) for row in rows]
    body = written[0] if values.ndim == 1 else ",\n".join(f"  {{\n{row}\n  }}" for row in written)
    return f"static const {type_name} {name}{dimensions} = {{\n{body}\n}};\n"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
