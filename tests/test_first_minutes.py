"""A new user's first ten minutes: the lines of the README and of docs/RECIPES.md as they stand there, in a clone.

Runs of cases that are named by axes get small pictures and short windows besides, and the plan `smoke` is one case.
"""

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
SHORT = dict(re.findall(r"^\*\*(\d\. .+?)\*\*.*?\n(.*?)(?=^\*\*|^\[|\Z)", PAGE, re.M | re.S))
LONG = sections((ROOT / "docs" / "RECIPES.md").read_text(), r"\d\. .+?")
RECIPES = {f"README {name}": text for name, text in SHORT.items()} | LONG
SMALL = " --image 32 --samples 12 --min-time 0.05"
PLAN = """why = "The least that is compared."
[measure]
warmup_s = 0.0
latency_s = 0.05
latency_limit_s = 0.2
throughput_s = 0.05
[[group]]
why = "One case."
model = "resnet18"
variant = "eager"
precision = "fp32"
batch = 1
image = 32
"""


def test_the_readme_has_five_recipes_of_at_most_four_lines() -> None:
    assert len(SHORT) == 5
    assert all("```bash\nbench " in text for text in RECIPES.values())
    lines = {name: sum(text.count("\n") for _, text in BLOCK.findall(recipe)) for name, recipe in SHORT.items()}
    assert max(lines.values()) <= 4, lines


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this checkout's files as its one commit, and a checkpoint of one's own beside them."""
    folder = tmp_path_factory.mktemp("clone")
    copy_checkout(folder)
    (folder / "bench" / "plans" / "smoke.toml").write_text(PLAN)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "as it is here")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")  # a pull request's target
    import torch

    state = resnet.build("resnet18", num_classes=10, source="noise").state_dict()
    torch.save({"epoch": 3, "model_state_dict": state}, folder / "finetuned.pth")
    return folder


@pytest.fixture(scope="module")
def run(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    return shell(clone, tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def run_forked(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """As `run`, in half the time where there are a dozen processes."""
    return shell(clone, tmp_path_factory.mktemp("programs"), RESNET_BENCH_START="fork")


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
def test_a_recipe_does_what_it_says(
    name: str, clone: Path, run: Callable[..., str], run_forked: Callable[..., str]
) -> None:
    for language, text in BLOCK.findall(RECIPES[name]):
        if language == "python":
            write(clone, text)
            continue
        for line in text.splitlines():
            command = re.sub(r"\s+#.*", "", line)
            judges = command.startswith(("bench compare", "bench ab"))  # the verdict is the machine's
            codes = (0, 1, 4) if judges or "--compare" in command or "recommend" in command else (0,)
            if " smoke" in command:
                output = run_forked(command, codes)
            else:
                output = run(command + SMALL * command.startswith("bench run"), codes)
            assert not judges or "1 case" in output
