"""The kernels' numbers without a GPU: Triton's interpreter, which must be chosen before Triton is imported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import triton

HERE = Path(__file__).parent


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


@pytest.mark.slow
@pytest.mark.skipif(
    version(triton.__version__) <= (3, 6) and version(numpy.__version__) >= (2, 4),
    reason="Triton 3.6 interprets with numpy up to 2.3: only 0-dimensional arrays can be converted to Python scalars",
)
def test_the_kernels_interpreted() -> None:
    # what Triton 3.6 does to numpy 2.3
    quiet = ["-W", "ignore:Conversion of an array with ndim > 0:DeprecationWarning"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, str(HERE / "interpreted")]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=HERE.parent.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    print(done.stdout.splitlines()[-1])
