"""`bench.worker` with the cheats planted: what a sweep runs when a test tells it this module."""

from __future__ import annotations

import copy
import sys
import threading
import time
from typing import Any

import torch
from torch import Tensor

from tests import cheats

cheats.plant()

import bench.worker.__main__  # noqa: E402 - the table is read when it is imported
import resnet  # noqa: E402

honest_prepare = resnet.prepare

# What is late is so by far more than a call of the small model takes, its own launching included; else it might be
# ready when it is read, by luck.
LATE_S = 0.3
LATE_CYCLES = 600_000_000  # as long, at 2 GHz


class Cheat:
    """Eager, but for one lie."""

    def __init__(self, name: str, model: Any, example: Tensor) -> None:
        self.name = name
        torch.backends.cudnn.allow_tf32 = False  # which is not what fp32 claims
        model = copy.deepcopy(model).to(example.device)
        if name == "other-weights":
            model.layer4[0].conv1.weight.mul_(1.01)
        self.model = model.bfloat16() if name == "half-precision" else model
        self.details: dict[str, Any] = {"weights_bytes": 1}
        self.calls = 0
        self.kept: dict[int, Tensor] = {}
        self.output = torch.empty(len(example), 1000, device=example.device)
        self.side = torch.cuda.Stream() if example.is_cuda else None

    def place(self, batch: Tensor) -> Tensor:
        return batch.to(self.output.device, copy=True)

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        with torch.inference_mode():
            return self.lie(x)

    def lie(self, x: Tensor) -> Tensor:
        if self.name == "stale":
            if self.calls == 1:
                self.output = self.model(x)
            return self.output
        if self.name == "remembers":  # by address: right for every batch but a new one at an old place
            if x.data_ptr() not in self.kept:
                self.kept[x.data_ptr()] = self.model(x)
            return self.kept[x.data_ptr()].clone()
        if self.name == "memoizes":  # by content: right for every batch, and timed on those it has seen
            key = hash(tuple(x.flatten()[::97].tolist()))
            if key not in self.kept:
                self.kept[key] = self.model(x)
            return self.kept[key].clone()
        if self.name == "half-precision":
            return self.model(x.bfloat16()).float()
        if self.name == "late":  # on a CPU, what another stream is on a GPU
            threading.Thread(target=self.fill, args=(x,), daemon=True).start()
            return self.output
        if self.name == "side-stream":  # where the work of a call's last moments is not waited for
            with torch.cuda.stream(self.side):
                y = self.model(x)
                torch.cuda._sleep(LATE_CYCLES)
                self.output.copy_(y)
            return self.output
        y = self.model(x)
        if self.name == "wrong-dtype":
            return y.half()
        if self.name == "unwritten":
            self.output[:, :999].copy_(y[:, :999])
            return self.output
        if self.name == "nan":
            y[-1, -1] = float("nan")
        if self.name == "turns-bad" and self.calls > 12:
            y += 0.01
        if self.name == "changes-input":
            x[0, 0, 0, 0] += 1e-6
        return y[:, :-1] if self.name == "wrong-shape" else y

    @torch.inference_mode()
    def fill(self, x: Tensor) -> None:
        y = self.model(x)
        time.sleep(LATE_S)
        self.output.copy_(y)


def prepare(name: str, model: Any, example: Tensor, precision: str, launch: str, calibration: Any = None) -> Any:
    return (
        Cheat(name, model, example)
        if name in cheats.CHEATS | cheats.ON_GPU
        else honest_prepare(name, model, example, precision, launch)
    )


resnet.prepare = prepare

if __name__ == "__main__":
    bench.worker.__main__.main(int(sys.argv[1]), int(sys.argv[2]))
