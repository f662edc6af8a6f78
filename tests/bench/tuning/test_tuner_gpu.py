"""The tuner on this machine's GPU."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.runs.kernel_jobs import NetworksJob
from bench.tuning.gpus import Gpu
from bench.tuning.networks import Network
from bench.tuning.trials import TrialStore
from bench.tuning.tuner import Tuner
from bench.worker.tune import search
from kernels.table import Table


@pytest.mark.gpu
@pytest.mark.timed
@pytest.mark.slow
def test_two_layers_on_this_gpu(tmp_path: Path) -> None:
    here = search.read_networks(NetworksJob(["resnet18"], [8], ["fp16"]), print)
    network = Network.from_json(here["networks"][0])
    two = replace(network, layers=dict(list(network.layers.items())[:2]))
    store = TrialStore(tmp_path / "table.json")
    start = time.monotonic()
    made = Tuner(Gpu(**here["gpu"]), here["versions"], store, [two], budget_s=60, cap=24)
    made.tune()
    assert time.monotonic() - start < 75
    for target in made.targets:
        assert target.best, {config: (trial.status, trial.reason) for config, trial in target.tried.items()}
        assert len(target.tried) >= 8
        # faster than a millisecond, slower than its bytes at 10 TB/s
        assert target.layer.bytes / 1e7 < (target.us or 0) < 1000
    assert {entry.layer for entry in Table.read(store.path)} == {layer.key for layer in two.layers}
