"""Triton 3.6's interpreter beside numpy 2.4 and later: what Triton 3.7 does there, and no more."""

from __future__ import annotations

from typing import Any

from triton.runtime import interpreter


def take_sizes_of_one() -> None:
    """Lets a tensor of one element be the bound of a loop.

    The interpreter holds a scalar in an array of shape [1]. Triton 3.6 hands that to `int`, which numpy refuses from
    2.4 on (before, it warned); 3.7 squeezes it first, so that this changes nothing there.
    """
    patch = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    interpreter._patch_lang_tensor = patched
