"""A new user's first ten minutes: the README's lines as they stand there, in a clone."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import resnet
from tests.pages import BLOCK, sections, shell, write
from tests.repositories import copy_checkout, git

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "README.md").read_text()
RECIPES = sections(PAGE, r"\d\. .+?")


def test_the_readme_has_five_recipes() -> None:
    assert len(RECIPES) == 5
    assert all("```bash\nbench " in text for text in RECIPES.values())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this checkout's files as its one commit, and a checkpoint of one's own beside them."""
    folder = tmp_path_factory.mktemp("clone")
    copy_checkout(folder)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "as it is here")
    import torch

    state = resnet.build("resnet18", num_classes=10, source="noise").state_dict()
    torch.save({"epoch": 3, "model_state_dict": state}, folder / "finetuned.pth")
    return folder


@pytest.fixture(scope="module")
def run(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    return shell(clone, tmp_path_factory.mktemp("programs"))


@pytest.mark.slow
def test_make_bench_needs_no_other_word(clone: Path) -> None:
    """With the smallest plan in place of the usual one, whose five minutes are no test's, and no set-up."""
    assert "\nmake bench " in PAGE
    # what `make test` was given, `ARGS=-x`, say, is not for the make within it
    variables = {"PLAN": "smoke", "PYTHON": sys.executable, "VENV": "", "CUDA_VISIBLE_DEVICES": "", "ARGS": ""}
    variables |= {"MAKEFLAGS": "", "MAKEOVERRIDES": ""}
    done = subprocess.run(["make", "bench"], cwd=clone, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Records: " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_what_it_says(name: str, clone: Path, run: Callable[..., str]) -> None:
    for language, text in BLOCK.findall(RECIPES[name]):
        if language == "python":
            write(clone, text)
            continue
        for line in text.splitlines():
            command = re.sub(r"\s+#.*", "", line)
            if command.startswith(("bench compare", "bench ab")):  # the verdict is the machine's
                assert "1 case" in run(command, (0, 1, 4))
            else:
                run(command)
