"""`bench kernels --predict FILE`: the model's predictions for ResNet-50's layers, written before they are measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from bench.cli.console import stop, tell
from bench.cli.tables import out, print_json
from bench.cli.words import parse_words
from bench.errors import USAGE
from bench.files import OTHER, check_writable
from bench.kinds import PREDICTION
from bench.static import predictions
from bench.tuning.gpus import PREDICTABLE, Gpu
from kernels.cards.cards import CARDS, find_card
from kernels.space.layer import BYTES
from kernels.table import Table

File = Annotated[
    Path | None,
    Option("--predict", metavar="FILE", help="Only write the times that the model predicts for ResNet-50's layers."),
]
Card = Annotated[str, Option("--gpu", metavar="NAME", help="With --predict: a card, as h100 or its full name.")]


def predict(path: Path, card: str, precision: str, as_json: bool) -> None:
    """Write the predicted time of each layer, and print the sum of each batch size."""
    check_writable(path, PREDICTION, f"{OTHER} with --predict")
    word, *others = parse_words("precision", precision, BYTES)
    if others:
        stop(f"--precision: with --predict one word, not {precision}", USAGE)
    prediction = predictions.write_prediction(path, _gpu(card), word)
    if as_json:
        return print_json(prediction)
    tell(prediction["made"].get("constants", ""))
    out.print(f"{path}: {predictions.MODEL}, {word}, {prediction['gpu']}, by the model:", soft_wrap=True)
    for batch, rows in predictions.rows_by_batch(prediction, Table()).items():
        us = sum(row.us for row in rows)
        out.print(f"batch {batch}: {us:,.0f} us, {1e6 * batch / us:,.0f} images/s")


def _gpu(name: str) -> Gpu:
    card = find_card(name) or next((card for card in CARDS if card.key == name.lower()), None)
    if card is None:
        stop(f"unknown card {name!r}; allowed: {', '.join(card.key for card in CARDS)}", USAGE)
    return PREDICTABLE[card.name]
