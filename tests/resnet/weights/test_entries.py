"""Where a model's weights are in what training scripts save: entries, prefixes, averages, and what is beside them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from resnet.weights.entries import find_weights

State = dict[str, Tensor]


class Net(nn.Module):
    """A stem, a batch norm and a classifier, under the names that ResNets have for them."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)


RAW = Net().state_dict()
EMA = {key: value + 1 for key, value in RAW.items()}
KEYS = list(RAW)


def behind(prefix: str, state: State = RAW) -> State:
    return {prefix + key: value for key, value in state.items()}


def took(contents: object, entry: str = "", keys: list[str] = KEYS) -> tuple[State, str]:
    found = find_weights(contents, keys, entry)
    return found.state, "; ".join(found.notes)


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


PLACES: dict[str, tuple[Any, str]] = {
    "plain": (RAW, ""),
    "torchvision's references": ({"model": RAW, "epoch": 3, "optimizer": {"state": {0: RAW}}}, "weights of model"),
    "the PyTorch examples": ({"state_dict": RAW, "best_acc1": torch.tensor(1.0), "epoch": 2}, "weights of state_dict"),
    "the PyTorch tutorial": ({"model_state_dict": RAW, "loss": 0.1}, "weights of model_state_dict"),
    "a script for CIFAR": ({"net": RAW, "acc": 93.1, "epoch": 2}, "weights of net"),
    "a name nobody knows": ({"thing": RAW}, "weights of thing"),
    "deep": ({"trainer": {"task": {"weights": RAW}}}, "weights of trainer.task.weights"),
    "data parallel": (behind("module."), "weights of module"),
    "compiled, then data parallel": (behind("module._orig_mod."), "weights of module"),
    "data parallel, then compiled": (behind("_orig_mod.module."), "weights of module"),
    "FSDP": (behind("_fsdp_wrapped_module._checkpoint_wrapped_module."), ""),
    "compiled by layer": ({key.replace("bn1.", "bn1._orig_mod."): value for key, value in RAW.items()}, ""),
    "Lightning": ({"state_dict": behind("model."), "callbacks": {"x": {"best": 1}}}, "weights of state_dict.model"),
    "Lightning, compiled": ({"state_dict": behind("model._orig_mod.")}, "weights of state_dict.model"),
    "Lightning, a module's own name": ({"state_dict": behind("encoder.")}, "weights of state_dict.encoder"),
    "a detector's": ({"model": behind("backbone.body.")}, "weights of model.backbone.body"),
    "body and head": (
        {"state_dict": {f"{'head' if key.startswith('fc') else 'backbone'}.{key}": RAW[key] for key in KEYS}},
        "weights of state_dict.backbone and of state_dict.head",
    ),
    "without counters": ({key: RAW[key] for key in KEYS if not key.endswith("num_batches_tracked")}, ""),
    "operations counted": (RAW | {"total_ops": torch.tensor(1.0), "bn1.total_params": torch.tensor(2.0)}, ""),
}


@pytest.mark.parametrize(("contents", "note"), PLACES.values(), ids=PLACES)
def test_weights_are_found_wherever_they_are_and_the_place_is_said(contents: object, note: str) -> None:
    state, notes = took(contents)
    assert same(state, {key: RAW[key] for key in state})
    assert {key for key in KEYS if not key.endswith("num_batches_tracked")} <= state.keys()
    assert notes == note


def test_a_module_whose_own_child_is_called_model_keeps_its_names() -> None:
    keys = [f"model.{key}" for key in KEYS]
    for contents in (behind("model."), {"state_dict": behind("model.")}, {"state_dict": behind("model.model.")}):
        state, _ = took(contents, keys=keys)
        assert same(state, behind("model."))


def test_loss_weights_of_a_trainer_are_told_and_left_alone() -> None:
    beside = {"criterion.weight": torch.ones(10), "metric.total": torch.ones(())}
    state, notes = took({"state_dict": behind("model.") | beside})
    assert same(state, RAW)
    assert notes == (
        "weights of state_dict.model; 2 tensors beside them are left alone: "
        "state_dict.criterion.weight, state_dict.metric.total"
    )
    # behind the prefix, or without one, they are the model's
    for contents in (RAW | beside, {"state_dict": behind("model.", RAW | beside)}):
        assert beside.keys() <= took(contents)[0].keys()


AVERAGES: dict[str, Callable[[], dict[str, Any]]] = {
    "state_dict_ema": lambda: {"state_dict_ema": behind("module.", EMA)},
    "model_ema": lambda: {"model_ema": behind("module.", EMA) | {"n_averaged": torch.tensor(5)}},
    "ema": lambda: {"ema": {"module": EMA, "updates": 9}},
    "ema_state_dict": lambda: {"ema_state_dict": EMA},
    "Lightning's callback": lambda: {"callbacks": {"EMA": {"ema_state_dict": behind("model.", EMA)}}},
}


@pytest.mark.parametrize("average", AVERAGES.values(), ids=AVERAGES)
@pytest.mark.parametrize("name", ["state_dict", "model"])
def test_an_average_goes_before_the_raw_weights_and_can_be_turned_down(
    average: Callable[[], dict[str, Any]], name: str
) -> None:
    state, notes = took(average())
    assert same(state, EMA)
    assert notes.startswith("EMA weights of ")
    assert "; not those of" not in notes
    state, notes = took({name: RAW} | average())
    assert same(state, EMA)
    assert f"; not those of {name}, which FILE#{name} takes" in notes
    state, notes = took({name: RAW} | average(), entry=name)
    assert same(state, RAW)
    assert "EMA" not in notes


def test_an_average_beside_the_weights_under_a_prefix_goes_first() -> None:
    contents = {"state_dict": behind("model.") | behind("ema_model.module.", EMA)}
    state, notes = took(contents)
    assert same(state, EMA)
    assert notes == (
        "EMA weights of state_dict.ema_model.module; not those of state_dict.model, which FILE#state_dict.model takes"
    )
    assert same(took(contents, "state_dict.model")[0], RAW)


def test_torchs_averaged_model_is_an_average_by_its_counter() -> None:
    averaged = AveragedModel(Net())
    averaged.update_parameters(Net())
    state, notes = took(averaged.state_dict())
    assert notes == "EMA weights of module"
    assert same(state, averaged.module.state_dict())


def test_an_average_that_lacks_buffers_is_passed_over_in_words() -> None:
    parameters = {key: value for key, value in EMA.items() if "running" not in key}
    state, notes = took({"state_dict": RAW, "ema": parameters})
    assert same(state, RAW)
    assert notes == "weights of state_dict; not the EMA weights in ema, which do not have all keys"


def test_of_several_sets_the_usual_name_goes_first_and_else_one_is_asked_for() -> None:
    state, notes = took({"best_state_dict": EMA, "state_dict": RAW})
    assert same(state, RAW)
    assert notes == "weights of state_dict; not those of best_state_dict, which FILE#best_state_dict takes"
    two = {"student": RAW, "teacher": EMA}
    with pytest.raises(ValueError, match=r"several sets of weights that fit, student, teacher: .* FILE#student"):
        took(two)
    assert same(took(two, "teacher")[0], EMA)


def test_an_entry_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"nothing under 'teacher', only state_dict, ema"):
        took({"state_dict": RAW, "ema": EMA}, "teacher")


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ([1, 2], "it holds a list, not a state dict"),
        ({"epoch": 3, "net": {"conv1.weight": 0}}, "it holds no tensors by name, only epoch, net"),
        ({}, "it holds a dict, not a state dict"),
    ],
)
def test_no_state_dict(contents: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        took(contents)


def test_a_mapping_that_holds_itself_ends() -> None:
    loop: dict[str, Any] = {"state_dict": RAW}
    loop["again"] = loop
    assert same(took(loop)[0], RAW)
