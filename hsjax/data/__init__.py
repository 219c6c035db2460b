"""Distributions to recordings to examples and their split. NumPy and SciPy only, never jax."""
