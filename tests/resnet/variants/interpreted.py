"""A child of test_fused.py, started with TRITON_INTERPRET=1: whole networks by the interpreted kernels.

python interpreted.py GIVEN MADE: a list of (model, batch, precision) in, a list of (logits, details, taps) out.
"""

import sys
from typing import Any

import torch

from resnet.calibration import EIGHT_BITS, Calibration
from resnet.variants import fused

if __name__ == "__main__":
    made = []
    for model, batch, precision in torch.load(sys.argv[1], weights_only=False):
        eight = precision in EIGHT_BITS
        with torch.no_grad():
            runner: Any = (
                fused.prepare_quantized(model, batch, precision, "stream", Calibration(batch, "minmax"))
                if eight
                else fused.prepare(model, batch, precision, "stream")
            )
            x = runner.place(batch)
            runner._forward.memory.fill_(255)  # NaN in every format, and no code of another call
            taps = runner.taps(x).activations if eight else {}
            made.append((runner(x).clone(), runner.details, taps))
    torch.save(made, sys.argv[2])
