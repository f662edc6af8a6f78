"""The sections of the page in order: a question, the records it needs, its charts, and the command that fills it.

Another chart is a row here and a function in `charts`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.report.page import charts, layer_charts, overview, precisions
from bench.report.page.data import PageData
from bench.report.page.encoding import Rows, Spec

RowFilter = Callable[[Rows], Rows]
LINES = "a line per way of running"


@dataclass(frozen=True)
class Chart:
    """A chart: `name` is that of its still, `alt` describes it in words, `select` returns the rows that it draws."""

    name: str
    alt: str
    make_spec: Callable[[Rows], Spec]
    select: RowFilter
    dataset: str = "cases"  # of PageData


@dataclass(frozen=True)
class Section:
    """A question and the charts that answer it; where the records cannot, the page says what it needs and how."""

    name: str
    title: str
    caption: str  # words marked as [[word]] have an explanation, which the page shows on focus
    charts: tuple[Chart, ...]
    needs: str
    command: str  # that would fill it
    view: str = "speed"  # of the table that has its numbers

    def draw(self, data: PageData) -> dict[str, Spec]:
        """Return the specifications of the charts that the records fill, by their names."""
        specs = {}
        for chart in self.charts:
            dataset = data.datasets[chart.dataset]
            if rows := chart.select(dataset):
                spec = specs[chart.name] = chart.make_spec(rows)
                spec["usermeta"]["ids"] = [row["id"] for row in rows] if len(rows) < len(dataset) else None
                spec["description"] = chart.alt
        return specs


def having(field: str) -> RowFilter:
    """Select the rows that have a field."""
    return lambda rows: [row for row in rows if row.get(field) is not None]


def several(axis: str, *within: str, field: str = "speed") -> RowFilter:
    """Select the rows of the panels in which an axis has more than one value; `within` names a panel's fields."""

    def select(rows: Rows) -> Rows:
        values: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
        names = ("setting", *within)
        with_field = [(row, tuple(row[name] for name in names)) for row in having(field)(rows) if axis in row]
        for row, panel in with_field:
            values[panel].add(row[axis])
        return [row for row, panel in with_field if len(values[panel]) > 1]

    return select


def common_depths(rows: Rows) -> Rows:
    """Select the cases whose way and batch were measured at every depth that a machine has of a kind of network."""
    depths: dict[Any, dict[Any, set[int]]] = defaultdict(lambda: defaultdict(set))
    keyed = [
        (row, (row["setting"], row["kind"], row["image"]), (row["way"], row["batch"])) for row in having("depth")(rows)
    ]
    for row, network, way in keyed:
        depths[network][way].add(row["depth"])
    every = {network: set().union(*ways.values()) for network, ways in depths.items()}
    return [row for row, network, way in keyed if depths[network][way] == every[network] and len(every[network]) > 1]


def _by_precision(name: str, title: str, field: str, label: str, limit: float | None = None) -> Chart:
    make_spec = partial(precisions.over_precision, field=field, title=label, limit=limit)
    select = several("precision", "group", field=field)
    return Chart(f"precision-{name}", f"{title} of each variant by precision", make_spec, select)


def _price(name: str, what: str, field: str, label: str) -> Chart:
    make_spec = partial(precisions.price, field=field, title=label)
    title = f"{what} over latency: a line a model, a mark a precision"
    return Chart(f"precision-{name}", title, make_spec, several("precision", "family", "sized", field=field))


def kind_of(kind: str) -> RowFilter:
    """Select the rows of a kind."""
    return lambda rows: [row for row in rows if row["kind"] == kind]


def _of_layers(name: str, alt: str, make_spec: Callable[[Rows], Spec], select: RowFilter) -> Chart:
    return Chart(name, alt, make_spec, select, "layers")


OVER_BATCH = several("batch", "family", field="total")

SECTIONS = (
    Section(
        "history",
        "History",
        "Each case over the commits that it was measured at: the broad line is the [[level]], a mark is a "
        "[[change]], a cross for the worse and a ring for the better. A row opens its chart.",
        (Chart("history", "A case over commits, with its changes", overview.series_chart, having("at"), "history"),),
        "a case measured at several commits, in separate folders",
        "bench run quick -o STORE/$(date +%F), at each commit; then bench report STORE/*",
        "latency",
    ),
    Section(
        "front",
        "Latency against throughput",
        "Each point is a case; lines join the [[batch]]es of one [[way]], which is named at its last. The broad band "
        "is the [[front]]: for every limit on [[p50]] latency the most [[throughput]], its batches written beside it. "
        "8 bits, whose answers are others, have a band apart. Up and left is better.",
        (Chart("front", "Throughput over p50 latency, with the Pareto front", charts.front, having("speed")),),
        "a case that was measured",
        "bench run quick",
    ),
    Section(
        "batch",
        "Throughput over batch",
        "What a larger [[batch]] buys; where a line bends, the machine is full. Upright lines are the [[interval]] "
        "over [[round]]s where there are several, else of one process. A line breaks where a batch was not measured.",
        (Chart("batch", f"Throughput over the batch, {LINES}", charts.batch, several("batch", "family")),),
        "two batches of a model",
        "bench run headline",
    ),
    Section(
        "latency",
        "Latency over batch",
        "How long a larger [[batch]] takes: [[p50]], with its [[interval]].",
        (Chart("latency", f"p50 latency over the batch, {LINES}", charts.latency, several("batch", "family")),),
        "two batches of a model",
        "bench run headline",
        "latency",
    ),
    Section(
        "batch-memory",
        "Memory over batch",
        "What a larger [[batch]] takes: the peak [[memory]] of the process, and beside it what the device "
        "has, as a dashed line where that is near.",
        (Chart("batch-memory", f"Memory over the batch, {LINES}", charts.batch_memory, OVER_BATCH),),
        "peaks of memory at two batches of a model",
        "bench run headline",
        "memory",
    ),
    Section(
        "depth",
        "Depth",
        "The price of a deeper model: [[throughput]] over [[depth]], a panel for each precision and [[batch]], of the "
        "[[way]]s that were measured at every depth.",
        (Chart("depth", f"Throughput over the model's depth, {LINES}", charts.depth, common_depths),),
        "a way of running that was measured at two depths",
        "bench run depths",
    ),
    Section(
        "precision",
        "Precision",
        "What fewer bits buy, and what they cost. A mark is a case, by its [[p50]] and its [[accuracy]] on labelled "
        "pictures, or its [[agreement]] with fp32; a line joins the fastest [[way]] of each precision of a model, the "
        "others are small. Agreement is with the same model's fp32: it says nothing of one model against another. Then "
        "[[throughput]], [[memory]], and the error that the [[gate]] saw (the dashed line is where it refuses). Thin "
        "lines join precisions that stand beside each other, and nothing over one that was not measured.",
        (
            _price("accuracy", "Accuracy", "right", "right, % of labelled pictures"),
            _price("agreement", "Agreement with fp32", "agree", "same top class as fp32, %"),
            _by_precision("speed", "Throughput", "speed", "throughput, images/s"),
            _by_precision("memory", "Memory", "total", "memory of the process, MiB"),
            _by_precision("error", "Error", "error", "RMS error, times plain torch's", limit=3),
        ),
        "two precisions of a model at one batch",
        "bench run precisions",
        "precisions",
    ),
    Section(
        "memory",
        "Memory",
        "What [[memory]] holds, in parts that add up, by [[batch]], the fastest first: [[weights]]; on a GPU "
        "[[activations, workspace]] and [[allocator's spare]]; [[everything else]].",
        (Chart("memory", "Memory of each way in parts", charts.memory, having("m_rest")),),
        "peaks of memory (records of schema 1 have none)",
        "bench run quick",
        "memory",
    ),
    Section(
        "cold",
        "Cold start",
        "Seconds of a fresh process to its first answer: [[import]], [[build]], [[prepare]], placing the inputs, "
        "[[first call]]. Behind the name: the state of the compile [[caches]].",
        (Chart("cold", "Cold start of each way in parts", charts.cold, having("c_first_call")),),
        "times of cold starts",
        "bench run quick --cold",
        "cold",
    ),
    Section(
        "energy",
        "Energy",
        "What a picture costs in [[energy]]; behind the name the power.",
        (Chart("energy", "Joules per image of each way", charts.energy, having("energy")),),
        "energy, which a GPU counts",
        "bench run energy",
        "energy",
    ),
    Section(
        "layers",
        "Layers",
        "Where the time of one execution goes: first by [[stage]], then the [[layer]]s of each, the longest first. "
        "Outlined beneath is the [[rival]], and behind the bars what a layer takes more (+) or less (-) than there: "
        "≈ is equal within the noise, ? cannot be told. The dark part is the [[layer floor]], thin lines are 95 % "
        "intervals; of many layers the rest of a stage is drawn as their mean, with their sum (Σ).",
        (
            _of_layers("stages", "Time of each stage, beside the rival's", layer_charts.stages, kind_of("stage")),
            _of_layers(
                "layers", "Time of the layers of each stage, beside the rival's", layer_charts.layers, kind_of("bar")
            ),
        ),
        "the layers of a case",
        "bench layers CASE -o DIR/layers.json",
        "floor",
    ),
    Section(
        "roofline",
        "Roofline",
        "How fast each layer computes, over how much it computes for a byte. Lines are this machine's measured "
        "[[ceilings]] (bench ceilings): a point far below them could be faster. The layers with the most time have "
        "names; pools and sums have no products, and are in the table alone.",
        (_of_layers("roofline", "FLOP/s of each layer over FLOP/byte", layer_charts.roofline, having("rate")),),
        "the layers of a case with its FLOPs and bytes",
        "bench layers CASE -o DIR/layers.json",
        "floor",
    ),
    Section(
        "floors",
        "Of the floor",
        "How near to the least time that the [[ceilings]] allow: first each way of running a model, then the layers "
        "with the most time above their [[layer floor]], which is written behind, with what bounds it.",
        (
            Chart(
                "floors",
                "The floor as a share of the latency of each way",
                layer_charts.case_floors,
                having("of_floor"),
            ),
            _of_layers(
                "layer-floors", "The floor as a share of the time of layers", layer_charts.floors, having("far")
            ),
        ),
        "this machine's ceilings",
        "bench ceilings",
        "floor",
    ),
    Section(
        "noise",
        "Noise",
        "How far to trust the medians. First each [[quantile]] of the samples is a stroke: few that stand wide apart "
        "are noise, two crowds are two modes. Then the samples of the first [[round]] in the order taken: level is "
        "[[stationary]].",
        (
            Chart("quantiles", "Distribution of latency about its median", charts.quantiles, having("quantiles")),
            Chart("stationary", "Latency in the order it was sampled", charts.stationary, having("sequence")),
        ),
        "samples",
        "bench run quick",
        "latency",
    ),
    Section(
        "rounds",
        "Rounds",
        "A point is the median of one process, with its [[interval]]. Processes that differ by more than their "
        "intervals are why the process is the sample.",
        (Chart("rounds", "The median of each process about that of all", charts.rounds, having("by_round")),),
        "a second round",
        "bench run quick --rounds 5",
        "latency",
    ),
)
