"""What users rely on: names, documents that keep up with the code, a README that one reads to its end."""

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
RECIPES = (ROOT / "docs" / "RECIPES.md").read_text()
COMMANDS = (ROOT / "docs" / "COMMANDS.md").read_text()
FOLDED = re.compile(r"<details>.*?</details>", re.S)
DOCUMENTS = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


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


def test_the_example_of_the_recipes_runs(tmp_path: Path) -> None:
    """As it stands there, but for a tiny plan in the place of its names."""
    (block,) = re.findall(r"```python\n(import bench\n.*?)```", RECIPES, re.S)
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


def words_of(page: str) -> list[str]:
    """Return the words that a reader sees: no markup, no addresses of links, no rules of tables."""
    page = re.sub(r"<!--.*?-->|\]\([^)]*\)|^\|[-:|]+\|$", "", page, flags=re.M | re.S)
    return [word for word in re.sub(r"<[^>]+>", " ", page).split() if re.search(r"\w", word)]


def test_the_readme_is_short() -> None:
    seen = words_of(FOLDED.sub("", README))
    assert len(seen) < 900
    assert len(words_of(README)) < 1200  # nothing long is hidden by folding it


def test_the_readme_begins_with_a_sentence_a_picture_and_two_commands() -> None:
    sentence, picture, commands = (README.index(text) for text in ("\nWhich way ", "<picture>", "```\nmake bench "))
    assert sentence < picture < commands
    (block,) = re.findall(r"```\n(make bench.*?)```", README, re.S)
    assert [line.split(" ")[:2] for line in block.splitlines()] == [["make", "bench"], ["make", "test"]]


def test_a_table_of_the_readme_has_at_most_eight_rows_that_are_not_folded() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", FOLDED.sub("", README), re.M)
    assert len(tables) == 2
    assert max(table.count("\n") - 2 for table in tables) <= 8


@pytest.mark.parametrize("name", VARIANTS)
def test_the_readme_names_every_variant(name: str) -> None:
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("name", plan.plan_names())
def test_the_page_of_commands_names_every_plan(name: str) -> None:
    assert f"| `{name}` |" in COMMANDS


def test_the_page_of_commands_has_each_once_with_an_example() -> None:
    sections = re.findall(r"^### bench (\w+)\n(.*?)(?=^##|\Z)", COMMANDS, re.M | re.S)
    assert sorted(name for name, _ in sections) == sorted(PLACES)
    for name, text in sections:
        assert f"<!-- bench: command {name} -->" in text
        assert re.search(rf"```bash\nbench {name}\b", text), name
        assert f"(#bench-{name})" in COMMANDS, "the table at the top"


def test_the_record_format_names_every_field_and_status() -> None:
    text = (ROOT / "docs" / "FORMAT.md").read_text()
    for name in (*Record.__dataclass_fields__, *STATUSES):
        assert f"`{name}`" in text, name


def anchors_of(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    anchors: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S), re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        anchors.append(anchor + f"-{anchors.count(anchor)}" * (anchor in anchors))
    return set(anchors)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", document.read_text(), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", prose)
    for target in (first or second for first, second in links):
        if "://" in target or target.startswith("../../actions/"):  # GitHub's page of the workflow
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        assert not anchor or anchor in anchors_of(path.read_text()), target


def test_an_anchor_is_as_github_makes_it() -> None:
    page = "# A `b`, and c\n```\n# no\n```\n## One case, one process\n## [X](y) & Z\n## One\n## One\n"
    assert anchors_of(page) == {"a-b-and-c", "one-case-one-process", "x--z", "one", "one-1"}


def test_every_source_file_of_the_architecture_page_exists() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for folder in ("resnet", "bench"):
        section = text.split(f"## {folder}/")[1].split("\n## ")[0]
        for name in re.findall(r"^\| (.+?) \|", section, re.M):
            for file in re.findall(r"`([\w/]+\.py)`", name):
                assert (ROOT / folder / file).exists(), f"{folder}/{file}"
