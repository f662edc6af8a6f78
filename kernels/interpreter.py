"""A patch of Triton 3.6's interpreter for numpy 2.4 and later, as Triton 3.7 has it."""

from __future__ import annotations

from typing import Any

from triton.runtime import interpreter


def accept_one_element_bounds() -> None:
    """Allow a tensor of one element as the bound of a loop.

    The interpreter keeps a scalar in an array of shape [1]. Triton 3.6 passes that to `int`, which numpy rejects from
    2.4 on (before, it warned); 3.7 squeezes it first, so this changes nothing there.
    """
    original = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    interpreter._patch_lang_tensor = patched
