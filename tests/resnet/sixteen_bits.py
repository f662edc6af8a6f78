"""Where a CPU cannot compute in bf16."""

import pytest
import torch


def skip_without_bf16(variant: str, precision: str) -> None:
    """Skip the test of a variant whose bf16 oneDNN computes, on a CPU that has no instructions for it."""
    if (variant, precision) == ("library-fused", "bf16") and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this CPU has no instructions for oneDNN's bf16")
