"""The reference ResNets and the ways of running them. Importing this package does not import torch.

import resnet
model = resnet.build("resnet50", seed=0)                       # float32, on the CPU, in eval mode
batch = resnet.pictures(8)                                     # [8, 3, 224, 224], photographs, normalised
run = resnet.prepare("compile-max", model, batch, "bf16", "stream")
logits = run(run.place(batch))                                 # [8, 1000]
run = resnet.prepare("onnxruntime", model, batch, "int8", calibration=resnet.pictures(64, seed=1))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resnet.archs import ARCHS, MODELS, Spec
from resnet.calibration import Calibration
from resnet.names import is_outside
from resnet.variants import VARIANTS, Variant, prepare

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["ARCHS", "MODELS", "VARIANTS", "Calibration", "Spec", "Variant", "build", "pictures", "prepare"]


def build(
    name: str,
    *,
    seed: int = 0,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    source: Any = "photos",
    image: int = 224,
) -> Any:
    """Build a model by name: float32, on the CPU, in eval mode, without gradients.

    `name` is `resnet18 34 50 101 152`, then `v1`, nothing (v1.5) or `v2`, then optionally `-A`, `-C` or `-none`, then
    optionally `-digits` or `-digits-hard`: a narrow network that is trained on digits, once (`resnet.weights.trained`).
    Or it is a model's from outside (`resnet.outside.build`), for pictures of `image` pixels a side:
    `timm:convnext_tiny`, `torchvision:resnext50_32x4d` or `mymodule:function`, with arguments behind it as `@k=v,k=v`.
    `weights` is a checkpoint's path; without one the weights are synthetic, from `seed`, and behave like trained ones
    (`resnet.weights.synthetic`), calibrated on the pictures of `source`. Raises ValueError for an unknown name and for
    a checkpoint that does not fit. Without `num_classes` and `in_channels` they are a checkpoint's, else 1000 and 3, of
    digits 10 and 1.
    """
    if is_outside(name):
        from resnet.outside.build import build_outside

        counts = {"num_classes": num_classes, "in_channels": in_channels}
        return build_outside(name, seed=seed, weights=weights, source=source, image=image, **counts)
    from resnet.weights.synthetic import synthesize

    spec = Spec.parse(name)
    if weights is not None:
        from resnet.weights.checkpoint import build_resnet

        model = build_resnet(spec, weights, num_classes or 0, in_channels or 0)
        if spec.task and (classes := model.fc.out_features) != spec.ends.classes:
            raise ValueError(f"weights of {classes} classes read no digits: give some of {spec.ends.classes}")
        return model
    if spec.task:
        from resnet.weights.trained import trained

        if (num_classes or spec.ends.classes, in_channels or spec.ends.channels) != spec.ends[:2]:
            raise ValueError(f"{name} is trained on {spec.ends.classes} classes of {spec.ends.channels} channel")
        return trained(spec, seed=seed).requires_grad_(False)
    model = synthesize(spec, seed=seed, num_classes=num_classes or 1000, in_channels=in_channels or 3, source=source)
    return model.eval().requires_grad_(False)


def pictures(count: int, image: int = 224, *, seed: int = 0, source: Any = "photos", first: int = 0) -> torch.Tensor:
    """Return input pictures as a float32 batch [count, 3, image, image] on the CPU; see `resnet.inputs`."""
    from resnet import inputs

    return inputs.pictures(count, image, seed=seed, source=source, first=first)
