"""Triton's cache key of a kernel is the same in every process, whatever was compiled there before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# Every jitted function of kernels/, hashed in the order of their names or in the opposite one.
KEYS = """
import importlib, json, pkgutil, sys
import kernels
from triton.runtime.jit import JITCallable

functions = {}
for module in pkgutil.walk_packages(kernels.__path__, "kernels."):
    for value in vars(importlib.import_module(module.name)).values():
        if isinstance(value, JITCallable):
            functions[f"{value.fn.__module__}.{value.fn.__name__}"] = value
for name in sorted(functions, reverse=sys.argv[1] == "backward"):
    functions[name].cache_key
print(json.dumps({name: function.cache_key for name, function in functions.items()}))
"""


def keys(order: str) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", KEYS, order],
        cwd=Path(__file__).parents[2], env=env, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_keys_do_not_depend_on_the_order_in_which_functions_are_hashed() -> None:
    """A bundle of compiled kernels, or a warm cache, is of use to a process that compiles in another order."""
    forward = keys("forward")
    assert len(forward) > 15
    assert forward == keys("backward")
