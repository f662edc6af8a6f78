"""What torch.compile is asked for, by version: Inductor's own convolutions only where they are right."""

import inspect

import pytest
import torch
import torch._inductor.config
from torch import nn

from resnet.variants.compile_max import WHY_ATEN_CONVOLUTIONS, inductor_options


@pytest.mark.parametrize(
    ("version", "right"),
    [("2.11.0+cu130", False), ("2.12.1", False), ("2.13.0+cpu", True), ("2.13.0a0+git1", False), ("2.14.0", True)],
)
def test_before_the_cure_convolutions_are_cudnn_s(version, right) -> None:
    options, told = inductor_options("cuda", version)
    assert options["freezing"]
    assert options["max_autotune"]
    assert options.get("max_autotune_conv_backends") == (None if right else "ATEN")
    assert told == ({} if right else {"convolutions": WHY_ATEN_CONVOLUTIONS})
    assert inductor_options("cpu", version) == ({"freezing": True}, {})


@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_the_cure_is_where_it_is_said_to_be() -> None:
    """Of the installed torch: windows larger than a pixel keep to 4 warps, or are not compiled by Inductor."""
    from torch._inductor.kernel import conv

    kept = "num_warps if unroll else min(cfg.num_warps, 4)" in inspect.getsource(conv.convolution)
    _, told = inductor_options("cuda", torch.__version__)
    assert kept is (not told)


@pytest.mark.filterwarnings("default")
def test_inductor_takes_the_options_and_asks_aten_alone() -> None:
    from torch._inductor.utils import _use_conv_autotune_backend

    options, _ = inductor_options("cuda", "2.11.0")
    net, x = nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8)
    with torch.no_grad(), torch._inductor.config.patch(options):
        assert _use_conv_autotune_backend("ATEN")
        assert not _use_conv_autotune_backend("TRITON")
        del options["coordinate_descent_tuning"]  # of a GPU's kernels
        torch.testing.assert_close(torch.compile(net, options=options)(x), net(x))
