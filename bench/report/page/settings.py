"""The settings that records are grouped by: a machine with a set of software, and a commit where that matters.

Records of several folders are put together where machine and software are the same. On a machine that measured a case
at several commits of this project, each commit is a separate setting, the newest first: the charts compare ways of
running a model, and only the history compares commits. Of many commits the newest are shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.machine.provenance import short
from bench.plans.case import Case
from bench.plans.words import label
from bench.records import same
from bench.records.baseline import BASELINE
from bench.records.record import Record
from bench.records.store import read_folders
from bench.report.answer import NAMED, Contest, contests_of
from bench.report.cells import times_eager
from bench.report.evidence import describe_reliability
from bench.report.exported import summary_as_json
from bench.report.markdown import describe_machine
from bench.report.rows import Row, all_disturbed, rows_from_records
from bench.text import at_pixels
from resnet.archs import Spec
from resnet.names import is_outside

RECENT = 10  # commits of a machine that the page shows case by case: each has its rows, tables and records


@dataclass
class Setting:
    """A machine with a set of software, and what was measured there."""

    key: same.Key
    label: str = ""
    machine: str = ""  # the label without the commit
    commit: str = ""  # where the machine's records are apart by commit
    of_commits: int = 0  # of the machine, where this is the newest
    records: list[Record] = field(default_factory=list)  # their rounds apart by folder, as `read_folders` numbers them
    rows: list[Row] = field(default_factory=list)

    @cached_property
    def contests(self) -> list[Contest]:
        return contests_of(self.rows)

    @cached_property
    def within(self) -> list[Contest]:
        """The contests within each precision, against its own eager; empty where there is one precision."""
        precisions = sorted({row.case.precision for row in self.rows})
        each = [[row for row in self.rows if row.case.precision == precision] for precision in precisions]
        return [contest for rows in each for contest in contests_of(rows)] if len(each) > 1 else []

    @property
    def day(self) -> str:
        """The day of its newest record."""
        return max(record.started for record in self.records)[:10]

    def summary(self) -> dict[str, Any]:
        """Return what the page says of the setting in words."""
        report = summary_as_json(self.records, self.rows, contests=self.contests)
        return {
            "label": self.label + (f", the newest of {self.of_commits} commits" if self.of_commits else ""),
            "headline": headline(self.contests),
            "answer": report["answer"].splitlines(),
            "settling": report["settling"],
            "reliability": describe_reliability(self.records, self.rows),
            "machine": [line.replace("`", "") for line in describe_machine(self.records).splitlines()],
            "missing": sorted(report["left_out"], key=lambda group: group["status"] == "skipped"),
            "largest": report["largest"],
        }


def read_settings(folders: Iterable[Path]) -> tuple[list[Setting], list[str]]:
    """Return the settings of some folders in the order shown, and a sentence for each damaged line.

    Raises StoreError for a folder that holds no records.
    """
    records, damage = read_folders(folders, apart=True)
    several = _several_commits(records)
    settings: dict[tuple[same.Key, str], Setting] = {}
    for record in records:
        key = same.group_key(record)
        commit = _commit(record) if same.machine_label(key) in several else ""
        settings.setdefault((key, commit), Setting(key, commit=commit)).records.append(record)
    shown = _in_order(settings.values())
    keys = {setting.key for setting in shown}
    for setting in shown:
        setting.machine = same.machine_label(setting.key, keys)
        setting.label = setting.machine + (f", commit {setting.commit} of {setting.day}" if setting.commit else "")
        setting.rows = rows_from_records(setting.records)
    return shown, damage


def _in_order(settings: Iterable[Setting]) -> list[Setting]:
    """Sort the machine with the most cases first, and of one machine the newest commit first, of at most RECENT.

    A commit at which but few cases were measured, as by hand, stands behind the others of its machine.
    """
    groups: dict[Any, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(same.machine_label(setting.key) if setting.commit else setting.key, []).append(setting)
    largest = {}
    for name, group in groups.items():
        cases = {id(one): len({record.case for record in one.records if record.status == "ok"}) for one in group}
        largest[name] = max(cases.values())
        newest = sorted(group, key=lambda one: max(record.started for record in one.records), reverse=True)
        groups[name] = sorted(newest, key=lambda one: 2 * cases[id(one)] < largest[name])[:RECENT]
        groups[name][0].of_commits = len(group) if group[0].commit else 0
    return [setting for name in sorted(groups, key=lambda name: -largest[name]) for setting in groups[name]]


def _several_commits(records: Iterable[Record]) -> set[str]:
    """Return the machines, with whatever software, on which some case was measured at more than one commit."""
    commits: dict[tuple[str, Case], set[str]] = defaultdict(set)
    for record in records:
        if record.status == "ok":
            commits[same.machine_label(same.group_key(record)), record.case].add(_commit(record))
    return {machine for (machine, _), shas in commits.items() if len(shas) > 1}


def _commit(record: Record) -> str:
    """Return the commit of this project that a record was measured at, abbreviated."""
    return short(record.environment.get("git")).replace("+", " with changes")


def chooser(settings: Iterable[Setting]) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return what a reader chooses a setting by: the places and texts of each group, which has a name if of commits."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for place, setting in enumerate(settings):
        text = f"{setting.day}  {setting.commit}" if setting.commit else setting.label
        groups.setdefault(setting.machine if setting.commit else "", []).append((place, text))
    return list(groups.items())


def depth(model: str) -> int | None:
    """Return the depth of one of this project's ResNets, and None of a model from outside, whose digits may be any."""
    return None if is_outside(model) else Spec.parse(model).depth


def case_fields(case: Case, choices: str = "") -> dict[str, Any]:
    """Return what every row of a chart has: the case's axes, which the filters use, and its names.

    `choices` tell a row from others of its case.
    """
    family = case.model + at_pixels(case.image)
    return {
        **vars(case),
        "case": case.name,
        "family": family,
        "group": f"{family}, batch {case.batch}",
        "way": ", ".join(filter(None, (label(case), choices))),
    }


def headline(contests: list[Contest]) -> str:
    """Return the answer in a sentence: which way of running wins most contests, and by how much; ties are no wins.

    What wins in 8 bits, which answers otherwise, stands in another sentence.
    """
    if not contests:
        return "No case was measured: the reasons are below."
    more_bits = [contest for contest in contests if not contest.bits]
    if not more_bits or len(more_bits) == len(contests):
        return _headline(contests)
    return " ".join([_headline(more_bits), *_in_eight_bits([contest for contest in contests if contest.bits])])


def _in_eight_bits(contests: list[Contest]) -> Iterator[str]:
    """Yield a sentence for each precision in 8 bits that one way wins throughout, with how far it is ahead."""
    for bits in dict.fromkeys(contest.bits for contest in contests):
        of_bits = [contest for contest in contests if contest.bits == bits]
        ways = {contest.winner.case.variant if contest.winner else "" for contest in of_bits}
        over = sorted(contest.wider.ratio.value for contest in of_bits if contest.wider)
        if len(ways) == 1 and (variant := ways.pop()) and over:
            gain = f"{over[0]:.2f}" if over[0] == over[-1] else f"{over[0]:.2f} to {over[-1]:.2f}"
            yield f"In {bits}, whose answers differ from float32's, {variant} runs it at {gain} times that speed."


def _headline(contests: list[Contest]) -> str:
    wins: dict[str, list[Contest]] = defaultdict(list)
    tied: dict[tuple[str, ...], list[Contest]] = defaultdict(list)
    for contest in contests:
        if contest.winner:
            wins[way_of(contest.winner)].append(contest)
        elif contest.verdict == "tie":
            tied[tuple(sorted({way_of(row) for row in contest.candidates}))].append(contest)
    cases = [contest.leader.case for contest in contests]
    models, sizes = {case.model for case in cases}, {case.image for case in cases}
    at_sizes = at_pixels(cases[0].image) if len(sizes) == 1 else f" at {len(sizes)} image sizes"
    of = cases[0].model + at_sizes if len(models) == 1 else f"{len(models)} models"
    batches = sorted({case.batch for case in cases})
    at = f"batch {', '.join(map(str, batches))}" if len(batches) < 6 else f"batch {batches[0]} to {batches[-1]}"
    verdicts = Counter(contest.verdict for contest in contests)
    several = f" in {verdicts['tie']} of {len(contests)} comparisons" if len(contests) > 1 else ""
    ties = f"several ways are equally fast{several}" if verdicts["tie"] else ""
    best, won = max(wins.items(), key=lambda item: len(item[1]), default=("", []))
    equal, drawn = max(tied.items(), key=lambda item: len(item[1]), default=((), []))
    if len(drawn) > max(len(won), verdicts["unknown"]) and len(equal) <= NAMED:
        return _equally_fast(equal, drawn, best and f"; {best} is fastest in {len(won)}", of, at, contests)
    if not wins:
        if verdicts["alone"] == len(contests):
            return f"Only one way of running {of} was measured ({at})."
        if not verdicts["unknown"]:
            return f"Several ways run {of} equally fast ({at})."
        unknown = [contest for contest in contests if contest.verdict == "unknown"]
        ahead = {"" if all_disturbed(contest.rows) else way_of(contest.leader) for contest in unknown}
        leader = f": {way} was ahead" if len(ahead) == 1 and (way := ahead.pop()) else ""
        where = "" if len(unknown) == len(contests) else f" in {len(unknown)} of {len(contests)} comparisons"
        tied_in = f"; several ways are equally fast in {verdicts['tie']}" if verdicts["tie"] else ""
        return f"Which way runs {of} fastest cannot be told{where} ({at}){leader}{tied_in}."
    if verdicts["unknown"]:
        ties = "; ".join(filter(None, [ties, f"cannot be told in {verdicts['unknown']}"]))
    share = "" if len(won) == len(contests) else f" in {len(won)} of {len(contests)} comparisons"
    if others := [way for way, also in wins.items() if len(also) == len(won) and way != best]:
        ways = " and ".join([best, *others]) if len(others) < 3 else f"{len(others) + 1} ways"
        return f"{ways} each are the fastest to run {of}{share} ({at}){ties and f'; {ties}'}."
    return f"{best} runs {of} fastest{share} ({at}){_gain_over_eager(won)}{ties and f'; {ties}'}."


def _equally_fast(
    ways: tuple[str, ...], drawn: list[Contest], fastest: str, of: str, at: str, contests: list[Contest]
) -> str:
    """Return that some ways tie in most contests, how far they are ahead of eager, and what is of the others."""
    share = "" if len(drawn) == len(contests) else f" in {len(drawn)} of {len(contests)} comparisons"
    unknown = sum(contest.verdict == "unknown" for contest in contests)
    gain = "" if any(way.startswith(f"{BASELINE}/") for way in ways) else _gain_over_eager(drawn)
    names = " and ".join(filter(None, [", ".join(ways[:-1]), ways[-1]]))
    return (
        f"{names} run {of} equally fast{share} ({at}){gain}{fastest}{f'; cannot be told in {unknown}' * bool(unknown)}."
    )


def way_of(row: Row) -> str:
    """Return a row's variant and precision, which are the same way with either launch here."""
    return f"{row.case.variant}/{row.case.precision}"


def _gain_over_eager(won: list[Contest]) -> str:
    """Return how much faster than the best eager the fastest of each contest is, as a range, marked as in the table."""
    gains = sorted((contest.eager for contest in won if contest.eager), key=lambda against: against.ratio.value)
    if not gains:
        return ""
    low, high = times_eager(gains[0]), times_eager(gains[-1])
    marks = {"*": "eager in another precision", "^": "eager with the other launch"}
    legend = "".join(f" ({mark} {meaning})" for mark, meaning in marks.items() if mark in low + high)
    return f": {low if low == high else f'{low} to {high}'} times the images per second of the best eager{legend}"
