"""`bench kernels --check` for real: commits that make kernels worse, in a checkout of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.machine.environment import ROOT
from tests.bench.cli.kernels.planted import bench, write_table

pytest.importorskip("triton")


# Four layers by four configurations; their group of row tiles tells the planted source below which is which.
PLANTED = {
    "resnet18/fp16-n1-14x14x256-3x3-s1-p1-k256-relu": "ptr-64x64x32-w4-s3-k1-g3",
    "resnet18/fp16-n1-14x14x256-3x3-s1-p1-k256-residual-relu": "ptr-64x64x64-w4-s3-k1-g4",
    "resnet18/fp16-n1-28x28x128-3x3-s1-p1-k128-relu": "ptr-128x64x32-w4-s3-k1-g5",
    "resnet18/fp16-n1-7x7x512-3x3-s1-p1-k512-relu": "ptr-64x64x64-w4-s3-k1-g6",
}
OPTIONS = 'options = {"num_warps": config.warps, "num_stages": config.stages}'
BOUND = OPTIONS + '\n    options |= {"maxnreg": 128} if config.group_m == 5 else {}'
WORSE = OPTIONS + '\n    options |= {3: {"maxnreg": 32}, 4: {"num_stages": 6}}.get(config.group_m, {})'
DOT = "acc = add_product(acc, a, b, PRECISION, SERIAL)"
PLAIN = f"{DOT} if GROUP_M != 6 else " + (
    'tl.dot(a.to(tl.float32), tl.trans(b).to(tl.float32), acc, input_precision="ieee")'
)
FOUND = {  # of each layer what the summary says
    "g3": r"spills: none -> \d+ bytes of stack",
    "g4": r"blocks on an SM: \d -> \d \(bytes shared 32,768 -> 81,920\)",
    "g5": r"blocks on an SM: 4 -> 3 \(registers 128 -> \d+\)",
    "g6": r"tensor cores: \d+ HMMA -> none",
}


@pytest.mark.slow
def test_commits_that_make_kernels_worse(tmp_path: Path) -> None:
    """For real: a checkout is accepted; a commit has one spill, take shared memory, registers, leave tensor cores."""
    tree = tmp_path / "tree"
    for name in ("bench", "kernels", "resnet"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / ".gitignore").write_text("__pycache__/\n")

    def git(*words: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        done = subprocess.run(["git", *identity, *words], cwd=tree, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def edit(path: Path, old: str, new: str) -> None:
        source = path.read_text()
        assert source.count(old) >= 1, old
        path.write_text(source.replace(old, new))

    options, kernel = tree / "kernels" / "launch.py", tree / "kernels" / "conv.py"
    edit(options, OPTIONS, BOUND)
    end = "WIDE: tl.constexpr, SERIAL: tl.constexpr,\n):  # fmt: skip"
    edit(kernel, end, end.replace(",\n", ", GROUP_M: tl.constexpr = 8,\n"))
    passed = "BLOCK_N, BLOCK_K, PRECISION, WIDE, SERIAL,\n"
    edit(kernel, passed, passed.replace(",\n", ", GROUP_M,\n"))
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "good")
    good = git("rev-parse", "HEAD")[:10]
    table = tmp_path / "table.json"
    write_table(table, {(use, 80): config for use, config in PLANTED.items()})
    chosen = ("--arch", "sm_80", "--table", str(table), *(word for use in PLANTED for word in ("-f", use)))
    accepted = bench("--accept", "accepted.json", *chosen, folder=tree)
    assert accepted.returncode == 0, accepted.stderr
    assert f"at {good}, in accepted.json" in accepted.stderr
    assert re.search(r"\d HMMA", accepted.stdout)
    assert max(len(line) for line in accepted.stdout.splitlines() if "  " in line) <= 80
    edit(options, BOUND, WORSE)
    edit(kernel, DOT, PLAIN)
    git("commit", "-qam", "worse")
    checked = bench("--check", "accepted.json", *chosen, folder=tree)
    assert checked.returncode == 1, checked.stdout
    said = " ".join(checked.stdout.split())
    assert f"Against {good}" in said
    assert re.search(f"this is {git('rev-parse', 'HEAD')[:10]}: 4 regressed, [01] improved, 0 new, 0 vanished", said)
    for use, config in PLANTED.items():
        named = f"regressed: sm_80 conv {config} for {use} "
        assert re.search(re.escape(named) + FOUND[config[-2:]], said), said
