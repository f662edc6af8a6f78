"""The pinned kernel's numbers: conv.py's, bit for bit."""

from dataclasses import replace

import pytest
import torch

from kernels import Config, Layer
from kernels.experiments import pinned_conv
from kernels.launch import empty_output

CASES = {
    "3x3": Layer(2, 5, 7, 32, 32, (3, 3), 1, 1),
    "3x3 stride 2": Layer(2, 6, 7, 32, 64, (3, 3), 2, 1, relu=False),
    "1x1, residual": Layer(2, 4, 5, 64, 32, (1, 1), residual=True),
}


@pytest.mark.parametrize("split_k", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_as_conv(name: str, split_k: int, operands, check) -> None:
    layer = replace(CASES[name], dtype="fp32")
    config = Config("ptr", 32, 32, 32, 4, 3, split_k=split_k)
    given = operands(layer)
    want = check(layer, config, given=given)
    out = empty_output(layer, "cpu")
    out.fill_(torch.nan)
    pinned_conv.launch(layer, config, given, out)
    assert torch.equal(out, want)
