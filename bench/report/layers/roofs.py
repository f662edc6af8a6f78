"""Where the layers of a case stand under its machine's roofs, and which of them have room for their names."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from bench.roofline.timed import Roofs

HEIGHT = 300  # pixels of a panel
SIZES = ((270, HEIGHT), (270, 160), (420, HEIGHT), (760, HEIGHT))  # of panels on phones, slides, beside another, alone
LETTER, LINE, GAP = 5.8, 12, 7  # pixels of a name's letters and lines, and to its point
LEGEND = 52, 150  # pixels of the corner with the roofs' names: nothing lies as high
NO_ROOFS = "no roofs: bench ceilings measures them"
STEPS = 24  # of a roof, as places where no name had better be
NAMED = 5  # layers with a name: those with the most time
# how a name is aligned, and how far from its point
SIDES = (
    *(("left", GAP, 0), ("right", -GAP, 0), ("center", 0, -GAP - 4), ("center", 0, GAP + 4)),
    *(("left", GAP, GAP), ("left", GAP, -GAP), ("right", -GAP, GAP), ("right", -GAP, -GAP)),
)

Row = dict[str, Any]
Side = tuple[str, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]


def add_roofs(rows: Sequence[Row], roofs: Roofs | None, precision: str) -> None:
    """Put the roofs and the frame of a panel into the first row that has a point, and the places of names into some."""
    points = [row for row in rows if "rate" in row]
    if not points:
        return
    x_from, x_to = min(row["intensity"] for row in points) / 2, 2 * max(row["intensity"] for row in points)
    y_from, top = min(row["rate"] for row in points) / 2, max(row["rate"] for row in points)
    points[0]["roofs"] = NO_ROOFS
    if roofs:
        x_to, top = max(x_to, 2 * roofs.flops / roofs.bandwidth), max(top, roofs.flops)
        y_from = min(y_from, x_from * roofs.bandwidth)
        names = [f"{precision}: {_si(roofs.flops)}FLOP/s", f"memory: {_si(roofs.bandwidth)}B/s"]
        for field, rate in (("roof", roofs.bandwidth), ("cache", roofs.cache)):
            if rate:
                at = sorted({x_from, min(max(roofs.flops / rate, x_from), x_to), x_to})
                points[0] |= {f"{field}_x": at, f"{field}_y": [min(x * rate, roofs.flops) for x in at]}
        names += [f"cache, dashed: {_si(roofs.cache)}B/s"] if roofs.cache else []
        points[0]["roofs"] = "; ".join(names)
    y_to = y_from * (top / y_from) ** (HEIGHT / (HEIGHT - LEGEND[0]))
    for row in points:
        row |= {"rate_low": max(row["rate_low"], y_from), "rate_high": min(row["rate_high"], top)}
    points[0] |= {"frame_x": [x_from, x_to], "frame_y": [y_from, y_to]}
    steps = (x_from * (x_to / x_from) ** (step / STEPS) for step in range(STEPS + 1))
    roof = [(x, min(x * roofs.bandwidth, roofs.flops)) for x in steps] if roofs else []
    place_names(points, (x_from, x_to), (y_from, y_to), roof)


def place_names(points: Sequence[Row], x: Point, y: Point, roof: Sequence[Point] = ()) -> None:
    """Give the points with the most time a name, on a side where it lies on no other's and on few points.

    `x` and `y` are the ends of logarithmic axes, `roof` places that a name had better not lie on. A point without such
    a side has none.
    """

    def pixels(at: Point, size: Point) -> Point:
        across, up = log(at[0] / x[0]) / log(x[1] / x[0]), log(at[1] / y[0]) / log(y[1] / y[0])
        return size[0] * across, size[1] * (1 - up)

    places = [(row["intensity"], row["rate"]) for row in points]
    obstacles = [pixels(place, SIZES[0]) for place in (*places, *roof)]
    taken: list[list[Box]] = [[(0, 0, LEGEND[1], LEGEND[0])] for _ in SIZES]
    for row, place in sorted(zip(points, places, strict=True), key=lambda one: -one[0]["ms"])[:NAMED]:
        boxes = {
            side: [_box(pixels(place, size), side, LETTER * len(row["layer"])) for size in SIZES] for side in SIDES
        }
        free = [side for side, of in boxes.items() if all(map(_free, of, SIZES, taken))]
        if free:
            side = min(free, key=lambda side: sum(_overlap(boxes[side][0], (*one, *one)) for one in obstacles))
            row |= {"named": row["layer"]} | dict(zip(("align", "dx", "dy"), side, strict=True))
            for of_size, box in zip(taken, boxes[side], strict=True):
                of_size.append(box)


def _box(at: Point, side: Side, width: float) -> Box:
    align, dx, dy = side
    left = at[0] + dx - {"left": 0.0, "right": width}.get(align, width / 2)
    return left, at[1] + dy - LINE / 2, left + width, at[1] + dy + LINE / 2


def _free(box: Box, size: Point, taken: Sequence[Box]) -> bool:
    inside = box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]
    return inside and not any(_overlap(box, other) for other in taken)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] + 3 and other[0] < one[2] + 3 and one[1] < other[3] + 2 and other[1] < one[3] + 2


def _si(rate: float) -> str:
    """Return a rate with three digits and the prefix of its unit."""
    factor, prefix = next(((f, p) for f, p in ((1e12, "T"), (1e9, "G"), (1e6, "M")) if rate >= f), (1.0, ""))
    return f"{rate / factor:.3g} {prefix}"
