"""`bench.worker` with every variant replaced by a liar about large batches; $CHEAT says which.

honest: plain torch. padded: placed with a fourth channel, which is no lie.
short: rows from 20 on are left unwritten. wraps: row `i` is row `i % 16`, as from an index of four bits.
once: right in the first run, and nothing after that. breaks: an error from batch 13 on.
"""

from __future__ import annotations

import copy
import os
import sys
from typing import Any

import torch
from torch import Tensor

import bench.worker.__main__
import resnet

CHEAT = os.environ["CHEAT"]


class Cheat:
    """Plain torch, but for one lie."""

    def __init__(self, model: Any, batch: int) -> None:
        self.model = copy.deepcopy(model)
        self.details: dict[str, Any] = {"weights_bytes": 1}
        self.calls = 0
        self.output = torch.zeros(batch, 1000)

    def place(self, batch: Tensor) -> Tensor:
        if CHEAT == "padded":
            return torch.nn.functional.pad(batch, (0, 0, 0, 0, 0, 1))
        return batch.to(copy=True, memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        if len(x) > 12 and CHEAT == "breaks":
            raise RuntimeError("an index is out of range")
        with torch.inference_mode():
            y = self.model(x[:, :3])
            if CHEAT == "wraps":
                return y[torch.arange(len(y)) % 16]
            if CHEAT == "short":
                self.output[:20] = y[:20]
            elif CHEAT != "once" or self.calls == 1:
                self.output[:] = y
            return self.output


resnet.prepare = lambda name, model, example, precision, launch, calibration: Cheat(model, len(example))

if __name__ == "__main__":
    bench.worker.__main__.main(int(sys.argv[1]), int(sys.argv[2]))
