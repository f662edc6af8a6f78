"""A model's identity changes with whatever source it runs, and with nothing else."""

import importlib
import sys
from pathlib import Path

import pytest
from torch import nn

from resnet.outside.identity import code_digest, identity

NET = """
from torch import nn
from .settings import SLOPE
class Net(nn.Module):
    def forward(self, x):
        from . import late
        return late.double(nn.functional.leaky_relu(x, SLOPE))
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    folder = tmp_path / "identified"
    folder.mkdir()
    for name, text in {"__init__": "", "net": NET, "settings": "SLOPE = 0.1", "late": "", "other": ""}.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "identified"]:  # of another test's folder
        monkeypatch.delitem(sys.modules, name)
    for name in ("identified.late", "identified.other"):
        importlib.import_module(name)
    model: nn.Module = importlib.import_module("identified.net").Net()
    return model


@pytest.mark.parametrize(("name", "changes"), [("net", True), ("settings", True), ("late", True), ("other", False)])
def test_an_edit_of_what_a_model_imports_is_another_model(
    name: str, changes: bool, net: nn.Module, tmp_path: Path
) -> None:
    before = identity(net), code_digest(net)
    with (tmp_path / "identified" / f"{name}.py").open("a") as file:
        file.write("\nEDITED = 1\n")
    after = identity(net), code_digest(net)
    assert [one != other for one, other in zip(before, after, strict=True)] == [changes, changes]
