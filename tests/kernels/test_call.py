"""What every op refuses, by the argument's name, and that what is merely large is taken."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels import (
    Config,
    Packed,
    Widened,
    call,
    conv_bias_act,
    conv_bias_relu_pool,
    pack,
    pack_linear,
    pool_linear,
    widen,
)

Weights = Packed | Widened


def of_conv(dtype: torch.dtype) -> Packed:
    return pack(torch.randn(8, 3, 7, 7), None, dtype)


def of_stem(dtype: torch.dtype) -> Widened:
    return widen(of_conv(dtype), 1, 3)


def of_head(dtype: torch.dtype) -> Packed:
    return pack_linear(torch.randn(8, 3), None, dtype)


OPS = [
    pytest.param(lambda x, packed, **rest: conv_bias_act(x, packed, 1, 3, **rest), of_conv, id="conv_bias_act"),
    pytest.param(conv_bias_relu_pool, of_stem, id="conv_bias_relu_pool"),
    pytest.param(pool_linear, of_head, id="pool_linear"),
]

CHANNELS_LAST = torch.channels_last


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"x": torch.randn(2, 3, 6, 5).half().to(memory_format=CHANNELS_LAST)}, "packed: for torch.float32"),
        ({"x": torch.randn(2, 3, 6, 5)}, "x: strides"),
        ({"x": torch.randn(2, 3, 6, 5, device="meta").to(memory_format=CHANNELS_LAST)}, "packed: on cpu"),
        ({"x": torch.randn(3, 6, 5)}, "x: of shape"),
        ({"x": torch.randn(2, 4, 6, 5).to(memory_format=CHANNELS_LAST)}, "x: 4 channels"),
        ({"x": torch.randn(2, 3, 0, 5).to(memory_format=CHANNELS_LAST)}, "x: 0 x 5 pixels"),
        ({"x": [[1.0]]}, "x: of type list"),
        ({"packed": torch.randn(8, 152)}, "packed: a Tensor"),
        ({"out": torch.randn(9, 9, 9, 9).to(memory_format=CHANNELS_LAST)}, "out: "),
        ({"out": torch.randn(2, 8).half()}, "out: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize(("op", "packed"), OPS)
def test_what_does_not_fit_is_refused_by_its_name(
    op: Callable[..., Tensor], packed: Callable[..., Packed | Widened], wrong: dict[str, Any], named: str
) -> None:
    given: dict[str, Any] = {
        "x": torch.randn(2, 3, 6, 5).to(memory_format=CHANNELS_LAST),
        "packed": packed(torch.float32),
    }
    with pytest.raises(ValueError, match=f"^{named}"):
        op(**given | wrong)


@pytest.mark.parametrize(("op", "packed"), OPS)
def test_weights_of_another_type_are_refused(
    op: Callable[..., Tensor], packed: Callable[..., Packed | Widened]
) -> None:
    x = torch.randn(2, 3, 6, 5).to(memory_format=CHANNELS_LAST)
    with pytest.raises(ValueError, match=r"^packed: for torch.float16"):
        op(x, packed(torch.float16))
    with pytest.raises(ValueError, match=r"^packed: for torch.float32, with a weight of torch.float16"):
        op(x, packed(torch.float32).half())


@pytest.mark.parametrize(("op", "packed"), OPS)
def test_more_pixels_than_32_bits_count_are_refused_and_more_elements_are_not(
    op: Callable[..., Tensor], packed: Callable[..., Packed | Widened]
) -> None:
    def of(*shape: int) -> Tensor:
        return torch.empty(*shape, dtype=torch.float16, device="meta").to(memory_format=CHANNELS_LAST)

    weights = packed(torch.float16).to("meta")
    assert op(of(2**10, 3, 2**10, 2**10), weights).shape[0] == 2**10  # 3 * 2^30 values
    with pytest.raises(ValueError, match=r"^x: \d+ .*pixels are more than 32 bits count"):
        op(of(2**14, 3, 2**10, 2**10), weights)


def test_a_configuration_that_is_none_for_the_layer_is_refused_before_it_is_launched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call, "INTERPRETED", True)  # as where the kernel would run
    x = torch.randn(2, 3, 6, 5).to(memory_format=CHANNELS_LAST)
    split = Config("ptr", 16, 16, 32, 4, 2, split_k=32)
    for op, packed in ((param.values[0], param.values[1]) for param in OPS):
        with pytest.raises(ValueError, match=r"^config: ptr-16x16x32-w4-s2-k32-g8 for fp32-n2-6x5x3"):
            op(x, packed(torch.float32), config=split)
