"""The pinned prologue as sm_90 code: the arithmetic is before the wait, and nothing else is lost. Its numbers."""

import re
from dataclasses import replace

import pytest

from kernels import conv
from kernels.compiled.emit import compile_for, emit
from kernels.experiments import pinned_conv
from kernels.launch import INTERPRETED, compilations, launch_layer
from kernels.space.config import Config
from kernels.space.layer import Layer
from tests.kernels.experiments.test_gluon_conv import disassembled

LATE = Layer(1, 7, 7, 512, 512, (3, 3), 1, 1)
SPLIT = Config.parse("ptr-64x64x64-w4-s4-k16-g8-pdl")
CASES = {
    "split": (LATE, SPLIT),
    "whole": (Layer(1, 14, 14, 256, 256, (3, 3), 1, 1), replace(SPLIT, split_k=1)),
    "1x1": (Layer(1, 14, 14, 1024, 256, (1, 1)), replace(SPLIT, split_k=4)),
}


@pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")
@pytest.mark.parametrize("name", CASES)
def test_the_arithmetic_is_before_the_wait(name: str) -> None:
    """Of conv.py's kernel none is. The copies stay asynchronous, as many as there, and x's 16 bytes wide."""
    layer, config = CASES[name]
    before, emitted = {}, {}
    for module, compile_all in ((conv, compilations), (pinned_conv, pinned_conv.compilation)):
        compilation, *_ = compile_all(layer, config)
        kernel, emitted[module] = compile_for(compilation, 90), emit(compilation, 90)
        _, code = disassembled(kernel.asm["cubin"])
        names = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", code)
        before[module] = next(at for at, name in enumerate(names) if name.startswith("ACQBULK"))
        assert ("prefetch.global.L2" in kernel.asm["ptx"]) == (module is pinned_conv)
        assert kernel.asm["ptx"].count("griddepcontrol.wait") == 1
    assert before[conv] < 5
    assert before[pinned_conv] > 40
    plain, pinned = emitted[conv], emitted[pinned_conv]
    assert not pinned.spills
    assert pinned.fits
    assert (pinned.async_loads, pinned.tensor, pinned.shared) == (plain.async_loads, plain.tensor, plain.shared)


def test_what_it_cannot_do_is_refused() -> None:
    for layer, config in (
        (replace(LATE, prologue=True), SPLIT),
        (replace(LATE, c_in=3), SPLIT),
        (replace(LATE, c_in=96), SPLIT),
        (LATE, replace(SPLIT, split_k=128)),
    ):
        assert pinned_conv.rejection_reason(layer, config)
        with pytest.raises(ValueError, match=re.escape(layer.key)):
            pinned_conv.compilation(layer, config)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_as_conv_on_a_card(name: str, operands) -> None:
    import torch

    from kernels.launch import empty_output

    if torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("programmatic dependent launch begins with sm_90")
    layer, config = CASES[name]
    given, outs = operands(layer, device="cuda"), [empty_output(layer, "cuda") for _ in range(2)]
    for enqueue, out in zip((launch_layer, pinned_conv.launch), outs, strict=True):
        enqueue(layer, config, given, out)
    assert torch.equal(*outs)
