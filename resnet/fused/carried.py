"""Kernels compiled beforehand (`kernels.compiled.bundle`), found by this process before it compiles any.

Triton keeps what it compiled under a digest of the kernel, its options and Triton itself. A bundle's kernels have the
same names, in a folder of their own, where Triton looks after its own: what a bundle lacks is compiled as ever.
"""

from __future__ import annotations

import json
import os
from functools import cache
from hashlib import sha256
from pathlib import Path
from platform import python_version_tuple

import triton
from triton.backends.nvidia.compiler import get_ptxas_version
from triton.runtime import cache as triton_cache
from triton.runtime.build import platform_key

from kernels.compiled.bundle import BUNDLE_VARIABLE, Maker, maker_of, read_head, sources_digest, unpack_bundle
from resnet.cache import COMPILED, cache_dir


@cache
def use(arch: int) -> str:
    """Has this process find the kernels of the bundle that is named, if they are for it and for sm_<arch>.

    What came of it: which is used, or why it is not; "" where none is named. A cold start, which is to compile, uses
    none.
    """
    named = os.environ.get(BUNDLE_VARIABLE, "")
    if not named or os.environ.get(COMPILED):
        return ""
    path = Path(named).expanduser()
    try:
        head = read_head(path)
        made, here = maker_of(head), maker(arch)
        if reason := made.incompatibility(here):
            return f"{path} is not used: {reason}"
        Finder.folder = unpack_bundle(path, cache_dir() / "bundles")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{path} is not used: {reason}"
    told = f"{path.name}: {head['kernels']} kernels of {head.get('commit', 'unknown')}"
    if head["code"] != sources_digest():
        told += ", made of other kernel sources: those that differ are compiled here"
    if made.key != here.key:
        told += ", of another build of the compiler's library"
        triton_cache.triton_key = lambda: made.key
    triton.knobs.cache.manager_class = Finder
    return told


def noted(device: str) -> dict[str, str]:
    """For the record of what ran on a device ("cuda", "cpu"): what came of a bundle, {} where none is named."""
    told = use(triton.runtime.driver.active.get_current_target().arch) if device == "cuda" else ""
    return {"bundle": told} if told else {}


class Finder(triton_cache.FileCacheManager):  # type: ignore[misc]
    """Triton's own cache on disk and, behind it, what was carried here."""

    folder: Path | None = None

    def __init__(self, key: str, override: bool = False, dump: bool = False) -> None:
        super().__init__(key, override, dump)
        self.carried = self.folder / key if self.folder and not (override or dump) else None

    def get_file(self, filename: str) -> str | None:
        return super().get_file(filename) or self._there(filename)

    def get_group(self, filename: str) -> dict[str, str] | None:
        """The files of a compiled kernel, by name."""
        found: dict[str, str] | None = super().get_group(filename)
        there = self._there(f"__grp__{filename}")
        if found is None and there:
            found = json.loads(Path(there).read_text())["child_paths"]
        return found

    def _there(self, filename: str) -> str | None:
        path = self.carried / filename if self.carried else None
        return str(path) if path and path.exists() else None


def maker(arch: int) -> Maker:
    """What compiles in this process, for sm_<arch>."""
    return Maker(
        python=".".join(python_version_tuple()[:2]),
        triton=triton.__version__,
        ptxas=" ".join(get_ptxas_version(arch).rpartition("Built on ")[2].split()),
        platform=platform_key(),
        arch=arch,
        key=triton_cache.triton_key(),
        sources=_sources(),
    )


def _sources() -> str:
    """A digest of the Python in which Triton compiles, keeps and launches."""
    home = Path(triton.__file__).parent
    digest = sha256()
    for path in sorted(home.rglob("*.py")):
        if path.relative_to(home).parts[0] in ("backends", "compiler", "language", "runtime"):
            digest.update(str(path.relative_to(home)).encode() + path.read_bytes())
    return digest.hexdigest()
