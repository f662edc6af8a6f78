"""What users rely on: names, documents that keep up with the code."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench
import resnet
from bench.cli import PLACES
from bench.plans import plan
from bench.plans.words import as_list
from bench.records.record import STATUSES, Record
from resnet.variants import VARIANTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_public_names_are_these() -> None:
    assert sorted(bench.__all__) == [
        *("BenchError", "Case", "Plan", "Record", "Settings", "Store", "Sweep"),
        *("compare", "load", "load_plan", "run"),
    ]
    assert sorted(resnet.__all__) == [
        *("ARCHS", "Calibration", "MODELS", "Spec", "VARIANTS", "Variant", "build", "pictures", "prepare")
    ]
    for module in (bench, resnet):
        assert all(hasattr(module, name) for name in module.__all__)


def test_importing_bench_leaves_pandas_alone() -> None:
    code = "import sys, bench; sys.exit(' '.join({'pandas', 'pyarrow', 'numpy', 'torch'} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    """As it stands there, but for a tiny plan in the place of its names."""
    (block,) = re.findall(r"```python\n(import bench\n.*?)```", README, re.S)
    plan = tmp_path / "tiny.toml"
    plan.write_text(
        'why = "A test."\nrounds = 1\n[measure]\nwarmup_s = 0.0\nlatency_s = 0.0\nsamples = 7\nthroughput_s = 0.01\n'
        'steal = 1.0\n[[group]]\nwhy = "Tiny."\nmodel = "resnet18"\nvariant = "eager"\nprecision = "fp32"\n'
        "batch = 1\nimage = 32\n"
    )
    for name in ("mine", "main"):
        block = block.replace(f'"results/{name}"', repr(str(tmp_path / name)))
    block = block.replace('"quick"', repr(str(plan))).replace("resnet50/*/fp32/b1/*", "resnet18/*/fp32/b1/*")
    bench.run(plan, tmp_path / "main")
    done = subprocess.run([sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resnet18/eager/fp32/b1/i32/stream" in done.stdout


@pytest.mark.parametrize(
    "call",
    [
        lambda: bench.run("no-such-plan"),
        lambda: bench.run("smoke", cases="no/such/case"),
        lambda: bench.run("smoke", seed=-1),
        lambda: bench.run("smoke", rounds=0),
        lambda: bench.run("smoke", calibration_pictures="many"),
        lambda: bench.run("resnet18/library-fused/int8", keep_wide=["fc", "none"]),
        lambda: bench.run("resnet18/library-fused/int8", keep_wide=99),
        lambda: bench.load(ROOT / "docs"),
        lambda: bench.load_plan("no-such-plan"),
        lambda: bench.compare(ROOT / "results/cpu-quick", ROOT / "results/cpu-quick"),
        lambda: bench.compare(ROOT / "results/cpu-quick", ROOT / "docs"),
    ],
)
def test_what_means_nothing_is_one_error(call: Callable[[], object]) -> None:
    with pytest.raises(bench.BenchError):
        call()


def test_a_glob_alone_is_a_glob_and_not_its_letters() -> None:
    assert as_list("resnet18/*") == as_list(["resnet18/*"]) == ["resnet18/*"]


@pytest.mark.parametrize("name", [*VARIANTS, *plan.plan_names()])
def test_the_readme_names_every_variant_and_plan(name: str) -> None:
    assert f"`{name}`" in README


def test_the_readme_names_every_command() -> None:
    for name in PLACES:
        assert f"`bench {name}" in README, name


def test_the_record_format_names_every_field_and_status() -> None:
    text = (ROOT / "docs" / "FORMAT.md").read_text()
    for name in (*Record.__dataclass_fields__, *STATUSES):
        assert f"`{name}`" in text, name


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)#:]+)\)", prose):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_source_file_of_the_architecture_page_exists() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for folder in ("resnet", "bench"):
        section = text.split(f"## {folder}/")[1].split("\n## ")[0]
        for name in re.findall(r"^\| (.+?) \|", section, re.M):
            for file in re.findall(r"`([\w/]+\.py)`", name):
                assert (ROOT / folder / file).exists(), f"{folder}/{file}"
