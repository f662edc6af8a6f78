"""Kernels compiled beforehand, in one file: made on a machine without a GPU, used on one that is rented.

A tar archive. Its first member, `head.json`, says what made it and what it holds. Behind it are parts, `0000.tar.xz`
and so on, each of some kernels: folders of Triton's cache, named by the keys that Triton finds them by, without what
nothing here reads. Kernels are much alike, so those of a part are compressed together.
"""

from __future__ import annotations

import ast
import fcntl
import io
import json
import lzma
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from kernels.cards.files import open_atomic
from kernels.kinds import KINDS

VARIABLE = "RESNET_BENCH_BUNDLE"  # names the file that a process is to use

SCHEMA = 1
LIMIT = 30_000_000  # bytes of a bundle
PART = 64  # kernels in a part
HEAD = "head.json"
# What a launch needs (code, how it is launched, the launcher's own library), what was read off the code, and what that
# can be read from again.
KEPT = (".cubin", ".json", ".so", ".emitted", ".ptx", ".ttir")
GROUP = "__grp__"  # Triton's list of a folder's files: absolute paths, so it is written where they are unpacked
PACKAGE = Path(__file__).parents[1]


def sources() -> list[Path]:
    """The files that kernels are made of: the modules that compute a layer, and what they import of this package.

    What is compiled is of these files, and so is what was measured. How configurations are ranked is not among them.
    """
    waiting = {name for row in KINDS.values() for name in row.kernels.values()}
    files: set[Path] = set()
    while waiting:
        path = PACKAGE.parent.joinpath(*waiting.pop().split(".")).with_suffix(".py")
        if path.is_file() and path not in files:
            files.add(path)
            waiting |= _imports(path)
    return sorted(files)


def _imports(path: Path) -> set[str]:
    """Names that a file's own lines import from this package; modules, and what is in them, which is no file."""
    names = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith(f"{PACKAGE.name}.")}


@cache
def code() -> str:
    """Eight digits of what the kernels are made of."""
    return sha256(b"".join(path.read_bytes() for path in sources())).hexdigest()[:8]


@dataclass(frozen=True)
class Maker:
    """What compiled: where it is another, Triton does not find what a bundle holds, or what it finds does not fit.

    `key` is Triton's own, of its sources and its compiler's library; `sources` a digest of those that compile, keep and
    launch. `arch` is the compute capability as 90.
    """

    python: str
    triton: str
    ptxas: str
    platform: str
    arch: int
    key: str
    sources: str

    def refuses(self, here: Maker) -> str:
        """Why what this made cannot be used by `here`; empty where it can.

        Another build of the library is none: the code is finished, and what launches it is Triton's Python sources.
        """
        for name in ("python", "triton", "arch", "ptxas", "platform"):
            made, found = getattr(self, name), getattr(here, name)
            if made != found and name == "arch":
                return f"it is for sm_{made}, and this is sm_{found}"
            if made != found:
                return f"it was made with {name} {made}, and here is {found}"
        return (
            "" if self.sources == here.sources else f"it was made by another triton {self.triton}: its sources differ"
        )


class Bundle:
    """A bundle that is being made. On disk it is whole at all times: `save` writes another and renames it."""

    def __init__(self, path: Path, maker: Maker, about: dict[str, Any]) -> None:
        """Goes on with the file that is there, if the same maker made it of the same kernels; else begins anew."""
        self.path, self.maker, self.about = path, maker, about
        self.parts: list[bytes] = []
        self.layers: dict[str, list[str]] = {}
        self.keys: set[str] = set()
        self.waiting: list[Path] = []
        self.old = ""  # why what is there is not gone on with
        if not path.exists():
            return
        head = read(path)
        self.old = maker_of(head).refuses(maker)
        if not self.old and maker_of(head) != maker:
            self.old = "another build of the compiler's library made it"
        if not self.old and head["code"] != code():
            self.old = "its kernels are of other sources"
        if not self.old:
            self.layers, self.parts = head["layers"], list(_parts(path))
            with ThreadPoolExecutor() as pool:
                self.keys = {key for keys in pool.map(_keys, self.parts) for key in keys}

    def add(self, layer: str, config: str, folders: Iterable[Path]) -> None:
        """A candidate, and the folders of its kernels in Triton's cache; many share theirs."""
        self.layers.setdefault(layer, [])
        if config not in self.layers[layer]:
            self.layers[layer].append(config)
        self.carry(folders)

    def carry(self, folders: Iterable[Path]) -> None:
        """What is in Triton's cache, once. When a part is full, it is saved."""
        for folder in folders:
            if folder.name not in self.keys:
                self.keys.add(folder.name)
                self.waiting.append(folder)
        if len(self.waiting) >= PART:
            self.save()

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    def save(self) -> None:
        """Raises OSError; the file is then as it was."""
        if self.waiting:
            self.parts.append(_packed(self.waiting))
            self.waiting = []
        head = {"schema": SCHEMA, "maker": asdict(self.maker), "code": code(), "kernels": len(self.keys)}
        with open_atomic(self.path) as opened, tarfile.open(fileobj=opened, mode="w") as file:
            _member(file, HEAD, json.dumps(head | self.about | {"layers": self.layers}, indent=1).encode())
            for number, part in enumerate(self.parts):
                _member(file, f"{number:04}.tar.xz", part)


def read(path: Path) -> dict[str, Any]:
    """The head of a bundle. Raises OSError, and ValueError for a file that is none."""
    try:
        with tarfile.open(path, "r:") as file:
            first = file.next()
            found = file.extractfile(first) if first and first.name == HEAD else None
            if found is None:
                raise ValueError("it does not begin with a head")
            head: dict[str, Any] = json.loads(found.read())
        if head["schema"] != SCHEMA:
            raise ValueError(f"schema {head['schema']}, and this version reads {SCHEMA}")
        maker_of(head)
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a bundle of kernels: {error}") from None
    return head


def maker_of(head: dict[str, Any]) -> Maker:
    return Maker(**head["maker"])


def unpacked(path: Path, below: Path) -> Path:
    """The folder of a bundle's kernels, below `below`: unpacked once, however many processes ask. Raises OSError."""
    with path.open("rb") as file:
        folder = below / file_digest(file, "sha256").hexdigest()[:24]
    if folder.exists():
        return folder
    below.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        making = Path(tempfile.mkdtemp(dir=below, prefix=".making-"))
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda part: _spread(part, making, folder), _parts(path)))
            making.rename(folder)
        except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
            raise OSError(f"damaged: {error}") from error
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder


def _parts(path: Path) -> Iterator[bytes]:
    with tarfile.open(path, "r:") as file:
        for member in file:
            found = file.extractfile(member) if member.name != HEAD else None
            if found is not None:
                yield found.read()


def _keys(part: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(part), mode="r:xz") as file:
        return {name.partition("/")[0] for name in file.getnames()}


def _packed(folders: list[Path]) -> bytes:
    """One kind of file after the other: the more alike neighbours are, the smaller they become."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as file:
        for suffix in KEPT:
            for folder in folders:
                for found in sorted(folder.glob(f"*{suffix}")):
                    if not found.name.startswith(GROUP):
                        _member(file, f"{folder.name}/{found.name}", found.read_bytes())
    return data.getvalue()


def _spread(part: bytes, making: Path, folder: Path) -> None:
    """Unpacks a part into `making`, which is to become `folder`, and gives Triton its lists of files."""
    with tarfile.open(fileobj=io.BytesIO(part), mode="r:xz") as file:
        names = file.getnames()
        file.extractall(making, filter="data")
    by_key: dict[str, list[str]] = {}
    for name in names:
        key, _, own = name.partition("/")
        if not own.endswith((".so", ".emitted")):
            by_key.setdefault(key, []).append(own)
    for key, files in by_key.items():
        group = {"child_paths": {name: str(folder / key / name) for name in files}}
        for name in files:
            if name.endswith(".json"):
                (making / key / f"{GROUP}{name}").write_text(json.dumps(group))


def _member(file: tarfile.TarFile, name: str, data: bytes) -> None:
    """Without owner and time, so that equal contents are equal files."""
    told = tarfile.TarInfo(name)
    told.size = len(data)
    file.addfile(told, io.BytesIO(data))
