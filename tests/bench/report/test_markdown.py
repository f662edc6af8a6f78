from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StoreError
from bench.records.record import Record
from bench.records.store import Store
from bench.report.markdown import Files, first_folder, render_markdown, splice
from tests import gpu_records

Make = Callable[..., Record]
README = """# Title

<!-- bench: results/mine -->
old words
<!-- /bench -->

The rest.
"""


@pytest.fixture
def checkout(tmp_path: Path, record: Make) -> Path:
    store = Store(tmp_path / "results" / "mine")
    with store.writing():
        store.append(record("resnet50/eager/fp32/b1/i224/stream"))
        store.append(
            record("resnet50/eager/tf32/b1/i224/stream", status="skipped", reason="<script>alert(1)</script> | x")
        )
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_a_block_is_made_from_its_records_and_making_it_twice_changes_nothing(checkout: Path) -> None:
    assert [path.name for path in splice(checkout)] == ["README.md"]
    text = (checkout / "README.md").read_text()
    assert "| eager | fp32 | 1 | 10.00 |" in text
    assert "old words" not in text
    assert text.startswith("# Title\n")
    assert text.endswith("<!-- /bench -->\n\nThe rest.\n")
    assert splice(checkout) == []


def test_a_stale_block_is_found_and_left_alone_when_only_checking(checkout: Path) -> None:
    assert splice(checkout, write=False)
    assert (checkout / "README.md").read_text() == README


def test_words_from_records_are_shown_as_text(checkout: Path) -> None:
    splice(checkout)
    text = (checkout / "README.md").read_text()
    assert "<script>" not in text
    assert "&lt;script>" in text


def test_a_block_over_a_missing_folder_says_so(checkout: Path) -> None:
    (checkout / "README.md").write_text(README.replace("results/mine", "results/other"))
    with pytest.raises(StoreError, match=r"results/other holds no records\.jsonl"):
        splice(checkout)


def test_the_machine_and_the_day_stand_beside_the_numbers(record: Make) -> None:
    text = render_markdown([record("resnet50/eager/fp32/b1/i224/stream")])
    assert "2026-01-31" in text
    assert "torch 2." in text
    assert "plan `test`, seed 0, input photos" in text


SHORT = "# Title\n\n<!-- bench: short results/mine -->\n<!-- /bench -->\n"


def table_of(checkout: Path) -> list[list[str]]:
    """Return the cells of the rows of a README's first table."""
    lines = [line for line in (checkout / "README.md").read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_a_short_table_has_the_best_precision_of_each_variant_over_the_fastest_eager(
    tmp_path: Path, records: list[Record]
) -> None:
    store = Store(tmp_path / "results" / "mine")
    with store.writing():
        for one in records:
            store.append(one)
    (tmp_path / "README.md").write_text(SHORT)
    splice(tmp_path)
    rows = table_of(tmp_path)
    assert [row[:3] for row in rows] == [
        ["compile-max", "bf16", "15.00"],
        ["onnxruntime", "fp16", "20.00"],
        ["eager", "bf16", "30.00"],
    ]
    assert [row[4].partition("±")[0] for row in rows] == ["2.00", "1.50", "1.00"]
    text = (tmp_path / "README.md").read_text()
    assert text.index("resnet50, batch 1: ") < text.index("resnet50, batch 8: ") < text.index("| variant |")


def test_the_results_of_a_gpu_come_first_and_eager_is_among_eight_rows(tmp_path: Path, record: Make) -> None:
    with (store := Store(tmp_path / "results" / "mine")).writing():
        store.append(record("resnet50/eager/fp32/b1/i224/stream"))
    (tmp_path / "README.md").write_text(SHORT)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "RESULTS.md").write_text("<!-- bench: gpu results -->\n<!-- /bench -->\n")
    splice(tmp_path)
    assert [row[0] for row in table_of(tmp_path)] == ["eager"]
    assert "No record of a GPU" in (tmp_path / "docs" / "RESULTS.md").read_text()
    gpu_records.write_sweep(tmp_path / "results" / "local" / "h200", 355)  # which git does not see
    gpu_records.write_sweep(tmp_path / "results" / "h200" / "first", 3)
    gpu_records.write_sweep(tmp_path / "results" / "h200" / "headline", 355)
    assert first_folder(tmp_path, "results/mine") == "results/h200/headline"
    splice(tmp_path)
    rows = table_of(tmp_path)
    assert len(rows) == 8
    assert rows[-1][0].startswith("eager")
    assert "Not among these 8: " in (tmp_path / "README.md").read_text()
    assert "NVIDIA H200" in (tmp_path / "README.md").read_text()
    headings = [line for line in (tmp_path / "docs" / "RESULTS.md").read_text().splitlines() if line.startswith("### ")]
    assert headings == ["### results/h200/first", "### results/h200/headline"]


def test_records_without_a_speed_have_their_sentence(tmp_path: Path, record: Make) -> None:
    with (store := Store(tmp_path / "results" / "mine")).writing():
        store.append(record("resnet50/eager/tf32/b1/i224/stream", status="skipped", reason="no tensor cores"))
    (tmp_path / "README.md").write_text(SHORT)
    splice(tmp_path)
    assert "No case was measured" in (tmp_path / "README.md").read_text()


def test_a_kind_of_block_may_show_files_which_are_compared_too(checkout: Path) -> None:
    (checkout / "README.md").write_text("<!-- bench: drawn it -->\n<!-- /bench -->\n")

    def drawn(root: Path, source: str, files: Files) -> str:
        files[root / "results" / "pictures" / f"{source}.svg"] = b"<svg/>"
        return "![it](results/pictures/it.svg)\n"

    picture = checkout / "results" / "pictures" / "it.svg"
    kinds = {"drawn": drawn}
    assert splice(checkout, write=False, kinds=kinds) == [checkout / "README.md", picture]
    assert not picture.exists()
    splice(checkout, kinds=kinds)
    assert picture.read_bytes() == b"<svg/>"
    assert splice(checkout, write=False, kinds=kinds) == []
    picture.write_text("<svg>of older records</svg>")
    assert splice(checkout, write=False, kinds=kinds) == [picture]


def test_a_block_of_no_kind_says_which_there_are(checkout: Path) -> None:
    (checkout / "README.md").write_text("<!-- bench: shrot results/mine -->\n<!-- /bench -->\n")
    with pytest.raises(StoreError, match="no block is of the kind 'shrot'; there are short, gpu"):
        splice(checkout)


def test_the_name_of_a_machine_is_text_in_a_short_table(tmp_path: Path, record: Make, here: dict[str, Any]) -> None:
    environment = here | {"cpu": {"name": "<img src=x> | \x1b[31m", "cores": 2}}
    with (store := Store(tmp_path / "results" / "mine")).writing():
        store.append(record("resnet50/eager/fp32/b1/i224/stream", environment=environment))
    (tmp_path / "README.md").write_text(SHORT)
    splice(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "&lt;img src=x> \\|" in text
    assert "<img" not in text
    assert "\x1b" not in text
