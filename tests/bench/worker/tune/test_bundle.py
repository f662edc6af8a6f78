"""What a bundle's child compiles first."""

from __future__ import annotations

import pytest

pytest.importorskip("triton")

from bench.tuning.gpus import PREDICTABLE
from bench.tuning.networks import Network
from bench.tuning.order import order_candidates
from bench.worker.tune import bundle
from kernels import table
from kernels.kinds import default_config
from kernels.space.layer import Layer

LARGE = Layer(128, 56, 56, 64, 64, (3, 3), 1, 1)
SMALL = Layer(128, 7, 7, 512, 512, (1, 1))
NETWORK = Network("resnet50", 128, "fp16", {SMALL: 1, LARGE: 5})


def test_what_networks_run_comes_first_then_the_tuner_s_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = order_candidates(SMALL, PREDICTABLE["NVIDIA H200"])[7]
    entry = table.Entry("NVIDIA H200", SMALL.key, tuned, "measured", 5.0, "2026-11-23T00:00:00", "3.7.1")
    monkeypatch.setattr(table, "_installed", table.Table([entry]))
    found = list(bundle.plan_candidates([NETWORK], 90, 12))
    assert len(found) == len(set(found)) <= 2 * 12 + 1
    first = found.index((LARGE, order_candidates(LARGE, PREDICTABLE["NVIDIA H200"])[1]))
    now = {(LARGE, str(default_config(LARGE, 90, 132))), (SMALL, str(default_config(SMALL, 90, 132))), (SMALL, tuned)}
    assert set(found[:first]) == now
    half = [layer for layer, _ in found[first : first + 8]]
    assert half.count(LARGE) > half.count(SMALL)  # the costlier layer's turn comes more often
    assert {layer for layer, _ in found[-3:]} == {SMALL}
