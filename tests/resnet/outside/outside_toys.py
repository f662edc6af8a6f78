"""Small models as users write them, good and bad: builders that tests name `outside_toys:NAME`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Net(nn.Module):
    """A residual network whose last norm starts at zero, as those of many packages do."""

    def __init__(self, width: int = 8, num_classes: int = 5, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width))
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)
        self.fc = nn.Linear(width, num_classes)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x).mean((2, 3)))


def build(width: int = 8, num_classes: int = 5, in_channels: int = 3) -> nn.Module:
    return Net(width, num_classes, in_channels)


def fixed() -> nn.Module:
    return Net()


ready = Net()


def trained() -> nn.Module:
    net = Net()
    net.bn1.running_var.fill_(2)
    return net


@dataclass
class Output:
    logits: Tensor


def answering(kind: str = "tensor") -> nn.Module:
    """A model whose answer has one of several forms."""

    class Answering(Net):
        def forward(self, x: Tensor) -> Any:
            features = self.features(x)
            logits = self.fc(features.mean((2, 3)))
            return {
                "tensor": logits,
                "mapping": {"features": features, "logits": logits},
                "nameless": {"features": features, "answer": logits},
                "tuple": (logits, features),
                "attribute": Output(logits),
                "1x1": logits[:, :, None, None],
                "pixels": features,
                "vector": logits.mean(1),
                "classes": logits.argmax(1, keepdim=True),
                "nothing": None,
            }[kind]

    return Answering()


def behaving(how: str = "well") -> nn.Module:
    """A model with one fault in what it computes."""

    class Behaving(Net):
        def forward(self, x: Tensor) -> Tensor:
            if how == "in_place":
                x = x.mul_(2)
            if how == "exports_not" and bool(x.sum() > 0):
                x = x + 1
            if how == "traces_not":
                for _ in range(x.shape[2] // 16):
                    x = x * 1.5
            if how == "numpy":
                x = torch.from_numpy(x.numpy() * 2)
            x = self.features(x).mean((2, 3))
            if how == "dropout":
                x = F.dropout(x, 0.5)
            if how == "mixes":
                x = x - x.mean(0)
            if how == "nan":
                x = (x - 99).log()
            if how == "float_inside":
                x = x.float().to(self.fc.weight.dtype)
            logits = self.fc(x)
            if how == "constant":
                logits = logits * 0 + self.fc.bias
            return logits.float() if how == "float_at_the_end" else logits

    return Behaving()


def stays() -> nn.Module:
    class Stays(Net):
        def train(self, mode: bool = True) -> Net:
            return super().train(True)

    return Stays()


def unregistered() -> nn.Module:
    class Unregistered(Net):
        def __init__(self) -> None:
            super().__init__()
            self.mix = torch.eye(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.features(x).mean((2, 3)) @ self.mix)

    return Unregistered()


def masked() -> nn.Module:
    class Masked(Net):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return super().forward(x * mask)

    return Masked()


def sized() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, 5))


def random() -> nn.Module:
    torch.manual_seed(int.from_bytes(os.urandom(4), "big"))
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


def uncopied() -> nn.Module:
    class Uncopied(Net):
        def __deepcopy__(self, memo: object) -> None:
            raise RuntimeError("there is one of me")

    return Uncopied()


def complex_weights() -> nn.Module:
    net = Net()
    net.phase = nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    return net


def number() -> int:
    return 3


def raising() -> nn.Module:
    raise RuntimeError("no such layer")


not_callable = 3


def halfless() -> nn.Module:
    """A model with an operation that has no bf16 form: an inverse, of the identity."""

    class Halfless(Net):
        def forward(self, x: Tensor) -> Tensor:
            features = self.features(x).mean((2, 3))
            eye = torch.eye(features.shape[1], dtype=x.dtype, device=x.device)
            return self.fc(features @ torch.linalg.inv(eye))

    return Halfless()
