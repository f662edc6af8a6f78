"""A bundle: kernels compiled ahead of time, in one file, on a machine without a GPU, for use on a rented one.

It is a tar archive. Its first member, `head.json`, describes its maker and its content. Parts follow, `0000.tar.xz` and
so on, each of some kernels: folders of Triton's cache, named by their cache keys, without files that nothing here
reads. Kernels resemble each other, so those of a part are compressed together.
"""

from __future__ import annotations

import ast
import io
import json
import lzma
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from kernels.cards.files import open_atomic
from kernels.cards.owned import owned_folder
from kernels.cards.reading import MOST, parse_json
from kernels.kinds import KINDS

BUNDLE_VARIABLE = "RESNET_BENCH_BUNDLE"  # environment variable: the bundle that a process uses

SCHEMA = 1
MAX_BUNDLE_BYTES = 30_000_000
KERNELS_A_PART = 64
HEAD = "head.json"
# What a launch needs (code, metadata, the launcher's library), the facts of the code, and what these were read from.
KEPT_SUFFIXES = (".cubin", ".json", ".so", ".emitted", ".ptx", ".ttir")
GROUP = "__grp__"  # Triton's list of a folder's files: absolute paths, so it is written when unpacking
PACKAGE = Path(__file__).parents[1]


def kernel_sources() -> list[Path]:
    """Return the files that compiled kernels depend on: modules that compute a layer, and their imports from here.

    Compiled code and measurements are of these files. The cost model that ranks configurations is not among them.
    """
    pending = {name for modules in KINDS.values() for name in modules.values()}
    files: set[Path] = set()
    while pending:
        path = PACKAGE.parent.joinpath(*pending.pop().split(".")).with_suffix(".py")
        if path.is_file() and path not in files:
            files.add(path)
            pending |= _imports(path)
    return sorted(files)


def _imports(path: Path) -> set[str]:
    """Return the names that a file imports from this package: modules, and names in modules."""
    names = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith(f"{PACKAGE.name}.")}


@cache
def sources_digest() -> str:
    """Return the first eight digits of a digest of `kernel_sources`."""
    return sha256(b"".join(path.read_bytes() for path in kernel_sources())).hexdigest()[:8]


@dataclass(frozen=True)
class Maker:
    """The software that compiled a bundle: with other software Triton does not find the kernels, or they do not run.

    `key` is Triton's, of its sources and its compiler's library; `sources` is a digest of the Python sources that
    compile, cache and launch. `arch` is the compute capability as 90.
    """

    python: str
    triton: str
    ptxas: str
    platform: str
    arch: int
    key: str
    sources: str

    def incompatibility(self, here: Maker) -> str:
        """Say why `here` cannot use kernels of this maker; empty if it can.

        Another build of the compiler's library is no reason: it no longer compiles, and Triton's Python sources launch.
        """
        for name in ("python", "triton", "arch", "ptxas", "platform"):
            theirs, ours = getattr(self, name), getattr(here, name)
            if theirs != ours and name == "arch":
                return f"it is for sm_{theirs}, and this is sm_{ours}"
            if theirs != ours:
                return f"it was made with {name} {theirs}, and here is {ours}"
        return "" if self.sources == here.sources else f"it is of another triton {self.triton}: its sources differ"


class Bundle:
    """A bundle being written. `save` replaces the file atomically, so that it is complete at all times."""

    def __init__(self, path: Path, maker: Maker, metadata: dict[str, Any]) -> None:
        """Continue the file at `path` if it is of the same maker and sources, else start an empty bundle."""
        self.path, self.maker, self.metadata = path, maker, metadata
        self.parts: list[bytes] = []
        self.layers: dict[str, list[str]] = {}
        self.keys: set[str] = set()
        self.pending: list[Path] = []  # folders not yet in a part
        self.rebuild_reason = ""  # why the file at `path` is not continued
        if not path.exists():
            return
        head = read_head(path)
        self.rebuild_reason = maker_of(head).incompatibility(maker)
        if not self.rebuild_reason and maker_of(head) != maker:
            self.rebuild_reason = "another build of the compiler's library made it"
        if not self.rebuild_reason and head["code"] != sources_digest():
            self.rebuild_reason = "its kernels are of other sources"
        if not self.rebuild_reason:
            self.layers, self.parts = head["layers"], list(_read_parts(path))
            with ThreadPoolExecutor() as pool:
                self.keys = {key for keys in pool.map(_keys_of_part, self.parts) for key in keys}

    def add(self, layer: str, config: str, folders: Iterable[Path]) -> None:
        """Add a candidate and the folders of its kernels in Triton's cache; candidates may share kernels."""
        self.layers.setdefault(layer, [])
        if config not in self.layers[layer]:
            self.layers[layer].append(config)
        self.add_folders(folders)

    def add_folders(self, folders: Iterable[Path]) -> None:
        """Add folders of Triton's cache, each once, and save the bundle when a part is full. Raises OSError."""
        for folder in folders:
            if folder.name not in self.keys:
                self.keys.add(folder.name)
                self.pending.append(folder)
        if len(self.pending) >= KERNELS_A_PART:
            self.save()

    @property
    def size(self) -> int:
        """Bytes of all saved parts."""
        return sum(map(len, self.parts))

    def save(self) -> None:
        """Write the bundle. Raises OSError, and then the file is unchanged."""
        if self.pending:
            self.parts.append(_pack_part(self.pending))
            self.pending = []
        head = {"schema": SCHEMA, "maker": asdict(self.maker), "code": sources_digest(), "kernels": len(self.keys)}
        with open_atomic(self.path) as target, tarfile.open(fileobj=target, mode="w") as file:
            _add_member(file, HEAD, json.dumps(head | self.metadata | {"layers": self.layers}, indent=1).encode())
            for number, part in enumerate(self.parts):
                _add_member(file, f"{number:04}.tar.xz", part)


def read_head(path: Path) -> dict[str, Any]:
    """Return the head of a bundle. Raises OSError, and ValueError for a file that is no bundle."""
    try:
        with tarfile.open(path, "r:") as file:
            first = file.next()
            member = file.extractfile(first) if first and first.name == HEAD else None
            if member is None:
                raise ValueError("it does not begin with a head")
            head: dict[str, Any] = parse_json(member.read(MOST))
        if head["schema"] != SCHEMA:
            raise ValueError(f"schema {head['schema']}, and this version reads {SCHEMA}")
        maker_of(head)
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a bundle of kernels: {error}") from None
    return head


def maker_of(head: dict[str, Any]) -> Maker:
    """Return the maker in a bundle's head."""
    return Maker(**head["maker"])


def unpack_bundle(path: Path, parent: Path) -> Path:
    """Return a folder in `parent` with a bundle's kernels, unpacked if it does not exist. Raises OSError."""
    with path.open("rb") as file:
        folder = parent / file_digest(file, "sha256").hexdigest()[:24]
    if folder.exists():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    with owned_folder("bundle", parent) as partial:
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda part: _unpack_part(part, partial, folder), _read_parts(path)))
            partial.chmod(parent.stat().st_mode & 0o7777)  # for those who may use `parent`
            partial.rename(folder)
        except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
            raise OSError(f"damaged: {error}") from error
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    return folder


def _read_parts(path: Path) -> Iterator[bytes]:
    """Yield a bundle's compressed parts."""
    with tarfile.open(path, "r:") as file:
        for member in file:
            part = file.extractfile(member) if member.name != HEAD else None
            if part is not None:
                yield part.read()


def _keys_of_part(part: bytes) -> set[str]:
    """Return the cache keys of a part's kernels."""
    with tarfile.open(fileobj=io.BytesIO(part), mode="r:xz") as file:
        return {name.partition("/")[0] for name in file.getnames()}


def _pack_part(folders: list[Path]) -> bytes:
    """Return folders as a compressed part, sorted by suffix: files that resemble their neighbours compress better."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as file:
        for suffix in KEPT_SUFFIXES:
            for folder in folders:
                for path in sorted(folder.glob(f"*{suffix}")):
                    if not path.name.startswith(GROUP):
                        _add_member(file, f"{folder.name}/{path.name}", path.read_bytes())
    return data.getvalue()


def _unpack_part(part: bytes, partial: Path, folder: Path) -> None:
    """Unpack a part into `partial`, which will be renamed to `folder`, and write Triton's lists of files."""
    with tarfile.open(fileobj=io.BytesIO(part), mode="r:xz") as file:
        names = file.getnames()
        file.extractall(partial, filter="data")
    by_key: dict[str, list[str]] = {}
    for name in names:
        key, _, filename = name.partition("/")
        if not filename.endswith((".so", ".emitted")):
            by_key.setdefault(key, []).append(filename)
    for key, files in by_key.items():
        group = {"child_paths": {name: str(folder / key / name) for name in files}}
        for name in files:
            if name.endswith(".json"):
                (partial / key / f"{GROUP}{name}").write_text(json.dumps(group))


def _add_member(file: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member without owner and time, so that equal contents are equal files."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    file.addfile(info, io.BytesIO(data))
