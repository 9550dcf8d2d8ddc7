"""Packages of hosts that are too heavy to be installed with what they need: the code alone, beside ours.

The variable MEDBUNDLES_HOSTS names a folder of them, which this fills:

    pip install --no-deps --target FOLDER monai-deploy-app-sdk==4.0.0 monailabel==0.8.5
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

VARIABLE = "MEDBUNDLES_HOSTS"
HOW = f"pip install --no-deps --target FOLDER {{}}, and {VARIABLE}=FOLDER"


class Stub(ModuleType):
    """A module that is not there: whatever is taken out of it by name is an empty class."""

    __all__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": lambda self, *args, **kwargs: None})
        setattr(self, name, made)
        return made


class Stubs(MetaPathFinder, Loader):
    """Finds packages that a host needs and a test does not, with all that is below them."""

    def __init__(self, *packages: str):
        self.packages = packages

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in self.packages else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Stub(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


def host(module: str, package: str, without: tuple[str, ...], patch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module of a host's package, or skip the test.

    The packages around it are not initialised, as that would import all of their other modules, but for the outermost.

    Args:
        module: its name.
        package: what pip calls the package that has it.
        without: packages that it needs and the test does not.
        patch: undoes all of it.
    """
    folder = os.environ.get(VARIABLE, "")
    if not folder or not Path(folder, *module.split(".")).with_suffix(".py").is_file():
        pytest.skip(f"{package} is not there: {HOW.format(package)}")
    top, *names = module.split(".")[:-1]
    patch.setattr(sys, "meta_path", [*sys.meta_path, Stubs(*without)])
    patch.syspath_prepend(folder)
    outer, place = importlib.import_module(top), Path(folder, top)
    if str(place) not in outer.__path__:  # a package that extends another one's, as monai.deploy does
        patch.setattr(outer, "__path__", [*outer.__path__, str(place)])
    for name in names:
        place, top = place / name, f"{top}.{name}"
        if top not in sys.modules:
            inner = ModuleType(top)
            inner.__path__ = [str(place)]
            patch.setitem(sys.modules, top, inner)
    found = importlib.import_module(module)
    for name in [name for name, there in sys.modules.items() if isinstance(there, Stub)]:
        del sys.modules[name]  # who took something out of it has it, and other tests find that it is not installed
    return found
