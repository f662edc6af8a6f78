"""A child of test_fused.py, started with TRITON_INTERPRET=1: whole networks by the interpreted kernels.

python interpreted.py GIVEN MADE: a list of (model, batch, precision) in, a list of (logits, details) out.
"""

import sys

import torch

from resnet.variants import fused

if __name__ == "__main__":
    made = []
    for model, batch, precision in torch.load(sys.argv[1], weights_only=False):
        runner = fused.prepare(model, batch, precision, "stream")
        x = runner.place(batch)
        runner._forward.memory.fill_(255)  # type: ignore[attr-defined]  # NaN in every format
        made.append((runner(x).clone(), runner.details))
    torch.save(made, sys.argv[2])
