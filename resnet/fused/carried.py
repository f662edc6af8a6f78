"""The use of a bundle of kernels compiled ahead of time (`kernels.compiled.bundle`) as a second cache of Triton.

Triton caches a compiled kernel by a digest of the kernel, its options and Triton itself. A bundle's kernels have the
same keys, in a separate folder that is searched after Triton's cache: kernels that a bundle lacks are compiled.
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
def install_bundle(arch: int) -> str:
    """Let this process use the kernels of the bundle in BUNDLE_VARIABLE, if they are for this software and sm_<arch>.

    Return which bundle is used, or why it is not; "" if none is named or this is a cold start, which must compile.
    """
    filename = os.environ.get(BUNDLE_VARIABLE, "")
    if not filename or os.environ.get(COMPILED):
        return ""
    path = Path(os.path.expanduser(filename))
    try:
        head = read_head(path)
        maker, here = maker_of(head), current_maker(arch)
        if reason := maker.incompatibility(here):
            return f"{path} is not used: {reason}"
        BundledCache.folder = unpack_bundle(path, cache_dir() / "bundles")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{path} is not used: {reason}"
    description = f"{path.name}: {head['kernels']} kernels of {head.get('commit', 'unknown')}"
    if head["code"] != sources_digest():
        description += ", of other kernel sources: those that differ are compiled here"
    if maker.key != here.key:
        description += ", of another build of the compiler's library"
        triton_cache.triton_key = lambda: maker.key
    triton.knobs.cache.manager_class = BundledCache
    return description


def bundle_details(device: str) -> dict[str, str]:
    """Return `install_bundle`'s description for the record of a run on "cuda" or "cpu", {} without a bundle."""
    description = install_bundle(triton.runtime.driver.active.get_current_target().arch) if device == "cuda" else ""
    return {"bundle": description} if description else {}


class BundledCache(triton_cache.FileCacheManager):  # type: ignore[misc]
    """Triton's cache on disk and, after it, the bundle's folder."""

    folder: Path | None = None

    def __init__(self, key: str, override: bool = False, dump: bool = False) -> None:
        super().__init__(key, override, dump)
        self.bundled = self.folder / key if self.folder and not (override or dump) else None

    def get_file(self, filename: str) -> str | None:
        return super().get_file(filename) or self._bundled_file(filename)

    def get_group(self, filename: str) -> dict[str, str] | None:
        """Return the paths of a compiled kernel's files by name, or None."""
        group: dict[str, str] | None = super().get_group(filename)
        bundled = self._bundled_file(f"__grp__{filename}")
        if group is None and bundled:
            group = json.loads(Path(bundled).read_text())["child_paths"]
        return group

    def _bundled_file(self, filename: str) -> str | None:
        path = self.bundled / filename if self.bundled else None
        return str(path) if path and path.exists() else None


def current_maker(arch: int) -> Maker:
    """Return the software that compiles in this process for sm_<arch>."""
    return Maker(
        python=".".join(python_version_tuple()[:2]),
        triton=triton.__version__,
        ptxas=" ".join(get_ptxas_version(arch).rpartition("Built on ")[2].split()),
        platform=platform_key(),
        arch=arch,
        key=triton_cache.triton_key(),
        sources=_triton_sources_digest(),
    )


def _triton_sources_digest() -> str:
    """Return a digest of the Python sources by which Triton compiles, caches and launches."""
    package = Path(triton.__file__).parent
    digest = sha256()
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] in ("backends", "compiler", "language", "runtime"):
            digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return digest.hexdigest()
