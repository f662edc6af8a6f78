"""The marks around our own network's launches."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.machine.environment import ROOT

OWNERS = """
import torch, resnet, sys
from bench.worker.layers.marks import Marks
from resnet.fold import fold
from resnet.fused.network import FusedNetwork
from resnet.fused.program import build_program
made = build_program(fold(resnet.build("resnet18v2", source="noise")), (1, 3, 32, 32))
network = FusedNetwork(made, "fp32", torch.device("cpu"))
found = network.step_indices
assert len(found) == 1 + len(network.calls) > len(made.steps), len(found)
assert list(dict.fromkeys(found)) == list(range(len(made.steps)))
for place, step in enumerate(made.steps[1:-1], 1):
    last = max(at for at, owner in enumerate(found) if owner == place)
    out = network.values[step.name].data_ptr()
    written = network.calls[last - 1].args[1]
    assert any(torch.is_tensor(value) and value.data_ptr() == out for value in written), step.name

# the marks around them, with launches that do nothing
marked = []
marks = Marks.__new__(Marks)
network.first, network.calls = (lambda x: None), [lambda: None] * len(network.calls)
marks.root, marks.owners, marks.names_of = network, [f"steps.{place}" for place in found], {}
kept = network.calls
with marks.around(lambda name: marked.append(name), lambda name: marked.append(None)):
    network(torch.empty(1, 3, 32, 32).to(memory_format=torch.channels_last))
assert network.calls is kept
assert marked == ["", *(name for owner in marks.owners for name in (owner, None)), None]
"""


def test_each_launch_of_our_network_is_put_to_the_step_whose_result_it_writes() -> None:
    """With the interpreter a network is made of launches on a CPU, too; it is not run."""
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", OWNERS], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
