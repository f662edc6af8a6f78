from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.records.record import Record
from bench.records.store import Store
from bench.report.markdown import render_markdown, splice

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
