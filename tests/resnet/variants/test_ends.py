"""Models of other classes and channels than ImageNet's, through every variant that a CPU can prepare."""

import pytest
import torch

import resnet
from resnet.archs import Spec
from resnet.model import ResNet
from resnet.variants import fused, prepare
from tests.resnet.sixteen_bits import skip_without_bf16


@pytest.mark.parametrize(
    ("variant", "precision"),
    [
        ("eager", "fp32"),
        ("eager", "bf16"),
        ("channels-last-amp", "bf16"),
        ("library-fused", "fp32"),
        ("library-fused", "bf16"),
        pytest.param("onnxruntime", "fp32", marks=pytest.mark.slow),  # the export
    ],
)
def test_ten_classes_of_grey_pictures(variant, precision, error, tolerance) -> None:
    if variant == "onnxruntime":
        pytest.importorskip("onnxruntime")
    skip_without_bf16(variant, precision)
    model = resnet.build("resnet18", num_classes=10, in_channels=1, source="noise")
    batch = resnet.pictures(2, 64, source="noise")[:, :1]
    runner = prepare(variant, model, batch, precision, "stream")
    logits = runner(runner.place(batch))
    assert logits.shape == (2, 10)
    assert error(model, batch, logits) < tolerance[precision]


@pytest.mark.parametrize("channels", [1, 4, 14])
@pytest.mark.parametrize("name", ["resnet18", "resnet18v2"])
def test_the_fused_stem_takes_other_channels(name, channels, error, tolerance) -> None:
    model = ResNet(Spec.parse(name), 10, channels).eval().requires_grad_(False)
    batch = torch.randn(2, channels, 32, 32)
    runner = fused.prepare(model, batch, "fp16", "stream")
    assert error(model, batch, runner(runner.place(batch))) < tolerance["fp16"]


def test_more_channels_are_refused_with_the_variant_that_takes_them() -> None:
    model = ResNet(Spec.parse("resnet18"), 10, 16).eval().requires_grad_(False)
    with pytest.raises(ValueError, match="takes fewer than 16 channels: library-fused runs 16"):
        fused.prepare(model, torch.randn(1, 16, 32, 32), "fp16", "stream")
