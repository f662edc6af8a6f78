"""The digits: parts that share none, pictures that depend on their number alone, a hard form that stays in the dark."""

import numpy as np
import pytest

from resnet.calibration import FIRST_PICTURE
from resnet.data import digits
from resnet.inputs import FIRST_LEARNT, find_source, pictures

pytestmark = pytest.mark.skipif(digits.digits_file() is None, reason=digits.CURE)


def test_the_parts_share_no_digit_and_have_every_class() -> None:
    parts = {part: digits._part(part, digits.LEARNT) for part in ("judged", "calibrating", "learnt")}
    assert [len(glyphs) for glyphs, _ in parts.values()] == [digits.JUDGED, digits.CALIBRATING, digits.LEARNT]
    assert sum(len(glyphs) for glyphs, _ in parts.values()) == 1797
    seen = [{glyph.tobytes() for glyph in glyphs} for glyphs, _ in parts.values()]
    assert len(set().union(*seen)) == sum(map(len, seen))  # disjoint
    assert all(set(classes) == set(range(10)) for _, classes in parts.values())


@pytest.mark.parametrize("kind", digits.FORMS)
def test_a_picture_depends_on_its_number_alone(kind: str) -> None:
    whole = pictures(4, 32, seed=3, source=kind)
    assert whole.shape == (4, 1, 32, 32)
    assert pictures(1, 32, seed=3, source=kind, first=2).equal(whole[2:3])
    assert not pictures(1, 32, seed=4, source=kind, first=2).equal(whole[2:3])
    again = pictures(1, 32, seed=3, source=kind, first=2 + digits.JUDGED)  # the same digit, in another place
    assert not again.equal(whole[2:3])


def test_a_number_decides_the_part() -> None:
    for first, part in ((0, "judged"), (FIRST_PICTURE, "calibrating"), (FIRST_LEARNT, "learnt")):
        drawn, _ = digits.draw_digit("digits", 32, 0, first, part)
        assert np.array_equal(pictures(1, 32, source="digits", first=first)[0].numpy(), drawn)


def test_the_class_of_a_picture_is_that_of_its_digit() -> None:
    glyphs, classes = digits._part("judged", digits.LEARNT)
    upright = [digits._enlarged(glyph, 8, 0.0, 1.0, (0.0, 0.0)) for glyph in glyphs[:3]]
    assert all(np.allclose(glyph, same) for glyph, same in zip(glyphs, upright, strict=False))
    assert digits.classes_of("digits", digits.JUDGED, 2) == digits.classes_of("digits", 0, 2) == list(classes[:2])
    assert digits.draw_digit("digits-hard", 32, 0, 1, "judged")[1] == classes[1]


def test_the_hard_form_is_exposed_from_day_to_night() -> None:
    plain, hard = (pictures(60, 32, source=kind).abs().amax((1, 2, 3)).numpy() for kind in digits.FORMS)
    assert plain.max() / plain.min() < 3
    assert hard.max() / hard.min() > 50


def test_a_machine_without_the_package_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "digits_file", lambda: None)
    with pytest.raises(ValueError, match="pip install scikit-learn"):
        find_source("digits")
    digits._part.cache_clear()
    with pytest.raises(ValueError, match="pip install scikit-learn"):
        digits.draw_digit("digits", 32, 0, 0, "judged")
