"""The layers of cases as rows of the page: bars beside a rival's, totals of stages, and each layer with its floor.

A row's `kind` says what draws it: `stage` and `bar` have the rival's time of the same layers beside, where there is
one; a `layer` is as it was timed, for the roofline, the floors and the table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.records import same
from bench.report.layers.roofs import add_roofs
from bench.report.layers.words import OUTSIDE, describe_layers, si_time, signed
from bench.roofline.layers import CONVERSIONS, JsonObject, layer_name
from bench.roofline.pairs import paired_rows
from bench.roofline.timed import Timed, is_layers_file, read_timed, unread_version
from kernels.cards.reading import read_json_file

MOST = 28  # bars of a panel; beyond, each stage's largest, and the rest of it as one
FAR = 12  # layers whose floors are drawn
KERNELS = 3  # named of each layer
NAME = 30  # characters of a bar's name
# of the longest bar: how far lines are drawn, and what the axis has for the words behind
REACH, ROOM = 1.15, 1.5
ENDS = ("high", "rival_high", "end")

Row = dict[str, Any]
Beside = tuple[Timed, Timed | None, str]  # a file, its rival, and what tells it from others of its case
Pair = tuple[str, list[JsonObject], list[JsonObject]]  # a name, the case's rows and the rival's


def read_files(folders: Iterable[Path], damage: list[str]) -> list[Timed]:
    """Return what the files of `bench layers -o` in some folders hold; what cannot be read adds to `damage`."""
    files: list[Timed] = []
    for path in [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.json"))]:
        try:
            content = read_json_file(path)
            if not is_layers_file(content):
                continue
            if reason := unread_version(content):
                damage.append(f"{path}: left out: {reason}")
                continue
            timed = read_timed(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            damage.append(f"{path}: left out: not what bench layers wrote ({type(error).__name__})")
            continue
        files += filter(None, [timed, timed.against])
    return files


def with_rivals(files: Sequence[Timed]) -> list[Beside]:
    """Return files with their rivals and what tells those of one case apart: by model, the fastest first.

    What shows a pair again, from the other's side, comes last.
    """
    count, before = Counter(file.case.name for file in files), Counter[str]()
    named: list[Beside] = []
    for file in files:
        name = file.case.name
        before[name] += 1
        apart = f", {file.date[:10]} ({before[name]} of {count[name]})" if count[name] > 1 else ""
        named.append((file, _rival(file, files), apart))
    named.sort(key=lambda one: _order(one[0]))
    first: list[Beside] = []
    mirrors: list[Beside] = []
    pairs = set[frozenset[int]]()
    for one in named:
        pair = frozenset(map(id, one[:2]))
        (mirrors if pair in pairs else first).append(one)
        pairs.add(pair)
    return first + mirrors


def _order(file: Timed) -> tuple[Any, ...]:
    case = file.case
    return len(case.model), case.model, case.image, case.batch, file.whole_us  # resnet50 before resnet101


def _group(file: Timed) -> tuple[Any, ...]:
    return same.group_key(file.record), file.case.model, file.case.batch, file.case.image


def _rival(file: Timed, files: Sequence[Timed]) -> Timed | None:
    """Return whom a case stands beside: of its own file, else the fastest other, of its precision and launch if any."""
    if file.against or not file.is_layers:
        return file.against

    def far(other: Timed) -> tuple[bool, bool, float]:
        mine, theirs = file.case, other.case
        return mine.precision != theirs.precision, mine.launch != theirs.launch, other.whole_us

    others = [other for other in files if _group(other) == _group(file) and other.case != file.case]
    return min((other for other in others if other.is_layers), key=far, default=None)


def rows_of(timed: Timed, rival: Timed | None) -> Iterator[Row]:
    """Yield the rows of each kind, each with what the layers say in words."""
    sure = not timed.disturbed and not (rival and rival.disturbed)
    pairs = _pairs(timed, rival)
    bars = [_bar(timed, pair, sure) for pair in pairs]
    stages, layers = _stages(timed, rival, sure), _layers(timed, pairs, bars)
    says = describe_layers(timed, rival, stages, bars, layers)
    add_roofs(layers, timed.roofs, timed.case.precision)
    for kind, rows in (("stage", stages), ("bar", _drawn(bars, stages, sure)), ("layer", layers)):
        longest = max((row.get(time) or 0.0 for row in rows for time in ("ms", "rival_ms")), default=0.0)
        for place, row in enumerate(rows):
            # a line that goes on beyond the bars would make slivers of them
            within = {
                end: min(row[end], REACH * longest) for end in ENDS if kind != "layer" and row.get(end) is not None
            }
            yield {"kind": kind, "place": place, "room": ROOM * longest} | row | within | says


def _pairs(timed: Timed, rival: Timed | None) -> list[Pair]:
    """Return the rows of a case, with those of its rival that compute the same, in the network's order."""
    place = {id(row): number for number, row in enumerate(timed.rows)}
    pairs = [pair for pair in paired_rows(timed.rows, rival.rows if rival else ()) if pair[1]]
    pairs += [(row["name"], [row], []) for row in timed.rows if not row["operations"] and row["name"] != CONVERSIONS]
    return sorted(pairs, key=lambda pair: place.get(id(pair[1][0]), len(place)))


def _numbers(mine: Sequence[JsonObject], theirs: Sequence[JsonObject], whole_us: float, sure: bool) -> Row:
    """Return the times in ms of some rows and of the rival's, with their 95 % intervals, and what is between them.

    `sure` says that both can be told from noise at all: a difference of others is a question mark.
    """
    ms, half = _sum(mine, "us") or 0.0, _sum(mine, "half_us")
    row: Row = {"ms": ms, "half": half, "share": 1e3 * ms / whole_us, "floor": _sum(mine, "floor_us") if mine else None}
    row |= _interval("", ms, half) | {"rival_ms": None, "sure": None, "behind": "", "end": ms + (half or 0.0)}
    if not theirs:
        return row
    rival_ms, rival_half = _sum(theirs, "us") or 0.0, _sum(theirs, "half_us")
    difference, is_judged = ms - rival_ms, sure and half is not None and rival_half is not None
    row |= {"rival_ms": rival_ms, "difference": difference} | _interval("rival_", rival_ms, rival_half)
    row["percent"] = 100 * difference / rival_ms if rival_ms else None
    row["sure"] = is_judged and abs(difference) > (half or 0.0) + (rival_half or 0.0)
    row["behind"] = "?" if not is_judged else "≈" if not row["sure"] else signed(row["percent"]) if mine else ""
    row["end"] = max(row["end"], rival_ms + (rival_half or 0.0))
    return row


def _sum(rows: Sequence[JsonObject], name: str) -> float | None:
    """Return the sum of a number of all rows, in thousandths; None where one lacks it."""
    numbers = [row[name] for row in rows]
    return None if None in numbers else sum(numbers) / 1e3


def _interval(prefix: str, ms: float, half: float | None) -> Row:
    return {} if half is None else {f"{prefix}low": max(0.0, ms - half), f"{prefix}high": ms + half}


def _bar(timed: Timed, pair: Pair, sure: bool) -> Row:
    name, mine, theirs = pair
    row = max(mine, key=lambda row: len(row["operations"])) | {"name": name}
    operations = {operation for one in mine for operation in one["operations"]}
    shown = layer_name(row | {"operations": operations}) if operations else name
    kernels = [kernel for one in mine for kernel in one["kernels"]]
    words = {"layer": shown, "stage": mine[0]["stage"], "kernels": _kernels(kernels)}
    return words | _numbers(mine, theirs, timed.whole_us, sure) | {"parts": (mine, theirs)}


def _kernels(kernels: Sequence[JsonObject]) -> str:
    named = [f"{kernel['name']} ({si_time(kernel['us'] / 1e3)})" for kernel in kernels]
    more = [f"and {len(named) - KERNELS} more"] if len(named) > KERNELS else []
    return "; ".join(named[:KERNELS] + more)


def _stages(timed: Timed, rival: Timed | None, sure: bool) -> list[Row]:
    """Return the totals of the stages in the network's order, and what the whole takes beyond them."""
    sides: list[dict[str, list[JsonObject]]] = []
    for side in (timed, rival):
        rows = side.rows if side and side.is_layers == timed.is_layers else []
        of_stage = defaultdict(list)
        for row in rows:
            of_stage[row["stage"]].append(row)
        if rows and side and side.outside_us > 0:
            half_us = side.error * side.whole_us
            of_stage[OUTSIDE] = [{"us": side.outside_us, "half_us": half_us, "floor_us": None}]
        sides.append(of_stage)
    mine, theirs = sides
    names = sorted(dict.fromkeys([*mine, *theirs]), key=OUTSIDE.__eq__)
    rows = []
    for name in names:
        numbers = _numbers(mine.get(name, ()), theirs.get(name, ()), timed.whole_us, sure)
        rows.append({"layer": _total(name, numbers), "stage": name, "of": len(mine.get(name, ()))} | numbers)
    return rows if len(rows) > 1 else []


def _total(stage: str, row: Row) -> str:
    return f"{_short(stage)}, {row['share']:.0%}".replace("%", " %")


def _drawn(bars: Sequence[Row], stages: Sequence[Row], sure: bool) -> list[Row]:
    """Return the bars by stage, the longest first, beneath the stage's name; of many the rest of a stage is one bar."""
    of_stage: dict[str, list[Row]] = {}
    for bar in sorted(bars, key=lambda bar: -bar["ms"]):
        of_stage.setdefault(bar["stage"], []).append(bar)
    totals = {stage["stage"]: stage["layer"] for stage in stages}
    sizes = [len(of) for of in of_stage.values()]
    # one that would be alone in the rest is itself
    most = next((n for n in range(MOST, 2, -1) if sum(min(n, size) for size in sizes) <= MOST), 2)
    drawn: list[Row] = []
    names: Counter[str] = Counter()
    for stage in [name for name in dict.fromkeys([*totals, *of_stage]) if name in of_stage]:
        of = of_stage[stage]
        shown = of if len(of) <= most + 1 else of[:most]
        drawn += [{"layer": totals[stage], "stage": stage, "behind": "", "end": 0.0}] if stage in totals else []
        drawn += [bar | {"layer": _unique(_short(bar["layer"]), names)} for bar in shown]
        drawn += [_rest(of[most:], stage, sure)] if len(shown) < len(of) else []
    return [{key: value for key, value in row.items() if key != "parts"} for row in drawn]


def _rest(bars: Sequence[Row], stage: str, sure: bool) -> Row:
    """Return the mean of some bars as one: their sum would dwarf the others, and stands behind it."""
    sides = [[row for bar in bars for row in bar["parts"][side]] for side in (0, 1)]
    beside = all(bar["rival_ms"] is not None for bar in bars)
    total = _numbers(sides[0], sides[1] if beside else (), 1.0, sure)
    lengths = ("ms", "low", "high", "floor", "rival_ms", "rival_low", "rival_high", "end")
    mean = {name: total[name] / len(bars) for name in lengths if total.get(name) is not None}
    words = {"layer": f"{_short(stage)}: {len(bars)} others", "stage": stage, "rest": True}
    behind = " ".join(filter(None, [f"Σ {si_time(total['ms'])}", total["behind"]]))
    share = sum(bar["share"] for bar in bars)
    return total | mean | words | {"behind": behind, "share": share, "kernels": f"the mean of {len(bars)} layers"}


def _layers(timed: Timed, pairs: Sequence[Pair], bars: Sequence[Row]) -> list[Row]:
    """Return each layer as it was timed; the rival's time is beside what both time alike."""
    beside = {id(row): (bar, len(mine)) for (_, mine, _), bar in zip(pairs, bars, strict=True) for row in mine}
    names: Counter[str] = Counter()
    rows = []
    for one in timed.rows:
        numbers = _numbers([one], (), timed.whole_us, sure=False)
        bar, count = beside.get(id(one), ({}, 0))
        if count == 1:
            numbers |= {name: bar.get(name) for name in ("rival_ms", "difference", "percent", "sure")}
        elif count and bar["rival_ms"] is not None:
            numbers["together"] = bar["layer"]
        words = {"layer": _unique(layer_name(one), names), "stage": one["stage"], "bound": one["bound"] or "-"}
        rows.append(words | {"kernels": _kernels(one["kernels"])} | numbers | _roofline(one) | _of_floor(numbers))
        del rows[-1]["behind"], rows[-1]["end"]
    far = sorted((row for row in rows if row.get("above") is not None), key=lambda row: -row["above"])[:FAR]
    for place, row in enumerate(far):
        row |= {
            "far": place,
            "behind": f"{row['bound']}, {si_time(row['above'], '+')}",
            "end": max(1.0, row["of_high"]),
        }
    return rows


def _of_floor(row: Row) -> Row:
    """Return the floor as a share of a layer's time with its interval, and the time above it."""
    ms, floor = row["ms"], row["floor"]
    if not floor or not ms:
        return {"of_floor": None}
    of_floor, half = floor / ms, row["half"] or 0.0
    high = floor / (ms - half) if ms > half else of_floor + 1
    high = min(high, max(1.0, of_floor))  # what reaches the roofs is not drawn beyond them
    return {"of_floor": of_floor, "of_low": floor / (ms + half), "of_high": high, "above": ms - floor}


def _roofline(row: JsonObject) -> Row:
    """Return where a layer stands under a roof: FLOP/byte, and FLOP/s with their interval."""
    if not (row["flops"] and row["bytes"] and row["us"]):
        return {}
    us, half = row["us"], row["half_us"] or 0.0
    times = {"rate": us, "rate_low": us + half, "rate_high": max(us - half, us / 1e3)}
    work = {name: 1e6 * row["flops"] / time for name, time in times.items()}
    return work | {"intensity": row["flops"] / row["bytes"]}


def _short(name: str) -> str:
    """Return a name with its middle left out where it is too long for an axis."""
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[1 - NAME // 2 :]}"


def _unique(name: str, names: Counter[str]) -> str:
    """Return a name with a number from its second time on: a network may run a kernel often, and a name is a place."""
    names[name] += 1
    return name + (f" #{names[name]}" if names[name] > 1 else "")
