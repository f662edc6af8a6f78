"""What the marker `gpu` does to a run, tried where there is no GPU: tests/conftest.py as a plugin of other runs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A module by its name: warnings are told apart by the module that they are of.
PLANTED = """
import warnings
import pytest, torch

torch.cuda.is_available = lambda: True  # else what is marked gpu is skipped


def warn(module):
    exec("warnings.warn('planted')", {"warnings": warnings, "__name__": module})


@pytest.mark.gpu
@pytest.mark.parametrize("module", ["torch._inductor.compile_fx", "benchmark.of.others"])
def test_foreign(module):
    warn(module)


@pytest.mark.gpu
@pytest.mark.parametrize("module", ["bench", "kernels.call", "resnet.variants.fused", "tests.kernels.test_gpu"])
def test_own(module):
    warn(module)


@pytest.mark.gpu
@pytest.mark.filterwarnings("error")
def test_strict():
    warn("torch._inductor.compile_fx")


@pytest.mark.parametrize("module", ["torch._inductor.compile_fx", "kernels.call"])
def test_elsewhere(module):
    warn(module)
"""


def pytest_of(*words: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    return done.stdout.splitlines()


def test_a_warning_of_another_package_fails_no_gpu_test(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED)
    told = pytest_of("-p", "tests.conftest", "-c", "pyproject.toml", "--tb=no", "-rA", str(tmp_path))
    passed = {line.rpartition("::")[2] for line in told if line.startswith("PASSED")}
    failed = {line.rpartition("::")[2].partition(" - ")[0] for line in told if line.startswith("FAILED")}
    assert passed == {"test_foreign[torch._inductor.compile_fx]", "test_foreign[benchmark.of.others]"}, told
    assert failed == {
        *("test_own[bench]", "test_own[kernels.call]", "test_own[resnet.variants.fused]"),
        *("test_own[tests.kernels.test_gpu]", "test_strict"),
        *("test_elsewhere[torch._inductor.compile_fx]", "test_elsewhere[kernels.call]"),
    }, told
