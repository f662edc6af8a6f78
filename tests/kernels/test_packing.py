"""Packed weights: where each value goes, and what is refused."""

import copy

import pytest
import torch

from kernels.packing import Packed, pack, unpack
from kernels.space.layer import Layer


@pytest.mark.parametrize("c_in", [1, 3, 15, 16, 37, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("c_in2", [0, 5, 24])
def test_unpacking_gives_the_weights_back(c_in, dtype, c_in2) -> None:
    weight, weight2 = torch.randn(6, c_in, 3, 5), torch.randn(6, c_in2, 1, 1)
    packed = pack(weight, torch.randn(6), dtype, second=(weight2, None) if c_in2 else None)
    layer = Layer(1, 9, 9, c_in, 6, (3, 5), second=(9, 9, c_in2, 1) if c_in2 else None, dtype=packed.precision)
    first, behind = unpack(packed.weight, layer)
    assert torch.equal(first, weight.to(dtype))
    assert torch.equal(behind, weight2.to(dtype))
    assert packed.weight.shape[1] * packed.weight.element_size() % 16 == 0
    # what is not a weight is zero
    total = float(weight.to(dtype).double().abs().sum() + weight2.to(dtype).double().abs().sum())
    assert float(packed.weight.double().abs().sum()) == pytest.approx(total)


def test_columns_are_taps_then_channels() -> None:
    weight = torch.arange(2 * 16 * 9, dtype=torch.float32).reshape(2, 16, 3, 3)
    packed = pack(weight)
    assert torch.equal(packed.weight[1, 16 * 4 : 16 * 5], weight[1, :, 1, 1])
    assert torch.equal(packed.bias, torch.zeros(2))


def test_biases_add_up_in_float32() -> None:
    bias, bias2 = torch.randn(8), torch.randn(8)
    packed = pack(torch.randn(8, 16, 1, 1), bias.half(), torch.float16, second=(torch.randn(8, 4, 1, 1), bias2))
    assert packed.bias.dtype == torch.float32
    assert torch.equal(packed.bias, bias.half().float() + bias2)


def test_packed_is_a_copy_without_gradients_that_moves_and_names_itself() -> None:
    layer = torch.nn.Conv2d(16, 8, 3)
    packed = pack(layer.weight, layer.bias)
    before = packed.bias.clone()
    with torch.no_grad():
        layer.bias.zero_()
    assert torch.equal(packed.bias, before)
    assert not packed.weight.requires_grad
    assert packed.to("meta").weight.device.type == "meta"
    assert [name for name, _ in packed.named_buffers()] == ["weight", "bias"]
    assert repr(packed) == "Packed(16 -> 8, 3x3, fp32)"
    assert isinstance(copy.deepcopy(packed), Packed)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"weight": torch.randn(8, 4)}, "weight"),
        ({"weight": [[1.0]]}, "weight"),
        ({"weight": torch.randn(8, 0, 3, 3)}, "weight"),
        ({"bias": torch.empty(8, device="meta")}, "bias"),
        ({"second": (torch.empty(8, 4, 1, 1, device="meta"), None)}, "second"),
        ({"second": (torch.randn(8, 0, 1, 1), None)}, "second"),
        ({"bias": torch.randn(7)}, "bias"),
        ({"dtype": torch.float64}, "dtype"),
        ({"dtype": torch.float16, "tf32": True}, "tf32"),
        ({"second": (torch.randn(8, 4, 3, 3), None)}, "second"),
        ({"second": (torch.randn(7, 4, 1, 1), None)}, "second"),
        ({"second": (torch.randn(8, 4, 1, 1), torch.randn(7))}, "second"),
        ({"weight": torch.empty(70_000, 32_768, 1, 1, device="meta"), "bias": None}, "weight"),
    ],
)
def test_wrong_weights_are_named(wrong, named) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        pack(**{"weight": torch.randn(8, 4, 3, 3), "bias": torch.randn(8), **wrong})
