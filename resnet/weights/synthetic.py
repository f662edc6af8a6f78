"""Synthetic weights that behave like trained ones, from a seed.

Default initialisations do not: in eval mode PyTorch's gives logits that hardly depend on the input, and Kaiming's
fan-out lets the activations of a ResNet-152 grow past float16's range. So the convolutions are Kaiming's, the batch
norms get random scales and shifts and the statistics of real pictures, and the classifier is scaled and centred on the
features of those pictures: every activation has a natural scale, and the logits depend on the picture.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resnet.archs import Spec
from resnet.cache import cached_file
from resnet.inputs import Source, as_channels, find_source, pictures
from resnet.model import ResNet

# Part of the cache's key: raise it when the recipe below changes the weights.
RECIPE = 1
CALIBRATION_PICTURES = 16
CALIBRATION_IMAGE = 224
# Scale of a residual branch against its shortcut. At 1, as initialisers have it, each block amplifies the rounding
# errors of those before, which trained weights do not: bf16's logits then were 45 % off float32's at depth 152 and
# agreed on 1 picture of 16, and with this 5 % and on all 16 (2026-11-23, on a CPU).
BRANCH_SCALE = 0.15
# Spread of the logits over pictures; an ImageNet ResNet's is 2 to 3.
LOGIT_SPREAD = 2.5


def synthesize(
    spec: Spec, *, seed: int = 0, num_classes: int = 1000, in_channels: int = 3, source: Source | str = "photos"
) -> ResNet:
    """Return a ResNet with synthetic weights, equal for equal arguments and pictures; they are cached on disk."""
    if isinstance(source, str):
        source = find_source(source)
    arguments = f"{spec.name} {seed} {num_classes} {in_channels} {source.description()}"
    key = f"weights {RECIPE} {arguments} torch {torch.__version__}"
    ends = {"num_classes": num_classes, "in_channels": in_channels}
    return cached_resnet(key, spec, lambda: _synthesized(spec, seed, num_classes, in_channels, source), **ends)


def cached_resnet(key: str, spec: Spec, make: Callable[[], ResNet], **ends: int) -> ResNet:
    """Return the ResNet whose weights the cache has under a key; where it has none, they are of what `make` returns."""
    path, _ = cached_file(key, ".pt", lambda path: save_weights(make(), path))
    # the meta device would do, but initialising there imports torch._dynamo: 1.7 s, in every process
    with _Uninitialised():
        model = ResNet(spec, **ends)
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"), assign=True)
    return model.eval()


class _Uninitialised(TorchFunctionMode):
    """Leaves weights as their memory is: to draw them takes a third of the time of a model from the cache."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what `func` returns; a tensor that it would initialise as it is."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "").endswith(("uniform_", "normal_")):  # of nn.init, and of tensors
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def save_weights(model: nn.Module, path: Path) -> None:
    buffer = io.BytesIO()  # torch.save to a path does not say that a disk is full
    torch.save(model.state_dict(), buffer)
    path.write_bytes(buffer.getbuffer())


def digest(model: nn.Module) -> str:
    """Return a short digest of a model's weights, for records: equal weights have equal digests."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, Tensor):  # a module's extra state
            continue
        total.update(name.encode())
        data: Any = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        total.update(data)
    return total.hexdigest()[:16]


def _synthesized(spec: Spec, seed: int, num_classes: int, in_channels: int, source: Source) -> ResNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ResNet(spec, num_classes=num_classes, in_channels=in_channels).requires_grad_(False)
        _randomise(model)
        batch = pictures(CALIBRATION_PICTURES, CALIBRATION_IMAGE, seed=seed, source=source)
        norms = [module for module in model.eval().modules() if isinstance(module, nn.BatchNorm2d)]
        momentum = norms[0].momentum
        for norm in norms:  # normalises by the batch and keeps its statistics: one pass calibrates every layer
            norm.train().momentum = 1.0
        _calibrate_classifier(model, as_channels(batch, in_channels))
        for norm in norms:
            norm.momentum = momentum
    return model.eval()


def _randomise(model: ResNet) -> None:
    """Set scales and shifts as trained batch norms have them: none is 1 or 0, so tests see a fold that forgets one."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.1)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.bias, 0.0, 0.1)
    for block in model.modules():
        if getattr(block, "downsample", None) is not None:  # a batch norm ends the branch, in v2 a convolution
            *_, last = (layer for layer in block.children() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d))
            last.weight.mul_(BRANCH_SCALE)


def _calibrate_classifier(model: ResNet, batch: Tensor) -> None:
    """Scale and centre the last layer on the features of `batch` [N, C, H, W], which runs through the model once."""
    inputs: list[Tensor] = []
    hook = model.fc.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    model(batch)
    hook.remove()
    features = inputs[0].double()  # [N, features]
    mean = features.mean(0)
    weight = torch.randn(model.fc.weight.shape, dtype=torch.float64)
    # Without their component along the mean feature the logits depend on how a picture differs from the others, and no
    # large common term cancels against the bias (which would cost the lower precisions digits).
    weight -= torch.outer(weight @ mean, mean) / mean.dot(mean)
    weight *= LOGIT_SPREAD / (weight @ (features - mean).T).std()
    model.fc.weight.copy_(weight)
    model.fc.bias.copy_(-(weight @ mean) + 0.1 * torch.randn(weight.shape[0], dtype=torch.float64))
