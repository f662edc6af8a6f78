"""The identity of a module's code: what else than weights makes its answer, for the keys of cached files and records.

Equal weights do not make equal models: a stride, an activation or an edited `forward` changes the answer and no tensor.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

PLAIN = (bool, int, float, str, tuple, type(None))  # attributes whose text says their value
VERSIONED = ("torch", "timm", "torchvision")  # their code is known by their version


def identity(model: nn.Module, builders: Iterable[str] = ()) -> str:
    """Return a digest of all that a model computes with beside its weights.

    It is of each module's class and plain attributes, of the source of their classes with all that it imports and that
    is no installed package's, and of the versions of those packages. `builders` are further modules, by name.
    """
    total = hashlib.sha256(code_digest(model, builders).encode())
    for name, module in model.named_modules():
        kind = type(module)
        plain = {k: v for k, v in vars(module).items() if isinstance(v, PLAIN) and k != "training"}
        # the addresses of objects differ from process to process
        attributes = re.sub(r" at 0x[0-9a-f]+", "", str(sorted(plain.items(), key=str)))
        total.update(f"{name} {kind.__module__}.{kind.__qualname__} {attributes}\n".encode())
        package = kind.__module__.partition(".")[0]
        total.update(f"{package} {getattr(sys.modules.get(package), '__version__', '')}".encode())
    return total.hexdigest()[:16]


def code_digest(model: nn.Module, builders: Iterable[str] = ()) -> str:
    """Return a digest of the source files that no package's version tells, or "" where there are none."""
    modules = {kind.__module__ for module in model.modules() for kind in type(module).__mro__}
    files = sorted({path for name in [*modules, *builders] for path in _reached(name)})
    if not files:
        return ""
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()[:16]


def _reached(start: str) -> set[Path]:
    """Return the files of a module and of those that its names come from, without installed packages'."""
    files: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = _source_of(sys.modules.get(name))
        if path is not None and name not in files:
            files[name] = path
            waiting += [*_named_in(sys.modules[name]), *_imported_in(sys.modules[name], path)]
    return set(files.values())


def _named_in(module: ModuleType) -> Iterator[str]:
    inside = f"{module.__name__}."  # a package has all of its modules that anyone has loaded
    for value in list(vars(module).values()):
        name: Any = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and not (isinstance(value, ModuleType) and name.startswith(inside)):
            yield name


def _imported_in(module: ModuleType, path: Path) -> Iterator[str]:
    """Yield the modules that a source names in imports, also of numbers, which do not say where they come from."""
    package = module.__package__ or ""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _source_of(module: ModuleType | None) -> Path | None:
    """Return the file of a module's source; None for what has none, is installed, or has a version."""
    if module is None or module.__name__.partition(".")[0] in VERSIONED or not getattr(module, "__file__", None):
        return None
    path = Path(str(module.__file__))
    installed = {"site-packages", "dist-packages"} & set(path.parts) or any(map(path.is_relative_to, _library()))
    return None if installed or path.suffix != ".py" or not path.is_file() else path


@cache
def _library() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[key] for key in ("stdlib", "platstdlib"))
