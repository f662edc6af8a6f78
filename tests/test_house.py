"""The files around the code say the same as each other."""

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def test_the_pins_are_inside_the_ranges() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    for requirement in map(Requirement, needs):
        if requirement.name not in (
            project["name"],
            "onnxruntime",
        ):  # the checkout itself; other machines' onnxruntime-gpu
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_help_names_every_target() -> None:
    targets = re.search(r"^\.PHONY: help (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert targets
    words = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^make ([\w-]+) ", words, re.M) == targets[1].split()
