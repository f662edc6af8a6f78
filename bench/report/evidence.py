"""Sentences on the evidence behind the rows: answers refused, processes and turns, noise, throttling, other work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from bench.machine.watch import OTHER_WORK_LIMIT
from bench.plans.words import label
from bench.records.record import Record
from bench.records.same import unusual
from bench.records.speed import alternate_turns, disturbed_turns, other_work, turn_rates
from bench.report.rows import Row, group_rows
from bench.text import plural


def describe_reliability(records: list[Record], rows: list[Row]) -> str:
    """Return a sentence on how reliable the rows are: wrong answers, processes per number, noise, other work."""
    measured = [record for row in rows for record in row.records]
    clauses = [_describe_gate(records, len(measured)), describe_unseen(measured)]
    rounds = min((row.rounds for row in rows), default=0)
    if rounds > 1 and not any(map(_is_vague, rows)):
        clauses.append(f"at least {rounds} processes stand behind each number")
    elif rounds == 1:
        noise = ", so differences of a few percent may be noise (use --rounds)" if len(rows) > 1 else ""
        clauses.append(f"one process per case{noise}")
    clauses.append(_describe_turns(rows))
    described = (_describe_starts, _describe_noisy, _describe_throttled, _describe_disturbed, _describe_other_work)
    clauses += [describe(measured) for describe in described]
    sentence = "; ".join(filter(None, clauses))
    sentence = sentence and f"{sentence[0].upper()}{sentence[1:]}."
    return " ".join(filter(None, (sentence, describe_choices([row.records[-1] for row in rows]))))


def describe_choices(records: Sequence[Record]) -> str:
    """Return sentences on choices that are not the usual ones, with the layers that a number of them kept wide."""
    having: dict[str, list[Record]] = {}
    for record in records:
        for name, value in unusual(record):
            counted = name == "keep-wide" and value.isdecimal()
            layers = ", ".join(record.quantized.get("wide", ())) if counted else ""
            having.setdefault(f"{name} {value}" + f" ({layers})" * bool(layers), []).append(record)
    together: dict[tuple[int, ...], list[str]] = {}
    for word, of_word in having.items():
        together.setdefault(tuple(map(id, of_word)), []).append(word)
    sentences = []
    for words in together.values():
        whose = dict.fromkeys(label(record.case) for record in having[words[0]])
        every = len(having[words[0]]) == len(records) > 1
        sentences.append(f"With {', '.join(words)}: {'all' if every else ', '.join(whose)}.")
    return " ".join(sentences)


def _describe_starts(measured: list[Record]) -> str:
    """Return a clause where some processes were forked and others fresh; empty where all were started alike."""
    forked = [record for record in measured if record.runtime.get("process") == "forked"]
    if len(forked) in (0, len(measured)):
        return ""
    of = f"{len(forked)} of {len(measured)} processes {plural(len(forked), 'was', 'were')} forked"
    return f"{of}, which is not shown to leave speeds as they are (RESNET_BENCH_START=fresh)"


def _is_vague(row: Row) -> bool:
    """Return whether an interval of a row is wider than its number."""
    low, high = row.images_per_s_interval or (0.0, 0.0)
    return (row.noise or 0.0) > 1 or high - low > 2 * row.images_per_s


def disturbance(rows: Sequence[Row], of_windows: bool = True) -> str:
    """Return the reason why the speeds of these rows are the machine's, too; empty where they are not.

    Disturbed turns and windows do not count, and with them goes as large a share of the other work: of the windows, not
    of the latency samples, which `of_windows` false is for.
    """
    dropped, turns = turns_of(rows)
    if 2 * dropped > turns:
        return _were_disturbed(dropped, turns, "turn")
    left = []
    for record in chain.from_iterable(row.records for row in rows):
        bad, windows = sum("disturbed" in window for window in record.windows), len(record.windows)
        if 2 * bad > windows and not alternate_turns([record]):
            return _were_disturbed(bad, windows, "window", f" of {label(record.case)}")
        if not bad and throttled_share(record) > OTHER_WORK_LIMIT:
            reasons = ", ".join(record.watch.get("spoilt_s", ()))
            return f"the machine throttled{reasons and f' ({reasons})'}"
        gone = max(dropped / max(1, turns), bad / max(1, windows)) if of_windows else 0.0
        left += [share for share in other_work([record]) if share - gone > OTHER_WORK_LIMIT]
    return f"other work took up to {max(left):.0%} of the machine" if left else ""


def _were_disturbed(count: int, total: int, noun: str, whose: str = "") -> str:
    return f"{count} of {total} {plural(total, noun)}{whose} {plural(count, 'was', 'were')} disturbed"


def _describe_gate(records: list[Record], measured: int) -> str:
    """Return a clause on the answers that were refused, and on the runs without a speed for another reason."""
    ended = Counter(record.status for record in records)
    wrong = ended["wrong"]
    clauses = []
    if wrong:
        clauses.append(f"{wrong} {plural(wrong, 'run')} failed the accuracy gate and got no speed")
    elif measured:
        given = "" if ended.keys() <= {"ok", "skipped"} else " that were given"
        clauses.append(f"all answers{given} passed the accuracy gate")
    others = {status: count for status, count in ended.items() if status not in ("ok", "skipped", "wrong")}
    if others:
        total, statuses = sum(others.values()), ", ".join(f"{count} {status}" for status, count in others.items())
        clauses.append(f"{total} {plural(total, 'run')} got no speed ({statuses}), as is said below")
    return "; ".join(clauses)


def describe_gate(ran: Sequence[Record]) -> str:
    """Return a sentence on how many of the cases that ran passed the gate, and how the others ended."""
    ended = Counter(record.status for record in ran)
    passed = ended.pop("ok", 0)
    if not ran:
        return "No case was checked."
    others = ", ".join(f"{count} {status}" for status, count in ended.items())
    cases = f"{len(ran)} {plural(len(ran), 'case')}"
    return f"{passed} of {cases} passed the accuracy gate{others and f'; {others}'}."


def describe_unmeasured(records: list[Record]) -> str:
    """Return the sentence of records of which none has a speed: how they ended."""
    ended = Counter(record.status for record in records if record.status != "ok")
    how = ", ".join(f"{count} {status}" for status, count in ended.items())
    return f"No case was measured{how and f': {how}'}."


def describe_unseen(records: Iterable[Record]) -> str:
    """Return a clause on the layers whose errors the gate would not see, or an empty string."""
    blind = [(record.case, layers) for record in records if (layers := record.gate.get("before", {}).get("blind"))]
    unseen = {(case.model, case.precision): layers for case, layers in blind}
    if not unseen:
        return ""
    (model, precision), layers = max(unseen.items(), key=lambda item: len(item[1]))
    some = ", ".join(layers[:2]) + (", ..." if len(layers) > 2 else "")
    what = f"{len(layers)} {plural(len(layers), 'layer')} of {model} in {precision}"
    others = f"; so of {len(unseen) - 1} more" if len(unseen) > 1 else ""
    return f"the gate would not see errors of {what} ({some}), which add next to nothing to the answers{others}"


def turns_of(rows: Iterable[Row]) -> tuple[int, int]:
    """Return how many turns count for no case of these rows, as one was disturbed in them, and how many there were."""
    records = list(chain.from_iterable(row.records for row in rows))
    return len(disturbed_turns(records)), len(alternate_turns(records))


def _describe_turns(rows: list[Row]) -> str:
    counts = [turns_of(group) for group in group_rows(rows).values()]
    dropped, turns = sum(count[0] for count in counts), sum(count[1] for count in counts)
    counted = plural(dropped, "counts", "count")
    return f"{_were_disturbed(dropped, turns, 'turn')} and {counted} for no case" if dropped else ""


def _describe_noisy(runs: list[Record]) -> str:
    noisy = [record for record in runs if record.latency_stop.get("rule") == "time"]
    if not noisy:
        return ""
    targets = Counter(record.latency_stop["asked"] for record in noisy if "asked" in record.latency_stop)
    counts = [f"±{100 * target:g} %" + (f" ({count})" if len(targets) > 1 else "") for target, count in targets.items()]
    whose, share = plural(len(noisy), "its", "their"), f"{len(noisy)} of {len(runs)} {plural(len(runs), 'run')}"
    than = f"{whose} {' and '.join(counts)}" if counts else "asked"
    return f"{share} ended at {whose} time limit, noisier than {than} (bench env says why)"


def _describe_throttled(runs: list[Record]) -> str:
    throttled = [record for record in runs if record.throttled]
    repeated = sum(attempt.get("status") == "ok" for record in runs for attempt in record.attempts)
    clauses = []
    if throttled:
        watches = chain.from_iterable((record.watch, record.flushed_watch) for record in throttled)
        reasons = dict.fromkeys(reason for watch in watches for reason in watch.get("spoilt_s", ()))
        cause = f" ({', '.join(reasons)})" if reasons else ""  # without one in records that did not watch cold caches
        share = f"in {len(throttled)} of {len(runs)} {plural(len(runs), 'run')}"
        clauses.append(f"{share} the machine throttled{cause}: those samples do not count")
    if repeated:
        clauses.append(f"{repeated} {plural(repeated, 'was', 'were')} run again for that")
    return "; ".join(clauses)


def _describe_disturbed(runs: list[Record]) -> str:
    """Return a clause on the runs that have no window that nothing disturbed."""
    disturbed = [record for record in runs if record.windows and not turn_rates(record)]
    if not disturbed:
        return ""
    reasons = dict.fromkeys(
        reason for record in disturbed for window in record.windows for reason in window["disturbed"].split(", ")
    )
    share = f"{len(disturbed)} of {len(runs)} {plural(len(runs), 'run')}"
    return f"every window of {share} was disturbed ({', '.join(reasons)}), so that images/s are of a disturbed machine"


def throttled_share(record: Record) -> float:
    """Return the share of a record's latency samples that were throttled, or of its throughput if that is larger."""
    (samples, kept), lost_ns = record.counts, 1e9 * record.throttled.get("throughput_s", 0.0)
    ns = sum(window["ns"] for window in record.windows) or record.throughput.get("ns", 1)
    return max((samples - kept) / max(1, samples), lost_ns / ns)


def _describe_other_work(runs: list[Record]) -> str:
    shares = other_work(runs)
    if not shares:
        return ""
    share = f"up to {max(shares):.0%} of this machine's time during {len(shares)} {plural(len(shares), 'run')}"
    return f"OTHER WORK took {share}: stop it and run again"


def describe_dependence(samples: int, independent: int) -> str:
    """Return a clause on samples that count as fewer, as they follow each other; empty where they do not."""
    return f" that count as {independent:,}, as they follow each other" if independent < samples else ""


def why_no_memory(row: Row) -> str:
    """Return the reason why a row has no memory, as its records give it; empty where they are from before it."""
    number: Literal["device_process_unreadable", "host_resident_peak_unreadable"]
    number = "device_process_unreadable" if row.device == "cuda" else "host_resident_peak_unreadable"
    return next((record.memory[number] for record in row.records if number in record.memory), "")


def why_no_energy(row: Row) -> str:
    """Return the reason why a row has no energy."""
    why = "its plan has no energy_s, of at least 5" if row.device == "cuda" else "only a GPU's counter is read"
    return next((r.energy["unreadable"] for r in row.records if "unreadable" in r.energy), why)
