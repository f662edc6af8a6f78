"""What configurations cannot compute."""

from dataclasses import replace

import pytest

from kernels.space.fit import incompatibility_reason
from tests.kernels.shapes import ACTIVATED, BULK, FOLDED, MIDDLE, STEM, STRIDED


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (MIDDLE, None),
        (FOLDED, None),
        (STRIDED, None),
        (STEM, "channels"),
        (ACTIVATED, "prologue"),
        (replace(MIDDLE, dtype="fp32"), "tensor cores"),
        (replace(MIDDLE, dtype="tf32"), None),
        (replace(MIDDLE, c_in=20), "c_in=20"),
        (replace(MIDDLE, c_out=4), "c_out=4"),
        (replace(STRIDED, h=27), "even"),
        (replace(STRIDED, c_in=32), "block_k"),
        (replace(MIDDLE, stride=3), "stride"),
        (replace(FOLDED, second=(55, 56, 256, 2)), "second"),
    ],
)
def test_what_bulk_copies_cannot_do(layer, reason) -> None:
    found = incompatibility_reason(layer, BULK)
    assert (found is None) if reason is None else reason in found
