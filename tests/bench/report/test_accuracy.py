"""The table of right answers: the paired test, the rule of 99 %, what it says without labels, its width."""

from typing import Any

import pytest
from rich.console import Console

from bench.records.record import Record
from bench.report.accuracy import MET, NOT_MET, UNKNOWN, accuracy_rows, keeps, mcnemar, render_accuracy
from bench.report.terminal import print_accuracy
from tests.bench.report.shown import Make

NAME = "resnet18-digits-hard/{}/{}/b1/i32/stream"


def scored(
    record: Make, lost: int, gained: int, variant: str = "eager", precision: str = "int8", **more: Any
) -> Record:
    plain, pictures = 1800, 2000
    right = plain - lost + gained
    score = {"pictures": pictures, "agree": pictures - lost - gained, "rms": 0.1, "labelled": True, "top1": right}
    score |= {"top5": 1990, "plain_top1": plain, "plain_top5": 1995, "lost": lost, "gained": gained, "data": "abcd"}
    fields = {name: more.pop(name) for name in ("quantized", "settings") if name in more}
    return record(NAME.format(variant, precision), score=score | more, **fields)


def test_few_classes_have_no_five_likeliest_and_one_is_always_right(record: Make) -> None:
    few = scored(record, 3, 1)
    del few.score["top5"], few.score["plain_top5"]
    text = render_accuracy([few])
    assert "float32 has 90.0 % (88.6 to 91.3) right." in text
    assert "| eager | int8 | 89.9 | 88.5..91.2 | - | 0.1 |" in text
    few.network["num_classes"] = 1
    assert "right; it has one class, so that any answer is right." in render_accuracy([few])


def test_mcnemar_is_the_exact_one() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(64, 12) < 1e-8


@pytest.mark.parametrize(
    ("lost", "gained", "verdict"),
    [(0, 0, MET), (10, 9, MET), (25, 10, UNKNOWN), (30, 12, UNKNOWN), (60, 10, NOT_MET), (10, 60, MET)],
)
def test_the_rule_knows_its_interval(record: Make, lost: int, gained: int, verdict: str) -> None:
    assert keeps(scored(record, lost, gained)) == verdict


def test_the_rule_takes_another_share_and_none_without_labels(record: Make) -> None:
    assert keeps(scored(record, 60, 10), 0.9) == MET
    assert keeps(scored(record, 60, 10, labelled=False)) is None


def test_the_table_fits_and_says_what_was_not_read_and_what_failed(record: Make) -> None:
    records = [
        scored(record, 64, 12, "onnxruntime-trt", unread=3),
        scored(record, 0, 0, "channels-last-amp", "bf16", unread=3),
        record(NAME.format("fused", "int8"), status="wrong", reason="one channel is off"),
    ]
    out = Console(width=80, record=True, no_color=True)
    print_accuracy(out, records, 0.99)
    text = out.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "2,000 pictures and 3 more that could not be read" in " ".join(text.split())
    assert "one channel is off" in text
    assert "…" not in text
    row = next(line for line in text.splitlines() if "trt" in line)
    assert row.split()[1:4] == ["int8", "87.4", "85.9..88.8"]
    assert row.split()[-4:] == ["1.8..3.5", "<.001", "96.2", "no"]


def test_csv_has_raw_values_of_every_case(record: Make) -> None:
    failed = record(NAME.format("fused", "int8"), status="wrong", reason="one channel is off")
    first, second = accuracy_rows([failed, scored(record, 64, 12)])
    assert (first["accuracy"], first["plain_accuracy"], first["lost"], first["keeps"]) == (0.874, 0.9, 64, NOT_MET)
    assert first["accuracy_loss"] == pytest.approx(0.026)
    assert second == {"case": failed.case.name, "status": "wrong", "reason": "one channel is off"}


def test_documents_have_a_table_a_model_and_one_legend(record: Make) -> None:
    unlabelled = record("resnet18/eager/int8/b1/i64/stream", score={"pictures": 64, "agree": 60, "rms": 0.1})
    text = render_accuracy([scored(record, 64, 12), unlabelled])
    assert "float32 has 90.0 % (88.6 to 91.3) right" in text
    assert "no labels" in text
    assert "| eager | int8 | 94 | 85..98 | 10 |" in text  # and no column without a value
    assert text.count("McNemar") == 1
    assert "McNemar" not in render_accuracy([unlabelled])


def test_layers_kept_wide_are_counted_in_the_table_and_named_below(record: Make) -> None:
    mixed = scored(record, 10, 5, quantized={"wide": ["conv1", "fc"], "checked": "taps"}, settings={"keep_wide": "2"})
    text = render_accuracy([mixed, scored(record, 0, 0, precision="fp32")])
    assert "| eager | int8-2 | 89.8 |" in text
    assert "With keep-wide 2 (conv1, fc): eager/int8. right, top-5:" in text
    assert "- (prec): so many layers" in text


def test_synthetic_weights_are_right_by_chance_and_it_says_so(record: Make) -> None:
    chance = scored(record, 1, 1)
    chance.network = {"weights": "synthetic"}
    assert "right by chance" in render_accuracy([chance])
    assert "right by chance" not in render_accuracy([scored(record, 1, 1)])


def test_scores_of_other_choices_are_tables_of_their_own(record: Make) -> None:
    records = [scored(record, 10, 5), scored(record, 30, 5)]
    records[1].settings = {"keep_wide": "conv1"}
    headings = [line for line in render_accuracy(records).splitlines() if line.startswith("resnet18")]
    assert [line.split(", 2,000")[0].split("batch 1")[1] for line in headings] == [
        ", keep-wide conv1",
        ", keep-wide none",
    ]
