"""What users rely on: names, documents that keep up with the code."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

import bench
import resnet
from bench.cli import app
from bench.plans import plan
from bench.records.record import STATUSES, Record
from resnet.variants import VARIANTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_public_names_are_these() -> None:
    assert sorted(bench.__all__) == ["Case", "Plan", "Record", "Settings", "Store", "Sweep", "load", "load_plan"]
    assert sorted(resnet.__all__) == [
        *("ARCHS", "MODELS", "Spec", "VARIANTS", "Variant", "build", "pictures", "prepare")
    ]
    for module in (bench, resnet):
        assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("name", [*VARIANTS, *plan.curated()])
def test_the_readme_names_every_variant_and_plan(name: str) -> None:
    assert f"`{name}`" in README


def test_the_readme_names_every_command() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name in commands:
        assert f"`bench {name}" in README, name


def test_the_record_format_names_every_field_and_status() -> None:
    text = (ROOT / "docs" / "FORMAT.md").read_text()
    for name in (*Record.__dataclass_fields__, *STATUSES):
        assert f"`{name}`" in text, name


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_source_file_of_the_architecture_page_exists() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for folder in ("resnet", "bench"):
        section = text.split(f"## {folder}/")[1].split("\n## ")[0]
        for name in re.findall(r"^\| (.+?) \|", section, re.M):
            for file in re.findall(r"`([\w/]+\.py)`", name):
                assert (ROOT / folder / file).exists(), f"{folder}/{file}"
