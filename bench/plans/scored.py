"""The pictures on which a case is scored: how many, and whether a folder of labelled ones serves."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from bench.errors import PlanError
from bench.plans.case import Case
from bench.plans.settings import Settings
from resnet.archs import Spec
from resnet.calibration import EIGHT_BITS
from resnet.data.digits import JUDGED
from resnet.data.labelled import check_headers, find_labelled
from resnet.names import Build, is_outside, task_of

SCORED = 64  # pictures of a case in 8 bits, where nobody said how many
PICTURES = JUDGED  # of `bench accuracy`: every digit that no network has learnt from
SEARCHED = 4  # times as many pictures choose the layers to keep wide as rank them
NONE_LOST = 3.85  # over a limit: so many pictures show that it is met, if none is lost (2.5 % of Tango's for pairs)


def scored_pictures(case: Case, settings: Settings) -> int:
    """Return how many pictures that need no folder a case is scored on, at most: 0 for none.

    Where the settings do not say, those of 8 bits, and every digit that a network of digits has not learnt from.
    """
    if case.largest or settings.score_pictures:
        return 0 if case.largest else settings.score_pictures
    if task_of(case.model):
        return JUDGED
    return SCORED if case.precision in EIGHT_BITS else 0


def least_pictures(limit: float) -> int:
    """Return the fewest pictures of which a loss can be told from a limit, a share: of fewer not even none."""
    return ceil(NONE_LOST / limit)


def labels_in(model: str, data: str) -> str:
    """Return the folder of labelled pictures that a model is scored on: none for one of digits, which has labels."""
    return "" if task_of(model) else data


def check_data(word: str, cases: Iterable[Case], build: Build, count: int = 0) -> None:
    """Raise PlanError for a word of `--data` that names no labelled pictures of the cases' networks.

    Those that are scored, `count` or with 0 all, are judged by their headers. The classes of a network from outside, or
    of a checkpoint, are known as it is built, and judged then.
    """
    models = list(dict.fromkeys(case.model for case in cases))
    if all(map(task_of, models)):
        raise PlanError(f"--data {word}: {models[0]} is scored on digits, which have labels; leave it out")
    try:
        for model in models:
            ours = not (build.weights or is_outside(model) or task_of(model))
            labelled = find_labelled(word, build.num_classes or (Spec.parse(model).ends.classes if ours else 0))
        check_headers(labelled.chosen(count))
    except (OSError, ValueError) as error:
        raise PlanError(f"--data {word}: {str(error).replace('the model', model)}") from None
