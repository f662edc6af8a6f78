"""`bench kernels --bundle`: bad usage, and a file that is whole when interrupted."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton.backends.nvidia import driver as nvidia

from bench.machine.environment import ROOT
from kernels.compiled.bundle import read_head
from kernels.launch import INTERPRETED
from tests.bench.cli.kernels.planted import invoke


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--arch", "sm_80,sm_90"], "a bundle is for one of"),
        (["--models", "resnet51"], "unknown model"),
        (["--batch", "0"], "not a positive number"),
        (["--precision", "int4"], "unknown precision 'int4'; allowed: "),
    ],
)
def test_bad_usage(words: list[str], sentence: str, tmp_path: Path) -> None:
    done = invoke("--bundle", str(tmp_path / "kernels.bundle"), *words)
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.replace("│", "").split())


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    file = str(folder / "kernels.bundle")
    env = os.environ | {"TRITON_CACHE_DIR": str(folder / "triton"), "COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "kernels", "--bundle", file, *words],
        cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")
def test_interrupted_it_has_what_was_compiled_and_goes_on(tmp_path: Path) -> None:
    words = ("--models", "resnet18-none", "--batch", "1", "--candidates", "1", "--json")
    first = command(tmp_path, *words)
    while len(list(tmp_path.rglob("*.emitted"))) < 4 and first.poll() is None:
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    stdout, _ = first.communicate(timeout=60)
    assert first.returncode == 130
    before = json.loads(stdout)
    assert before["kernels"] >= 3
    assert 0 < before["candidates"] < 9
    assert not before["complete"]
    second = command(tmp_path, *words)
    stdout, stderr = second.communicate(timeout=300)
    assert second.returncode == 0, stderr
    after = json.loads(stdout)
    assert after["complete"]
    assert after["failed"] == []
    assert after["layers"] == 9
    assert after["kernels"] == before["kernels"] + after["made"]
    head = read_head(tmp_path / "kernels.bundle")
    assert (head["maker"]["arch"], head["models"], len(head["layers"])) == (90, ["resnet18-none"], 9)
    names = members(tmp_path / "kernels.bundle")
    assert sum(name.endswith(".cubin") for name in names) == sum(name.endswith(".emitted") for name in names) >= 9
    libraries = {name: data for name, data in names.items() if name.endswith(".so")}
    assert any("cuda_utils" in name for name in libraries)
    assert any("__triton_launcher" in name for name in libraries) == hasattr(nvidia, "make_launcher")
    assert all(b"libcuda.so.1" in data for data in libraries.values())


def members(path: Path) -> dict[str, bytes]:
    files = {}
    with tarfile.open(path) as file:
        for part in file.getnames()[1:]:
            packed = file.extractfile(part)
            assert packed
            with tarfile.open(fileobj=io.BytesIO(packed.read())) as inner:
                for member in inner:
                    data = inner.extractfile(member)
                    files[member.name] = data.read() if data else b""
    return files
