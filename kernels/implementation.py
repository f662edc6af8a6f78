"""The module that computes a layer. All of them have the same functions, so that what serves one serves each.

- `reference(layer, operands, dtype)`: the same in aten; `output(layer, device)`: uninitialised memory for the result;
- `calls(layer, config, operands, out, scratch)`: its launches with their arguments; `scratch_bytes(layer, config)`: the
  size of what they pass between them, for which `scratch` is memory;
- `launch(layer, config, operands, out)`, `compilation(layer, config)`: the same run, and compiled.
"""

from __future__ import annotations

from typing import Any

from kernels import conv, conv_tma, head, stem
from kernels.config import Config, Layer


def family(layer: Layer) -> Any:
    """For what no configuration decides: `reference` and `output`."""
    return stem if layer.pool else head if layer.mean else conv


def implementation(layer: Layer, config: Config) -> Any:
    """For what is launched."""
    bulk = config.impl == "tma" and not (layer.pool or layer.mean)
    return conv_tma if bulk else family(layer)
