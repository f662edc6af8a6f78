"""`import kernels`: what it offers, and that it costs nothing until something is used."""

import subprocess
import sys
from inspect import isclass, isfunction

import pytest

import kernels


def test_the_public_names_are_these_and_are_listed() -> None:
    assert kernels.__all__ == sorted(kernels.__all__, key=lambda name: (not name[0].isupper(), name))
    assert set(kernels.__all__) == {
        *("Config", "Layer", "Packed", "Widened"),
        *("conv_bias_act", "conv_bias_relu_pool", "pack", "pack_linear", "pool_linear", "widen"),
    }
    assert dir(kernels) == sorted(kernels.__all__)


@pytest.mark.parametrize("name", kernels.__all__)
def test_a_public_name_is_a_function_or_a_class_and_no_module_shadows_it(name: str) -> None:
    found = getattr(kernels, name)
    assert isclass(found) or isfunction(found)
    assert found.__name__ == name
    assert f"kernels.{name}" not in sys.modules


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'convolve'"):
        _ = kernels.convolve


def test_importing_it_imports_neither_torch_nor_triton_and_using_it_does() -> None:
    code = (
        "import sys, kernels\n"
        "heavy = lambda: print(sorted({'torch', 'triton', 'numpy'} & sys.modules.keys()), 'pack' in globals())\n"
        "heavy()\n"
        "from kernels import Config, Layer\n"
        "heavy()\n"
        "from kernels import *\n"
        "heavy()\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    light, types, everything = printed.splitlines()
    assert light == types == "[] False"
    assert "'torch'" in everything
    assert everything.endswith("True")
