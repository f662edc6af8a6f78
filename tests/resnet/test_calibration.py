"""The choices of 8 bits as a program gives them, and what is refused with which cure."""

from typing import Any

import numpy as np
import pytest
import torch

import resnet
from resnet import Calibration

PICTURES = torch.zeros(2, 3, 32, 32)


@pytest.mark.parametrize("pictures", [PICTURES[0], PICTURES[:0], PICTURES.numpy(), "folder", None])
def test_what_is_no_batch_of_pictures_is_refused_where_it_is_given(pictures: Any) -> None:
    with pytest.raises(ValueError, match=r"on a batch of pictures \[N, C, H, W\], as resnet.pictures\(64\) returns"):
        Calibration(pictures)


def test_choices_are_words_too() -> None:
    assert Calibration(PICTURES, keep_wide="fc, conv1").keep_wide == ("fc", "conv1")
    assert Calibration(PICTURES, keep_wide=3).keep_wide == ("3",)
    with pytest.raises(ValueError, match="'distribution' is no way of calibrating: there are minmax, percentile"):
        Calibration(PICTURES, "distribution")


@torch.no_grad()
def test_pictures_alone_calibrate_and_others_of_another_size_do_not() -> None:
    model, batch = resnet.build("resnet18", source="noise"), resnet.pictures(2, 32, source="noise")
    some = resnet.pictures(4, 32, seed=1, source="noise")
    runs = [resnet.prepare("library-fused", model, batch, "int8", calibration=c) for c in (some, Calibration(some))]
    ours, theirs = (run(run.place(batch)).numpy() for run in runs)
    assert np.array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"pictures are \[3, 64, 64\], and the example's \[3, 32, 32\]"):
        resnet.prepare("library-fused", model, batch, "int8", calibration=torch.zeros(2, 3, 64, 64))
    every = ",".join(
        name for name, part in model.named_modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)
    )
    with pytest.raises(ValueError, match="no layer is in 8 bits: keep fewer wide"):
        resnet.prepare("library-fused", model, batch, "int8", calibration=Calibration(some, keep_wide=every))
