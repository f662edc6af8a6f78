"""Finding a model's weights in what a file holds: under which entry, behind which prefix, averaged or raw.

Training scripts keep weights under names of their own (`state_dict`, `model`, `net`, ...), trainers and wrappers put a
prefix before each key (`module.`, `model.`, `backbone.`), and some keep an average (EMA) beside the weights. A file is
read as one flat mapping, and a model's weights are behind the prefix that makes all of its keys fit, none first. Where
several prefixes do, EMA weights come first, as in timm, and then the names of `USUAL` in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

USUAL = ("state_dict", "model", "model_state_dict", "net", "network", "weights", "params", "module", "backbone")
# counters for training alone, and those that tools which count operations leave behind
IGNORED = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")
# mappings with the state of training, in which tensors are shaped like weights
_TRAINING = re.compile(r"(\w+_)?(optim\w*|\w*scheduler\w*|\w*scaler\w*|amp|loops|rng\w*)", re.IGNORECASE)
_INFIXES = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_EMA = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)
_DEEPEST = 6  # mappings within mappings; a pickle may even hold one that contains itself
SHOWN = 3  # names of each kind that a message lists


@dataclass(frozen=True)
class Weights:
    """A file's tensors by a model's keys, as far as it has them; those that are too many have their name in the file.

    `notes` says what was decided in finding them.
    """

    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


class _Tensors:
    """The tensors of a file by their path in it, where dots lead into mappings, and the path of each one's mapping."""

    def __init__(self, contents: object) -> None:
        self.values: dict[str, Tensor] = {}
        self.home: dict[str, str] = {}
        for path, home, value in _walk(contents, "", _DEEPEST):
            path = _INFIXES.sub("", path)
            self.values[path], self.home[path] = value, home

    def behind(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose path begins with `prefix`, by the rest of their path."""
        return {path[len(prefix) :]: value for path, value in self.values.items() if path.startswith(prefix)}

    def home_of(self, prefix: str) -> str:
        """Return the path of the innermost mapping that has everything behind `prefix`."""
        return max((home for home in self.home.values() if prefix.startswith(home)), key=len, default="")

    def is_average(self, prefix: str) -> bool:
        """Return whether the weights behind `prefix` are an average of a training's, as their names say."""
        counter = prefix.removesuffix("module.") + "n_averaged"  # of torch's AveragedModel
        return bool(_EMA.search(prefix)) or (prefix.endswith("module.") and counter in self.values)


def find_weights(contents: object, keys: Collection[str], entry: str = "") -> Weights:
    """Return the weights in a file's `contents` for a model whose state dict has `keys`.

    `entry` is the path of the weights to take. Where none fit, those that fit best are returned. Raises ValueError
    where there are no tensors by name, none at `entry`, or several sets that fit and none that goes before the others.
    """
    tensors = _Tensors(contents)
    if not tensors.values:
        names = [str(name) for name in contents] if isinstance(contents, Mapping) else []
        held = f"no tensors by name, only {listed(names)}" if names else f"a {type(contents).__name__}"
        raise ValueError(f"it holds {held}, not a state dict")
    own = {_INFIXES.sub("", key): key for key in keys}
    wanted = {name for name in own if not name.endswith(IGNORED)}
    scores = _scores(tensors, wanted, entry)
    whole = [prefix for prefix, score in scores.items() if score == len(wanted)]
    if whole:
        prefix = _first(whole, tensors)
        prefixes, notes = [prefix], _choices(prefix, whole, tensors, entry)
    else:
        prefix = _nearest(scores, len(wanted), tensors, entry)
        prefixes, notes = [prefix, *_second(prefix, scores, wanted, tensors)], []
        if len(prefixes) > 1:
            notes = [f"weights of {' and of '.join(name.removesuffix('.') for name in prefixes)}"]
    state: dict[str, Tensor] = {}
    for one in prefixes:
        state |= {own[name]: value for name, value in tensors.behind(one).items() if name in own}
    beside = [path for path, home in tensors.home.items() if home == tensors.home_of(prefix)]
    more = [path for path in beside if path[len(prefix) :] not in own and not path.endswith(IGNORED)]
    state |= {path[len(prefix) :]: tensors.values[path] for path in more if path.startswith(prefix)}
    outside = [path for path in more if not path.startswith((*prefixes, *whole))]
    if notes and outside:
        notes.append(f"{len(outside)} tensors beside them are left alone: {listed(outside)}")
    return Weights(state, tuple(notes))


def listed(names: Collection[str]) -> str:
    """Return the first few names, and the number of the others."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(list(names)[:SHOWN]) + more


def _walk(contents: object, home: str, depth: int) -> Iterator[tuple[str, str, Tensor]]:
    """Yield the path of each tensor in mappings of mappings, the path of its mapping, and the tensor."""
    if not isinstance(contents, Mapping) or not depth:
        return
    for key, value in contents.items():
        if isinstance(value, Tensor):
            yield f"{home}{key}", home, value
        elif not _TRAINING.fullmatch(str(key)):
            yield from _walk(value, f"{home}{key}.", depth - 1)


def _scores(tensors: _Tensors, wanted: set[str], entry: str) -> Counter[str]:
    """Return how many of the `wanted` keys are behind each prefix, of those within `entry`.

    Raises ValueError where the file has nothing at `entry`.
    """
    scores: Counter[str] = Counter()
    for path in tensors.values:
        starts = [0, *(match.end() for match in re.finditer(r"\.", path))]
        scores.update(path[:start] for start in starts if path[start:] in wanted)
    if not entry:
        return scores
    if not tensors.behind(f"{entry}."):
        entries = dict.fromkeys(path.partition(".")[0] for path in tensors.values)
        raise ValueError(f"it has nothing under {entry!r}, only {listed(entries)}")
    return Counter({prefix: score for prefix, score in scores.items() if prefix.startswith(f"{entry}.")})


def _first(whole: list[str], tensors: _Tensors) -> str:
    """Return the prefix whose weights are taken. Raises ValueError where none goes before the others."""
    ranked = sorted((not tensors.is_average(prefix), _usual(prefix), prefix) for prefix in whole)
    if len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]:
        names = [prefix.removesuffix(".") for _, _, prefix in ranked]
        raise ValueError(f"it has several sets of weights that fit, {listed(names)}: choose one, as in FILE#{names[0]}")
    return ranked[0][2]


def _usual(prefix: str) -> list[int]:
    """Return the places of a prefix's parts in USUAL; a part that is not there comes after all of them."""
    parts = prefix.split(".")[:-1]
    return [USUAL.index(part) if part in USUAL else len(USUAL) for part in parts]


def _choices(prefix: str, whole: list[str], tensors: _Tensors, entry: str) -> list[str]:
    """Return what was decided in taking the weights behind `prefix`, of those behind each of `whole`."""
    average, name = tensors.is_average(prefix), prefix.removesuffix(".")
    notes = [f"{'EMA weights' if average else 'weights'} of {name}"] if prefix else []
    others = [other.removesuffix(".") for other in whole if other != prefix]
    if others:
        notes.append(f"not those of {listed(others)}, which FILE#{others[0]} takes")
    lacking = {path.partition(".")[0] for path in tensors.values if _EMA.search(path)}
    if lacking and not average and not entry:
        notes.append(f"not the EMA weights in {listed(sorted(lacking))}, which do not have all keys")
    return notes


def _nearest(scores: Counter[str], wanted: int, tensors: _Tensors, entry: str) -> str:
    """Return the prefix behind which most keys fit; with hardly any, that of the largest mapping."""
    prefix, score = max(scores.items(), key=lambda item: (item[1], -len(item[0])), default=("", 0))
    if score * 4 >= wanted:
        return prefix
    if entry:
        return f"{entry}."
    return Counter(tensors.home.values()).most_common(1)[0][0]


def _second(prefix: str, scores: Counter[str], wanted: set[str], tensors: _Tensors) -> list[str]:
    """Return the one prefix that has all keys which are not behind `prefix`: `head.` beside `backbone.`, say."""
    rest = wanted - tensors.behind(prefix).keys()
    fitting = [other for other in scores if rest and rest <= tensors.behind(other).keys()]
    return fitting if len(fitting) == 1 else []
