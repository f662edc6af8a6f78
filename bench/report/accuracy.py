"""The answers of cases beside float32's on the same pictures: how many are right, how many agree, and what was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from bench.records import quality
from bench.records.quality import Share
from bench.records.record import Record
from bench.records.same import by_way, in_words
from bench.report.cells import EIGHT_BIT_MARKS, eight_bit_marks, percent_rms
from bench.report.evidence import describe_choices
from bench.text import at_pixels, digits, markdown_cell, markdown_table, plural

KEEPS = 0.99  # of float32's accuracy: what MLPerf asks of an inference
MET, NOT_MET, UNKNOWN = "met", "not met", "cannot tell"
MARKS = {MET: "yes", NOT_MET: "no", UNKNOWN: "?", None: "-"}
TITLES = ("variant", "prec", "right", "95 %", "top-5", "loss", "95 %", "p", "agree", "keeps")
UNLABELLED = ("variant", "prec", "agree", "95 %", "rms")
WORDS = ("variant", "prec", "keeps")


def mcnemar(lost: int, gained: int) -> float:
    """Return the p of McNemar's exact test: a difference like this, or a larger one, were lost and gained as likely."""
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0


def keeps(record: Record, share: float = KEEPS) -> str | None:
    """Return whether a case has at least this share of float32's accuracy: MET, NOT_MET or UNKNOWN; None unlabelled.

    UNKNOWN is an answer: it is MET if the most that may have been lost is little enough for the least that float32 may
    have right, NOT_MET in the opposite case.
    """
    loss, plain = quality.loss(record.score), quality.accuracy(record.score, "plain_top1")
    if loss is None or plain is None:
        return None
    if loss.high <= (1 - share) * plain.low:
        return MET
    return NOT_MET if loss.low > (1 - share) * plain.high else UNKNOWN


def accuracy_rows(records: Iterable[Record], share: float = KEEPS) -> list[dict[str, Any]]:
    """Return the raw values of each case for `--csv` and `--json`: shares and their 95 % intervals."""
    return [_row(record, share) for record in sorted(records, key=lambda record: record.case)]


def _row(record: Record, share: float) -> dict[str, Any]:
    score, case = record.score, record.case
    row: dict[str, Any] = {"case": case.name, "status": record.status, "reason": record.reason or None}
    if "pictures" not in score:
        return row
    row |= {name: score.get(name) for name in ("pictures", "unread", "data", "labelled", "rms")}
    plain = quality.accuracy(score, "plain_top1")
    row |= quality.score_values(score) | {"plain_accuracy": plain.value if plain else None}
    if score.get("labelled"):
        lost, gained = score.get("lost", 0), score.get("gained", 0)
        row |= {"lost": lost, "gained": gained, "p": mcnemar(lost, gained), "keeps": keeps(record, share)}
    return row


def accuracy_groups(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the scored records by model, size, batch, choices, pictures and labels, as a sentence has them: tables."""
    groups: dict[str, list[Record]] = {}
    for (_, traits), of_way in sorted(by_way(records).items(), key=lambda item: item[0]):
        for record in of_way:
            if record.status == "ok" and "pictures" in record.score:
                groups.setdefault(_heading(record, in_words(traits)), []).append(record)
    return groups


def _heading(record: Record, choices: str) -> str:
    score, case = record.score, record.case
    plain, top5 = quality.accuracy(score, "plain_top1"), quality.accuracy(score, "plain_top5")
    unread = score.get("unread", 0)
    left = f" and {unread} more that could not be read" if unread else ""
    pictures = f"{score['pictures']:,} {plural(score['pictures'], 'picture')}{left} ({score.get('data', '')})"
    where = f"{case.model}{at_pixels(case.image)}, batch {case.batch}{choices and f', {choices}'}, {pictures}"
    if plain is None:
        return f"{where}: no labels, so that nothing is said of right answers"
    among = f", {_cells(top5)[0]} % among the top five" if top5 else ""
    more = "; its weights are synthetic, so that answers are right by chance"
    if record.network.get("num_classes") == 1:
        more = "; it has one class, so that any answer is right"
    elif record.network.get("weights") != "synthetic":
        more = ""
    return f"{where}: float32 has {plain.percent()} right{among}{more}"


def titles_of(group: Sequence[Record]) -> tuple[str, ...]:
    """Return the titles of the table of a group, all of whose records have labels, or none has."""
    return TITLES if group[0].score.get("labelled") else UNLABELLED


def accuracy_cells(record: Record, share: float = KEEPS) -> list[str]:
    """Return the cells of a case under its group's titles."""
    score, case = record.score, record.case
    right, top5, loss = quality.accuracy(score), quality.accuracy(score, "top5"), quality.loss(score)
    agreement = quality.agreement(score)
    p = mcnemar(score.get("lost", 0), score.get("gained", 0)) if loss else None
    chance = "-" if p is None else "<.001" if p < 0.001 else digits(p) if p < 0.1 else f"{p:.2f}"
    variant = case.variant if case.launch == "stream" else f"{case.variant} {case.launch}"
    cells = [variant, case.precision + eight_bit_marks(record.quantized)]
    if not score.get("labelled"):
        return [*cells, *_cells(agreement), percent_rms(score["rms"]) if "rms" in score else "-"]
    cells += [*_cells(right), _cells(top5)[0], *_cells(loss, 1), chance, _cells(agreement)[0]]
    return [*cells, MARKS[keeps(record, share)]]


def _cells(share: Share | None, places: int | None = None) -> tuple[str, str]:
    """Return a share in percent, and the ends of its 95 % interval; decimals as in prose."""
    if share is None:
        return "-", "-"
    places = share.places if places is None else places
    value, low, high = (f"{100 * number:z.{places}f}" for number in (share.value, share.low, share.high))
    return value, f"{low}..{high}"


def below(groups: Iterable[Sequence[Record]], share: float = KEEPS) -> str:
    """Return the choices that are not as usual, and the meaning of the titles and marks of the groups' tables."""
    records = list(chain.from_iterable(groups))
    labelled = {bool(record.score.get("labelled")) for record in records}
    clauses = ["agree: percent of answers with float32's top class"]
    if True in labelled:
        clauses = [
            "right, top-5: percent of answers whose top class is right, or one of the five likeliest",
            "loss: percentage points of right answers that float32 (plain torch's) has on the same pictures and this "
            "has not",
            "p: of McNemar's exact test, how often chance alone differs as much",
            *clauses,
            f"keeps: whether at least {100 * share:g} % of float32's right answers are kept (MLPerf asks for 99 %), ? "
            "where the interval has both",
        ]
    if False in labelled:
        clauses.append("rms: RMS difference of the answers to float32's, in percent")
    marks = "".join(eight_bit_marks(record.quantized) for record in records)
    clauses += [f"{mark} (prec): {text}" for mark, text in EIGHT_BIT_MARKS.items() if mark in marks]
    clauses.append("95 %: the interval of what is before it, of pictures drawn independently.")
    return " ".join(filter(None, (describe_choices(records), "; ".join(clauses))))


def describe_scores(records: Iterable[Record], share: float) -> str:
    """Return a sentence on how many cases keep a share of float32's right answers; without labels, on agreement."""
    scored = list(records)
    verdicts = Counter(keeps(record, share) for record in scored)
    labelled = len(scored) - verdicts[None]
    if not labelled:
        agreed = {one.value: one for record in scored if (one := quality.agreement(record.score))}
        ends = " to ".join(dict.fromkeys(f"{agreed[end].percent()}" for end in (min(agreed), max(agreed))))
        return f"Of {len(scored)} {plural(len(scored), 'case')}, answers agree with float32's on {ends}; no labels."
    kept = verdicts[MET]
    sentence = f"{kept} of {labelled} {plural(labelled, 'case')} {plural(kept, 'keeps', 'keep')} {100 * share:g} % of "
    sentence += "float32's right answers"
    if lost := verdicts[NOT_MET]:
        sentence += f"; {lost} {plural(lost, 'does', 'do')} not"
    if open_cases := verdicts[UNKNOWN]:
        sentence += f"; of {open_cases} it cannot be told (more --pictures may)"
    return f"{sentence}."


def render_accuracy(records: Sequence[Record]) -> str:
    """Return a Markdown table a model, for documents; equal records give equal text."""
    lines, groups = list[str](), accuracy_groups(records)
    for heading, group in groups.items():
        table = markdown_table(titles_of(group), map(accuracy_cells, group), WORDS)
        lines += [f"{markdown_cell(heading)}.", "", *table, ""]
    return "\n".join([*lines, markdown_cell(below(groups.values()))]) + "\n"
