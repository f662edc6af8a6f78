"""The table of kinds: every layer has its row, and asking it how a layer may be cut needs no torch."""

import subprocess
import sys
from dataclasses import replace

import pytest

from kernels import kinds
from kernels.space.layer import Layer
from tests.kernels.shapes import MIDDLE

STEM = Layer(32, 224, 224, 3, 64, (7, 7), 2, 3, pool=True)
HEAD = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True)


@pytest.mark.parametrize(("layer", "kind"), [(MIDDLE, "conv"), (STEM, "stem"), (HEAD, "head")])
def test_a_layer_is_of_one_kind_and_the_table_has_it(layer, kind) -> None:
    assert layer.kind == kind
    assert set(kinds.KINDS) == {"conv", "stem", "head"}
    chosen = kinds.space_of(layer).default_config(layer, 90)
    assert chosen in kinds.space_of(layer).candidates(layer, 90)
    assert kinds.space_of(layer).rejection_reason(layer, chosen, 90) is None
    assert kinds.space_of(layer).hazard_reason(layer, chosen, 90) is None


def test_the_modules_of_the_table_have_what_is_said_of_them() -> None:
    pytest.importorskip("torch")
    for layer in (MIDDLE, STEM, HEAD):
        for impl in ("ptr", "tma"):
            config = replace(
                kinds.space_of(layer).default_config(layer, 90),
                impl=impl,
                block_m=64,
                box=(1, 1, 64) if impl == "tma" else None,
            )
            module = kinds.implementation(layer, config)
            for name in ("reference", "calls", "scratch_bytes"):
                assert callable(getattr(module, name)), f"{module} {name}"


def test_choosing_needs_no_torch() -> None:
    code = "import sys, kernels.table, kernels.kinds; sys.exit('torch' in sys.modules or 'triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
