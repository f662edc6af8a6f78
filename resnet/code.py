"""Code from outside this project, named `module:function`: found, loaded, and blamed for its errors by file and line.

The current folder is searched first, as `python -m` does, then the installed packages. The standard library alone: the
parent looks code up (`find_code`) without running it; a child loads it where a command line, a plan or Python names it.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from resnet.names import outside_parts

# Environment variable with the folders to search for code instead of the current one, for a child that runs elsewhere.
FOLDERS = "RESNET_BENCH_FOLDERS"
OURS = Path(__file__).resolve().parent.parent
OUR_ROOMS = ("bench", "kernels", "resnet")


class CodeError(ValueError):
    """Code from outside that cannot be used; the message is a sentence that names its file, for its author."""


class Unserved(ValueError):
    """A combination of precision, launch and device that a variant does not serve, or a package that is missing."""


@dataclass(frozen=True)
class Code:
    """A function from outside. `digest` is the SHA-256 of its module's file, `version` the module's or its package's.

    `arguments` are those behind its name, as Python values.
    """

    name: str
    function: Callable[..., Any]
    file: Path
    digest: str
    version: str
    arguments: dict[str, Any]

    @property
    def where(self) -> str:
        """The function's file and line, `mymodule.py:12`."""
        line = getattr(getattr(self.function, "__code__", None), "co_firstlineno", 1)
        return f"{self.file.name}:{line}"


_authors: set[Path] = set()  # the folders of loaded code, and of single-file modules the folder that they are in


def folders() -> list[str]:
    """Return the folders that are searched before the installed packages, which are the current one unless told."""
    named = os.environ.get(FOLDERS)
    if named and not os.path.isdir(named):  # one folder may have the separator in its name
        return named.split(os.pathsep)
    return [named or str(Path.cwd())]


def find_code(name: str) -> str | None:
    """Return why there is no module of this name from outside, as a sentence, or None where there is. Runs no code."""
    module = outside_parts(name)[0]
    spec, room = _find(module), module.partition(".")[0]
    if spec is not None and room in OUR_ROOMS and not Path(spec.origin or "").resolve().is_relative_to(OURS / room):
        return _taken(room, spec)
    if spec is not None:
        return None
    if "/" in module or module.endswith(".py"):
        file = Path(module)
        where = f" in the folder {file.parent}" if file.is_absolute() or ".." in file.parts else ""
        dotted = file.stem if where else ".".join(file.with_suffix("").parts)
        return (
            f"{module} is a file's name: write the module's, as `python -m` has it, "
            f"{dotted}:{outside_parts(name)[1]}{where}"
        )
    short = Path(*Path(folders()[0]).parts[-2:]).as_posix().lstrip("/")  # a record has no path of a machine
    return f"there is no module {module} in the folder .../{short} or among the installed packages"


def load_code(name: str) -> Code:
    """Import the module of a name from outside, and return its function. Raises CodeError, and what the module raises.

    A folder that has the module is put in front of sys.path, because what the module imports lies beside it.
    """
    module_name, path, arguments = outside_parts(name)
    reason = find_code(name)
    if reason:
        raise CodeError(reason)
    for room in OUR_ROOMS:  # before a folder that may have modules of these names
        importlib.import_module(room)
    folder = next((folder for folder in folders() if _find(module_name.partition(".")[0], [folder])), None)
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    spec = _find(module_name)
    assert spec
    file = Path(spec.origin or "")
    _authors.add(_top_folder(module_name, file))
    try:
        value: Any = importlib.import_module(module_name)
    except ImportError as error:
        room = (error.name or "").partition(".")[0]
        theirs = _find(room, [folder]) if room in OUR_ROOMS and folder else None
        if not theirs:
            raise
        raise CodeError(f"{file.name} imports {room}, and {_taken(room, theirs)}") from error
    file = Path(getattr(value, "__file__", None) or file)
    version = str(getattr(value, "__version__", "") or _package_version(module_name))
    for part in path.split("."):
        if not hasattr(value, part):
            raise CodeError(f"{file.name} has no {path}: {module_name}:NAME, of {_callables(module_name)}")
        value = getattr(value, part)
    if not callable(value):
        raise CodeError(f"{path} in {file.name} is of type {type(value).__name__}, which cannot be called")
    digest = sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return Code(name, value, file, digest, version, {key: value_of(text) for key, text in arguments.items()})


def _taken(room: str, theirs: ModuleSpec) -> str:
    return f"{room} is a package of this project: {Path(theirs.origin or room).name} needs another name"


def blame(error: BaseException) -> str | None:
    """Return the last line of loaded code from outside that an exception went through, `mymodule.py:12`, or None."""
    if isinstance(error, SyntaxError) and error.filename and _is_theirs(error.filename):
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None


def _find(module: str, path: Sequence[str] | None = None) -> ModuleSpec | None:
    """Return where a module is, looked up in `path` or the folders and sys.path, without importing its packages."""
    spec: ModuleSpec | None = None
    search: Sequence[str] | None = path or [*folders(), *sys.path]
    parts = module.split(".")
    for count, part in enumerate(parts, 1):
        # by its last name: of a folder in a folder it would ask for the outer
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return None
        search = spec.submodule_search_locations
        if search is None and count < len(parts):
            return None
    return spec


def _top_folder(module: str, file: Path) -> Path:
    """Return the folder of the module's outermost package, or the folder that a single file is in."""
    depth = module.count(".") + (file.name == "__init__.py")
    return file.resolve().parents[max(0, depth - 1)]


def _is_theirs(filename: str) -> bool:
    file = Path(filename).resolve()
    if any(file.is_relative_to(OURS / room) for room in OUR_ROOMS):
        return False
    return any(
        file.is_relative_to(folder) and "site-packages" not in file.relative_to(folder).parts for folder in _authors
    )


def _callables(module: str) -> str:
    """Return the names of the functions and classes that a loaded module defines."""
    content = vars(sys.modules[module])
    names = [name for name, value in content.items() if getattr(value, "__module__", "") == module and callable(value)]
    return ", ".join(names) or "which there are none"


def _package_version(module: str) -> str:
    from importlib import metadata  # takes as long to import as all that the parent looks up here

    top = module.partition(".")[0]
    names = metadata.packages_distributions().get(top, [])
    return metadata.version(names[0]) if names else ""


def value_of(text: str) -> Any:
    """Return an argument's value: a Python literal, also `true`, `false` and `none`, else the text itself."""
    try:
        return ast.literal_eval(text.capitalize() if text in ("true", "false", "none") else text)
    except (ValueError, SyntaxError):
        return text
