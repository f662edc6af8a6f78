"""`bench.worker` with the cheats planted: what a sweep runs when a test tells it this module."""

from __future__ import annotations

import copy
import sys
from typing import Any

import torch
from torch import Tensor

from tests import cheats

cheats.plant()

import bench.worker  # noqa: E402 - the table is read when it is imported
import resnet  # noqa: E402

honest_prepare = resnet.prepare


class Cheat:
    """Eager, but for one lie."""

    def __init__(self, name: str, model: Any, example: Tensor) -> None:
        self.name = name
        model = copy.deepcopy(model)
        if name == "other-weights":
            model.layer4[0].conv1.weight.mul_(1.01)
        self.model = model.bfloat16() if name == "half-precision" else model
        self.details: dict[str, Any] = {"weights_bytes": 1}
        self.calls = 0
        self.kept: dict[int, Tensor] = {}
        self.output = torch.empty(len(example), 1000)

    def place(self, batch: Tensor) -> Tensor:
        return batch.clone()

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
        if self.name == "half-precision":
            return self.model(x.bfloat16()).float()
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


def prepare(name: str, model: Any, example: Tensor, precision: str, launch: str) -> Any:
    return (
        Cheat(name, model, example)
        if name in cheats.CHEATS
        else honest_prepare(name, model, example, precision, launch)
    )


resnet.prepare = prepare

if __name__ == "__main__":
    bench.worker.main(int(sys.argv[1]), int(sys.argv[2]))
