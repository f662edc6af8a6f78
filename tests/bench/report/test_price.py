"""What a precision may cost: limits by intervals, and 8 bits that nobody let in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.records import quality
from bench.records.record import Record
from bench.report.recommend import Assessment, Budget, assess, choose
from bench.report.recommend_groups import pareto_front
from bench.report.recommend_runs import useful_runs
from bench.report.rows import rows_from_records
from tests.bench.report.precisions import score, sweep
from tests.bench.report.shown import Make

INT8 = "resnet50/onnxruntime/int8/b1/i224/stream"


def judged(record: Record, **budget: Any) -> Assessment:
    (row,) = rows_from_records([record])
    return assess(row, Budget(**budget))


def test_a_loss_is_within_a_limit_or_over_it_by_its_interval(record: Make) -> None:
    small = record(INT8, score=score(490, lost=3, gained=3))  # 0.0 points, at most 1.2
    assert judged(small, accuracy_loss=0.02).fits
    (why,) = judged(small, accuracy_loss=0.01).undecided
    assert why.startswith("loss within 1 percentage points not shown: 0.0 percentage points (-1.2 to 1.2) of 500 pict")
    assert judged(record(INT8, score=score(400, lost=60)), accuracy_loss=0.05).violated == [
        "loss of accuracy over 5 percentage points"
    ]
    assert judged(record(INT8, score=score(490, labelled=False)), accuracy_loss=0.5).undecided == [
        "accuracy not on record, as its score is of pictures without labels"
    ]
    assert judged(record(INT8.replace("int8", "bf16")), accuracy_loss=0.5).undecided == [
        "accuracy not on record, as it was not scored"
    ]
    by_chance = judged(record(INT8, score=score(490), network={"weights": "synthetic"}), accuracy_loss=0.5)
    assert by_chance.undecided == ["its weights are synthetic, so that answers are right by chance"]
    assert judged(record(INT8.replace("int8", "fp32")), accuracy_loss=0.001).fits  # with which the others are compared


def test_more_pictures_are_named_where_they_may_tell(record: Make) -> None:
    def why(most: float) -> str:
        return judged(record(INT8, score=score(490, lost=4, gained=2)), accuracy_loss=most).undecided[0]

    assert why(0.01).endswith("of 500 pictures; some 1,800 might")
    assert why(0.004).endswith("of 500 pictures, too near for more of them to tell")  # of 0.4 points


def test_an_agreement_is_judged_by_its_interval_and_the_gate_s_few_pictures_are_none_of_eight_bits(
    record: Make,
) -> None:
    scored = record(INT8, score=score(430, labelled=False))  # 83 to 89 %
    assert judged(scored, agreement=0.8).fits
    assert judged(scored, agreement=0.95).violated == ["agreement under 0.95"]
    assert judged(scored, agreement=0.87).undecided == [
        "agreement of 0.87 not shown: 86 % (83 to 89) of 500 pictures; some 5,000 might"
    ]
    unscored = judged(record(INT8), agreement=0.8)
    assert unscored.undecided == ["agreement not on record, as it was not scored"]
    assert [cost.pictures for cost in unscored.costs] == [0]


def test_eight_bits_are_left_out_where_no_limit_says_what_they_may_cost(record: Make) -> None:
    records = sweep(record, {"resnet50": 1.0})
    found = choose(records, Budget())
    assert found.best
    assert found.best.row.case.precision == "bf16"
    assert [case.row.case.precision for case in found.eight_bits] == ["int8"] * 4
    let_in = choose(records, Budget(agreement=0.8))
    assert let_in.best
    assert let_in.best.row.case.precision == "int8"
    assert let_in.eight_bits == []
    alone = choose([one for one in records if one.case.precision == "int8"], Budget())
    assert alone.best  # they were asked for


def test_the_cases_that_none_beats_are_no_8_bits_alone(record: Make) -> None:
    choice = choose(sweep(record, {"resnet50": 1.0}), Budget(), listed=True)
    front = {(case.row.case.variant, case.row.case.precision) for case in pareto_front(choice.fitting)}
    assert front == {("library-fused", "int8"), ("library-fused", "bf16")}


def test_what_labels_would_tell_is_not_told_without_them(record: Make) -> None:
    unlabelled = [one for one in sweep(record, {"resnet50": 1.0}, labelled=False) if one.case.precision != "fp32"]
    choice = choose(unlabelled, Budget(accuracy_loss=0.005))
    assert choice.answer == "cannot tell"
    ((why, command),) = useful_runs(choice, [Path("out")])
    assert why.startswith(
        "This run scores library-fused/int8, batch 8 and 4 more on DIR, a folder of labelled pictures;"
    )
    assert " accuracy" in command
    assert command.endswith("--data DIR")


def test_the_price_in_words(record: Make) -> None:
    (row,) = rows_from_records([record(INT8, score=score(415, labelled=False))])
    assert quality.describe_score(row.score) == "agrees with float32 on 83 % (79 to 86) of 500 pictures"


def test_each_choice_of_8_bits_has_its_place_and_its_run(record: Make) -> None:
    settings = ({"calibrate": "minmax", "latency_s": 1.0}, {"keep_wide": "conv1", "latency_s": 1.0})
    records = [
        record(name, ms=ms + number, round=number, settings=one, score=score(430, labelled=False) if ms < 30 else {})
        for number, one in enumerate(settings)
        for name, ms in ((INT8, 10), (INT8.replace("int8", "fp32"), 30))
    ]
    failed = record(INT8, status="wrong", reason="far off", round=2, settings=settings[1])
    choice = choose([*records, failed], Budget(agreement=0.87))
    (open_case,) = choice.undecided
    assert (open_case.row.choices, choice.excluded) == (
        "calibrate minmax, keep-wide none", {"wrong in 1 of 2 rounds": 1},
    )  # fmt: skip
    ((why, command),) = useful_runs(choice, [Path("out")])
    assert why.startswith(
        "This run scores onnxruntime/int8, batch 1, calibrate minmax, keep-wide none on 5,000 pictures"
    )
    assert command.endswith(" --calibrate minmax --pictures 5000")
    both = useful_runs(choose(records, Budget(agreement=0.87)), [Path("out")])
    assert [one.split(" --", 1)[1].split(" --pictures")[0] for _, one in both] == [
        "calibrate minmax",
        "keep-wide conv1",
    ]


def test_synthetic_weights_and_labels_need_a_file(record: Make) -> None:
    (choice,) = [choose([record(INT8, network={"weights": "synthetic"}, score=score(490))], Budget(accuracy_loss=0.02))]
    ((why, command),) = useful_runs(choice, [Path("out")])
    assert "measures with weights from FILE" in why
    assert command.endswith("--weights FILE --data DIR")
