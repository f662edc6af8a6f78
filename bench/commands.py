"""The commands that messages print: each can be pasted as it is, for the interpreter and the code that are running."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "resnet_bench"  # as the folder of an installed one begins


def command_line(*words: object) -> str:
    """Return a command of `bench` with these words, quoted for a shell: `.venv/bin/bench report 'my results'`."""
    return shlex.join((*_program(), *map(str, words)))


def _program() -> list[str]:
    """Return the shortest words that start this code with this interpreter from the current folder."""
    script = Path(sys.executable).with_name("bench")
    if script.is_file() and (_is_same(sys.argv[0], script) or _installed_is_this_code()):
        return ["bench" if _is_same(shutil.which("bench"), script) else _from_here(script)]
    # not `samefile`: an environment's interpreter is a link to the system's, which has other packages
    python = "python" if shutil.which("python") == sys.executable else _from_here(Path(sys.executable))
    return [python, "-m", "bench"]


def _is_same(name: str | None, script: Path) -> bool:
    with suppress(OSError):
        return bool(name) and os.path.samefile(str(name), script)
    return False


def _installed_is_this_code() -> bool:
    """Return whether the project that this interpreter's environment has installed is the code that is running."""
    import sysconfig  # takes as long to import as all of this module

    packages = sysconfig.get_path("purelib")
    if Path(packages).resolve() == ROOT:
        return True
    for record in Path(packages).glob(f"{PROJECT}-*.dist-info/direct_url.json"):
        with suppress(OSError, ValueError, AttributeError):  # a damaged entry
            url = urlsplit(json.loads(record.read_text()).get("url", ""))
            return url.scheme == "file" and Path(unquote(url.path)).resolve() == ROOT
    return False


def _from_here(program: Path) -> str:
    """Return a program's path, relative to the current folder where that is around it."""
    with suppress(OSError, ValueError):  # the current folder was removed, or is elsewhere
        below = program.relative_to(Path.cwd())
        return str(below) if len(below.parts) > 1 else f"./{below}"
    return str(program)
