"""Kernels compiled in one process are found in another: what a bundle holds, who may use it, who is refused."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("kernels need triton", allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget

from bench.runs.kernel_jobs import TryJob
from bench.worker.static.compile_kernels import read_facts
from bench.worker.tune import search as tune
from kernels.compiled import bundle, emit
from kernels.compiled.bundle import BUNDLE_VARIABLE, Bundle, Maker
from kernels.launch import INTERPRETED, compilations
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.cache import COMPILED
from resnet.fused import carried, launches
from resnet.fused.carried import current_maker

pytestmark = pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")

ROOT = Path(__file__).parents[3]
LAYER = Layer(2, 8, 8, 64, 64, (3, 3), 1, 1)
CONFIGS = ["ptr-64x64x32-w4-s3-k2-g8-pdl", "tma-1.8.8x64x32-w4-s3-k1-g8"]
KERNELS = 3  # a split depth has a reduction
# what Triton says of each: found to be read and to be launched, or compiled and then found
FOUND, MADE = [True, True], [False, True, True]

# As a launch would, of the batch that is told: Triton's own launcher, up to where it asks the driver to run it.
LAUNCH = f"""
import json, sys, triton
from dataclasses import replace
from triton.backends.compiler import GPUTarget
from bench.worker.static import compile_kernels as emitted
from kernels.compiled import emit
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.kinds import implementation
from kernels.launch import empty_output
from kernels.launch import Operands
from resnet.fused import carried

class Driver:
    get_current_device = lambda self: 0
    get_current_stream = lambda self, device: 0
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)

triton.runtime.driver._active = Driver()
told, heard, tools = carried.install_bundle(int(sys.argv[1])), [], []
triton.knobs.compilation.listener = lambda *, cache_hit, **_: heard.append(cache_hit)
layer = replace({LAYER!r}, n=int(sys.argv[2]))
read = emit._tool_output
emit._tool_output = lambda name, *words: tools.append(name) or read(name, *words)
for config in map(Config.parse, {CONFIGS!r}):
    operands, out = Operands.empty(layer, "cpu"), empty_output(layer, "cpu")
    for launch, arguments in implementation(layer, config).calls(layer, config, operands, out):
        emitted.read_facts(launch.compilation(*arguments), 90)
        launch.kernel.run(*arguments, grid=launch.grid, warmup=True, **launch.constants, **launch.options)
assert carried.bundle_details("cpu") == {{}}
assert int(sys.argv[1]) != 90 or carried.bundle_details("cuda") == ({{"bundle": told}} if told else {{}})
print(json.dumps([told, heard, len(tools)]))
"""


def fill(path: Path, made_by: Maker, configs: list[str] = CONFIGS) -> Bundle:
    found = Bundle(path, made_by, {"commit": "0123456789"})
    for text in configs:
        folders = []
        for compilation in compilations(LAYER, Config.parse(text)):
            read_facts(compilation, 90)
            folders.append(emit.cache_folder(emit.compile_for(compilation, 90)))
        found.add(LAYER.key, text, folders)
    found.save()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "kernels.bundle"
    fill(path, current_maker(90))
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., tuple[str, list[bool], int]]:
    """In another process, whose caches are empty: what it says of a bundle, its hits, the kernels in its own cache.

    What a kernel that is found holds is not read off it again, and what is compiled is read by two tools.
    """

    def launch(path: Path, arch: int = 90, batch: int = 2, **env: str) -> tuple[str, list[bool], int]:
        own = tmp_path / "triton"
        told = {"TRITON_CACHE_DIR": str(own), "RESNET_CACHE": str(tmp_path / "cache"), BUNDLE_VARIABLE: str(path)}
        done = subprocess.run(
            [sys.executable, "-c", LAUNCH, str(arch), str(batch)],
            cwd=ROOT, env=os.environ | told | env, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said, heard, tools = json.loads(done.stdout)
        assert tools == 2 * heard.count(False)
        return said, heard, len(list(own.rglob("*.cubin")))

    return launch


def test_another_process_finds_them_and_compiles_nothing(made, elsewhere) -> None:
    """Of another batch than they were compiled for: what is compiled does not depend on it."""
    said, heard, own = elsewhere(made, batch=5)
    assert said == f"{made.name}: {KERNELS} kernels of 0123456789"
    assert heard == FOUND * KERNELS
    assert own == 0


def test_what_it_lacks_is_compiled_as_ever(made, elsewhere, tmp_path) -> None:
    part = tmp_path / "part.bundle"
    fill(part, current_maker(90), CONFIGS[:1])
    _, heard, own = elsewhere(part)
    assert heard == FOUND * 2 + MADE
    assert own == 1


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"python": "3.9"}, r"it was made with python 3\.9, and here is 3\.1\d"),
        ({"triton": "3.5.0"}, r"it was made with triton 3\.5\.0, and here is 3\."),
        ({"ptxas": "V12.0"}, r"it was made with ptxas V12\.0, and here is .*release 1"),
        ({"platform": "aarch64"}, "it was made with platform aarch64, and here is "),
        ({"arch": 100}, "it is for sm_100, and this is sm_90"),
        ({"sources": "0"}, r"it is of another triton 3\.\d\.\d: its sources differ"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_was_made_otherwise_is_refused_with_the_reason(made, tmp_path, monkeypatch, other, reason) -> None:
    path = tmp_path / "other.bundle"
    Bundle(path, replace(current_maker(90), **other), {}).save()
    said = refusal_of(path, monkeypatch)
    assert said.startswith(f"{path} is not used: ")
    assert re.search(reason, said), said


def refusal_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What this process says of a bundle from which it unpacks nothing."""
    monkeypatch.setenv(BUNDLE_VARIABLE, str(path))
    monkeypatch.setattr(carried, "unpack_bundle", None)
    carried.install_bundle.cache_clear()
    said = carried.install_bundle(90)
    carried.install_bundle.cache_clear()
    assert triton.knobs.cache.manager_class is None
    return said


def test_who_is_refused_compiles_as_ever(made, elsewhere) -> None:
    said, heard, own = elsewhere(made, arch=100)
    assert said == f"{made} is not used: it is for sm_90, and this is sm_100"
    assert heard == MADE * KERNELS
    assert own == KERNELS


def test_another_build_of_the_same_triton_finds_them_too(tmp_path, elsewhere, monkeypatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "other"))
    monkeypatch.setattr("triton.runtime.cache.triton_key", lambda: "of another libtriton.so")
    path = tmp_path / "other.bundle"
    fill(path, current_maker(90))
    monkeypatch.undo()
    said, heard, own = elsewhere(path)
    assert said == f"{path.name}: {KERNELS} kernels of 0123456789, of another build of the compiler's library"
    assert heard == FOUND * KERNELS
    assert own == 0


def test_a_cold_start_compiles(made, elsewhere, tmp_path) -> None:
    said, heard, _ = elsewhere(made, **{COMPILED: str(tmp_path)})
    assert said == ""
    assert heard == MADE * KERNELS


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: b"", "not a bundle of kernels"),
        (lambda data: b"\0" * 4096, "not a bundle of kernels"),
        (lambda data: data.replace(b'"schema": 1', b'"schema": 2'), "schema 2, and this version reads 1"),
        (lambda data: data.replace(b'"python"', b'"pithon"'), "not a bundle of kernels"),
    ],
    ids=["empty", "zeros", "schema", "maker"],
)
def test_a_damaged_head_is_refused_before_anything_is_unpacked(
    made, tmp_path, monkeypatch, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    path = tmp_path / "bad.bundle"
    path.write_bytes(spoil(made.read_bytes()))
    said = refusal_of(path, monkeypatch)
    assert said.startswith(f"{path} is not used: ")
    assert reason in said


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[: len(data) // 2], lambda data: data[:-20_000] + bytes(20_000)],
    ids=["half", "end"],
)
def test_what_is_damaged_is_not_used(made, elsewhere, tmp_path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "bad.bundle"
    path.write_bytes(spoil(made.read_bytes()))
    said, _, own = elsewhere(path)
    assert f"{path} is not used: " in said
    assert own == KERNELS
    assert list((tmp_path / "cache").rglob("*.cubin")) == []


def test_no_file_is_said(tmp_path, monkeypatch) -> None:
    said = refusal_of(tmp_path / "none.bundle", monkeypatch)
    assert said == f"{tmp_path / 'none.bundle'} is not used: No such file or directory"


def test_a_network_and_a_tuner_look_there_before_they_compile(monkeypatch) -> None:
    asked = []

    class Driver:
        get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))

    monkeypatch.setattr(carried, "install_bundle", lambda arch: asked.append(arch) or "")
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())
    assert launches.compile_together([])
    job = TryJob([], [], "cpu", 100, 0, 1, 60.0)
    assert tune.try_candidates(job, print) == {"status": "ok"}
    assert asked == [90, 100]


def test_the_head_says_what_is_inside(made) -> None:
    head = bundle.read_head(made)
    assert head["maker"]["triton"] == triton.__version__
    assert (head["kernels"], head["commit"], head["code"]) == (KERNELS, "0123456789", bundle.sources_digest())
    assert head["layers"] == {LAYER.key: CONFIGS}
    assert made.stat().st_size < KERNELS * 20_000


def test_a_second_call_goes_on_and_kernels_are_there_once(made, tmp_path) -> None:
    path = tmp_path / "kernels.bundle"
    assert len(fill(path, current_maker(90), CONFIGS[:1]).parts) == 1
    first = path.read_bytes()
    assert fill(path, current_maker(90), CONFIGS[:1]).parts == [*Bundle(path, current_maker(90), {}).parts]
    assert path.read_bytes() == first
    found = fill(path, current_maker(90))
    assert (len(found.parts), len(found.keys), found.rebuild_reason) == (2, KERNELS, "")
    assert bundle.read_head(path)["layers"] == {LAYER.key: CONFIGS}
    other = Bundle(path, replace(current_maker(90), triton="3.5.0"), {})
    assert "it was made with triton" in other.rebuild_reason
    assert (other.parts, other.layers) == ([], {})
    assert "another build" in Bundle(path, replace(current_maker(90), key="other"), {}).rebuild_reason


def test_kernels_of_other_sources_are_made_anew(made, monkeypatch) -> None:
    monkeypatch.setattr(bundle, "sources_digest", lambda: "00000000")
    found: Any = Bundle(made, current_maker(90), {})
    assert (found.rebuild_reason, found.keys) == ("its kernels are of other sources", set())


def test_a_disk_that_is_full_leaves_the_file_as_it_was(made, tmp_path, monkeypatch) -> None:
    path = tmp_path / "kernels.bundle"
    fill(path, current_maker(90), CONFIGS[:1])
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "_add_member", full)
    with pytest.raises(OSError, match="No space"):
        Bundle(path, current_maker(90), {}).save()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
