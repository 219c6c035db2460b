"""Packages that only export needs."""

import importlib
import types

from hsjax.types import UserError


def required(module: str, package: str | None = None) -> types.ModuleType:
    """Imports a module.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'{package or module} is not installed: pip install "hsjax[export]"') from error
