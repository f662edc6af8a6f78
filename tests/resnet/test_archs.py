"""Names of models: one canonical spelling each, and errors that say what was meant."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet.archs import ARCHS, MODELS, SHORTCUTS, TASKS, VERSIONS, Spec

SPECS = [Spec(*words) for words in itertools.product(ARCHS, VERSIONS, SHORTCUTS, TASKS)]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_name_round_trip(spec: Spec) -> None:
    assert Spec.parse(spec.name) == spec


def test_names_are_distinct() -> None:
    assert len({spec.name for spec in SPECS}) == len(SPECS) == 5 * 3 * 4 * 3


@pytest.mark.parametrize(
    ("name", "spec", "canonical"),
    [
        ("resnet50", Spec(50, "v1.5", "B"), "resnet50"),
        ("resnet50v1.5", Spec(50, "v1.5", "B"), "resnet50"),
        ("resnet50-B", Spec(50, "v1.5", "B"), "resnet50"),
        ("resnet50v1-A", Spec(50, "v1", "A"), "resnet50v1-A"),
        ("resnet18v1.5-none", Spec(18, "v1.5", "none"), "resnet18-none"),
        ("resnet152v2-C", Spec(152, "v2", "C"), "resnet152v2-C"),
        ("resnet18v1.5-B-digits", Spec(18, task="digits"), "resnet18-digits"),
        ("resnet50v2-A-digits-hard", Spec(50, "v2", "A", "digits-hard"), "resnet50v2-A-digits-hard"),
    ],
)
def test_parse(name: str, spec: Spec, canonical: str) -> None:
    assert Spec.parse(name) == spec
    assert spec.name == canonical


def test_models_are_the_canonical_names_with_projection_shortcuts() -> None:
    assert len(MODELS) == 15
    assert MODELS[:4] == ("resnet18v1", "resnet18", "resnet18v2", "resnet34v1")
    assert all(Spec.parse(name).name == name and Spec.parse(name).shortcut == "B" for name in MODELS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet51", ["depth 51", "18, 34, 50, 101, 152", "did you mean 'resnet"]),
        ("resnet50v3", ["version 'v3'", "v1, v1.5, v2", "did you mean 'resnet50v2'"]),
        ("resnet50-D", ["shortcut 'D'", "A, B, C, none", "did you mean 'resnet50"]),
        ("ResNet101V2", ["did you mean 'resnet101v2'"]),
        ("resnet50v2-a", ["shortcut 'a'", "did you mean 'resnet50v2-A'"]),
        ("resnet18-digit", ["did you mean 'resnet18-digits'"]),
        ("resnet34-digits-hrad", ["did you mean 'resnet34-digits-hard'"]),
        ("resnet_50", ["want resnet<depth>", "did you mean 'resnet50'"]),
        ("resnet50 ", ["want resnet<depth>"]),
    ],
)
def test_unknown_name(name: str, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        Spec.parse(name)
    for word in [repr(name), *words]:
        assert word in str(caught.value)


def test_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(ValueError) as caught:
        Spec.parse("vgg")
    assert "did you mean" not in str(caught.value)


@given(st.one_of(st.text(), st.from_regex(r"resnet\d*v?[\d.]*-?\w*", fullmatch=True)))
def test_any_text_is_a_spec_or_a_value_error(name: str) -> None:
    try:
        spec = Spec.parse(name)
    except ValueError:
        return
    assert Spec.parse(spec.name) == spec


@pytest.mark.parametrize("words", [(20, "v1", "B"), (50, "v1.0", "B"), (50, "v1", "D")])
def test_spec_refuses_unknown_words(words: tuple) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        Spec(*words)


def test_spec_is_immutable_and_hashable() -> None:
    spec = Spec(50)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.depth = 18  # type: ignore[misc]
    assert {spec: 1}[Spec.parse("resnet50")] == 1


def test_a_network_of_digits_is_narrow_and_has_their_ends() -> None:
    spec = Spec.parse("resnet50-digits-hard")
    assert (spec.ends.classes, spec.ends.channels, spec.ends.image, spec.widths) == (10, 1, 32, (16, 32, 64, 128))
    assert Spec.parse("resnet50").widths == (64, 128, 256, 512)
