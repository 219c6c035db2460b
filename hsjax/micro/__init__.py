"""Exported int8 models on microcontrollers: TFLite Micro's own interpreter, and C code for a model and its front end.

`front_end_file.write` is what the export stage leaves for it, `generate.generate` makes the code. What runs a model
imports no jax.
"""

from hsjax.micro.session import Arena, MicroSession

__all__ = ["Arena", "MicroSession"]
