"""The files around the code say the same as each other."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
STACKS = ("constraints.txt", "constraints-2.11.txt")  # the newest and the oldest


def requirements() -> dict[str, SpecifierSet]:
    """The ranges of pyproject.toml, all extras; but for the checkout itself and other machines' onnxruntime-gpu."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    found: dict[str, SpecifierSet] = {}
    for need in map(Requirement, needs):
        if need.name not in (project["name"], "onnxruntime"):
            name = canonicalize_name(need.name)
            found[name] = found.get(name, SpecifierSet()) & need.specifier
    return found


def pins(stack: str) -> dict[str, Version]:
    found = re.findall(r"^([\w-]+)==(\S+)$", (ROOT / stack).read_text(), re.M)
    return {canonicalize_name(name): Version(version) for name, version in found}


@pytest.mark.parametrize("stack", STACKS)
def test_the_pins_are_inside_the_ranges(stack: str) -> None:
    pinned = pins(stack)
    assert [f"{name}{range_}" for name, range_ in requirements().items() if pinned[name] not in range_] == []


def test_no_older_torch_or_triton_is_promised_than_is_tested() -> None:
    """Newer ones may be installed: whoever upgrades wants to see what it changes."""
    for name in ("torch", "triton"):
        oldest = pins(STACKS[1])[name]
        assert f">={oldest.major}.{oldest.minor}" in str(requirements()[name])
    assert all(pins(stack).keys() == pins(STACKS[0]).keys() for stack in STACKS)


def test_make_knows_the_stacks() -> None:
    for stack, constraints, venv in (("", STACKS[0], ".venv"), ("2.11", STACKS[1], ".venv-2.11")):
        command = ["make", "-n", "setup", f"STACK={stack}", "PYTHON=any"]
        words = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f'--constraints "{constraints}"' in words
        assert re.search(rf'--venv "[^"]*{re.escape(venv)}"', words) or " " in str(ROOT)


def test_help_names_every_target() -> None:
    targets = re.search(r"^\.PHONY: help (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert targets
    words = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^make ([\w-]+) ", words, re.M) == targets[1].split()
