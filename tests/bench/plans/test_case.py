import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import CaseError
from bench.plans.case import MAX, Case
from resnet import MODELS
from resnet.variants import LAUNCHES, PRECISIONS, VARIANTS


@given(
    st.builds(
        Case,
        st.sampled_from([model + shortcut for model in MODELS for shortcut in ("", "-A", "-C", "-none")]),
        st.sampled_from(sorted(VARIANTS)),
        st.sampled_from(PRECISIONS),
        st.integers(0, 4096),  # 0: the largest that fits
        st.integers(32, 1024),
        st.sampled_from(LAUNCHES),
    )
)
def test_a_name_is_the_case(case: Case) -> None:
    assert Case.parse(case.name) == case


def test_the_largest_batch_has_a_word_in_the_name() -> None:
    case = Case.parse("resnet50/eager/fp16/bmax/i224/graph")
    assert case.largest
    assert case.batch == MAX
    assert case.name == "resnet50/eager/fp16/bmax/i224/graph"
    assert not Case.parse("resnet50/eager/fp16/b1/i224/graph").largest


def test_other_spellings_of_a_model_are_one_case() -> None:
    assert Case.parse("resnet50v1.5/eager/fp32/b1/i224/stream").name == "resnet50/eager/fp32/b1/i224/stream"


def test_an_old_name_of_a_variant_is_the_new_one() -> None:
    old, new = (Case.parse(f"resnet50/{variant}/fp16/b1/i224/graph") for variant in ("mixed", "per-layer"))
    assert old == new
    assert old.name == "resnet50/per-layer/fp16/b1/i224/graph"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet50", "MODEL/VARIANT"),
        ("resnet50/eager/fp32/1/i224/stream", "MODEL/VARIANT"),
        ("resnet50/eager/fp32/b१/i224/stream", "MODEL/VARIANT"),
        ("resnet51/eager/fp32/b1/i224/stream", "18, 34, 50, 101, 152"),
        ("resnet50/egaer/fp32/b1/i224/stream", "did you mean eager"),
        ("resnet50/eager/fp23/b1/i224/stream", "allowed: fp32"),
        ("resnet50/eager/fp32/b0/i224/stream", "not a positive number"),
        ("resnet50/eager/fp32/bmaximum/i224/stream", "bmax: what fits"),
        ("resnet50/eager/fp32/b1/i16/stream", "under 32 pixels"),
        ("resnet50/eager/fp32/b1/i224/flow", "allowed: stream, graph"),
    ],
)
def test_a_wrong_name_says_which_part(name: str, said: str) -> None:
    with pytest.raises(CaseError, match=said):
        Case.parse(name)
