"""Cases named by a plan, a case, some of its segments, and axes."""

import re
from pathlib import Path

import pytest

from bench.errors import ArgumentError, BenchError, PlanError
from bench.plans.axes import split_words
from bench.plans.case import Case
from bench.plans.choose import Selection, case_beside, choose, choose_case
from bench.plans.plan import Plan, parse_plan
from bench.stats import samples_needed
from resnet.archs import ARCHS
from resnet.names import Build

TOML = """
[[group]]
why = "For a CPU."
device = "cpu"
model = "resnet18"
variant = ["eager", "compile"]
precision = "fp32"
batch = [1, 8]
image = 64
[[group]]
why = "For a GPU."
device = "cuda"
model = "resnet18"
variant = "eager"
precision = "fp16"
batch = 1
image = 64
"""
PLAN = parse_plan(TOML, "test", "test.toml")


def names(plan: str | Plan | None = None, *, device: str = "cpu", **axes: str) -> list[str]:
    words = {axis: split_words([text]) for axis, text in axes.items()}
    return [case.name for case in choose(Selection(plan, words), device).cases]


def test_axes_alone_make_a_plan() -> None:
    assert names(model="resnet18,resnet34", variant="eager", batch="1,b8") == [
        f"{model}/eager/fp32/{batch}/i224/stream" for model in ("resnet18", "resnet34") for batch in ("b1", "b8")
    ]
    assert names(variant="eager", batch="max", image="i96", launch="graph", device="cuda") == [
        "resnet50/eager/fp16/bmax/i96/graph"
    ]


def test_axes_that_are_left_open_have_every_variant_that_exists() -> None:
    variants = [name.split("/")[1] for name in names(precision="bf16")]
    assert {"eager", "compile-max", "fused", "channels-last-amp"} <= set(variants)
    assert "channels-last-amp" not in [name.split("/")[1] for name in names(precision="fp32")]
    compiled = ("compile", "compile-max", "compile-aot")
    assert names(variant="compile*") == [f"resnet50/{name}/fp32/b1/i224/stream" for name in compiled]
    # what is named stays, though no device runs it: the list says why
    assert names(variant="channels-last-amp", precision="fp32") == ["resnet50/channels-last-amp/fp32/b1/i224/stream"]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("resnet18/eager/fp32/b2/i32/stream", ["resnet18/eager/fp32/b2/i32/stream"]),
        ("resnet18/eager", ["resnet18/eager/fp32/b1/i224/stream"]),
        (
            "resnet18,resnet34/eager/fp32/b1,b2",
            [f"{model}/eager/fp32/{batch}/i224/stream" for model in ("resnet18", "resnet34") for batch in ("b1", "b2")],
        ),
        ("compile/bf16/b4", ["resnet50/compile/bf16/b4/i224/stream"]),
        ("timm:convnext_tiny/eager", ["timm:convnext_tiny/eager/fp32/b1/i224/stream"]),
        ("resnet18/eager/b2", ["resnet18/eager/fp32/b2/i224/stream"]),
        ("resnet18/eager/fp32/b1,2/i32", [f"resnet18/eager/fp32/{batch}/i32/stream" for batch in ("b1", "b2")]),
        ("resnet50v1.5/per-layer/fp16", ["resnet50/per-layer/fp16/b1/i224/stream"]),
        (
            "resnet*/eager/fp32/b?/i*/stream",
            [f"resnet{depth}/eager/fp32/{batch}/i224/stream" for depth in ARCHS for batch in ("b1", "b8")],
        ),
    ],
)  # fmt: skip
def test_a_plan_may_be_a_case_or_some_of_its_segments(plan: str, expected: list[str]) -> None:
    assert names(plan) == expected


def test_an_axis_takes_the_place_of_a_segment() -> None:
    assert names("resnet18/eager/fp32/b2/i32/stream", batch="4") == ["resnet18/eager/fp32/b4/i32/stream"]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"variant": "compile"}, ["compile/fp32/b1", "compile/fp32/b8"]),  # narrows
        ({"variant": "library-fused"}, ["library-fused/fp32/b1", "library-fused/fp32/b8", "library-fused/fp16/b1"]),
        ({"batch": "8,16", "variant": "eager"}, ["eager/fp32/b16", "eager/fp32/b8", "eager/fp16/b16"]),
        ({"precision": "fp16", "batch": "8"}, ["eager/fp16/b8"]),  # both are in the plan, in no case together
    ],
)
def test_axes_narrow_a_plan_or_replace_what_it_has_not(axes: dict[str, str], expected: list[str]) -> None:
    chosen = names(PLAN, **axes)
    assert sorted(chosen) == sorted(f"resnet18/{name}/i64/stream" for name in expected)


def test_replaced_cases_keep_the_device_of_their_group() -> None:
    chosen = choose(Selection(PLAN, {"model": ["resnet34"]}))
    assert [chosen.reserved[case] for case in chosen.cases] == ["cpu"] * 4 + ["cuda"]
    merged = choose(Selection(PLAN, {"precision": ["bf16"], "batch": ["1"], "variant": ["eager"]}))
    assert len(merged.cases) == 1
    assert not merged.reserved  # of both devices' groups


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Selection(), "say which cases"),
        (Selection("quik"), r"no plan 'quik' \(did you mean quick\?\)"),
        (Selection("resnet18//fp32"), "no plan 'resnet18//fp32'|no axis has ''"),
        (Selection("resnet18/egaer"), r"no axis has 'egaer' \(did you mean eager\?\)"),
        (Selection("fp32/resnet18"), "no plan 'fp32/resnet18'"),
        (Selection("resnet50/eager/fp33/b1/i224/stream"), "unknown precision 'fp33'"),
        (Selection(axes={"variant": ["fusd"]}), "did you mean fused"),
        (Selection(axes={"batch": ["many"]}), "batch 'many' is not a whole number"),
        (Selection(axes={"batch": ["0"]}), "batch 0 is not a positive"),
        (Selection(axes={"model": ["vgg*"]}), "no model matches vgg"),
        (Selection("smoke", only=["onxruntime"]), "no case of smoke matches onxruntime .near it: onnxruntime"),
        (Selection("smoke", build=Build(weights="no/such.pt")), "no/such.pt is not there"),
        (Selection("smoke", settings={"samples": 0}), "samples = 0 is too small"),
    ],
)
def test_words_that_name_nothing_are_a_sentence(asked: Selection, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        choose(asked)


def test_one_case_is_one_or_the_matches_are_listed() -> None:
    case, plan = choose_case(Selection("resnet18/eager/fp32/b2/i32", build=Build(num_classes=7)))
    assert case.name == "resnet18/eager/fp32/b2/i32/stream"
    assert plan.build.num_classes == 7
    with pytest.raises(BenchError, match="3 match; name one:\n  resnet18/eager/fp32/b1"):
        choose_case(Selection("resnet18/eager/fp32", {"batch": ["1", "2", "3"]}))


def test_another_case_is_named_by_what_differs() -> None:
    case = Case.parse("resnet18/eager/fp32/b2/i32/stream")
    assert case_beside(case, "library-fused/bf16").name == "resnet18/library-fused/bf16/b2/i32/stream"
    assert case_beside(case, "resnet34/eager/fp32/b1/i64/stream").name == "resnet34/eager/fp32/b1/i64/stream"
    with pytest.raises(BenchError, match="neither a case"):
        case_beside(case, "nothing")


def test_settings_and_builds_take_the_place_of_the_plans(tmp_path: Path) -> None:
    checkpoint = tmp_path / "w.pt"
    checkpoint.write_bytes(b"1")
    words = {"samples": 7, "threads": 2, "warmup": 9.0, "min_time": 0.5}
    plan = choose(Selection("smoke", build=Build(weights=str(checkpoint)), settings=words))
    settings = plan.settings
    assert (settings.samples, settings.threads) == (7, 2)
    assert (settings.warmup_s, settings.warmup_limit_s) == (9.0, 9.0)
    assert (settings.latency_s, settings.latency_limit_s, settings.throughput_s) == (0.5, 0.5, 0.5)
    assert plan.build.weights == str(checkpoint)


def test_a_p99_takes_its_samples_and_the_time_for_them(tmp_path: Path) -> None:
    settings = choose(Selection("quick", settings={"p99": True})).settings
    assert settings.samples >= samples_needed(0.99)
    assert settings.limit_s >= 3600
    assert choose(Selection("quick", settings={"p99": True, "samples": 5000})).settings.samples == 5000
    group = '[[group]]\nwhy = "x"\nmodel = "resnet18"\nvariant = "eager"\nprecision = "fp32"\nbatch = 1\n'
    planned = parse_plan(f"[measure]\np99 = true\nsamples = 6\n{group}", "mine", "mine.toml").settings
    assert planned.samples == settings.samples
    with pytest.raises(PlanError, match="p99 = 1 is not true or false"):
        parse_plan(f"[measure]\np99 = 1\n{group}", "mine", "mine.toml")


def test_words_of_an_axis_are_split_at_commas_but_not_within_a_models_arguments() -> None:
    assert split_words(["a, b", "b,c"]) == ["a", "b", "c"]
    assert split_words(["torchvision:vit@dropout=0.0,num_classes=10,timm:x"]) == [
        "torchvision:vit@dropout=0.0,num_classes=10",
        "timm:x",
    ]


@pytest.mark.parametrize(
    ("wide", "message"),
    [
        ("fcc", "resnet18 has no layer 'fcc' (did you mean fc?)"),
        ("layer1.0", "resnet18 has no layer 'layer1.0' (its layers: layer1.0.conv1,layer1.0.conv2)"),
        ("-1", "no layer '-1'"),
        ("21", "resnet18 has 21 layers, and one at least is to be in 8 bits: name 20 at most; for all take"),
    ],
)
def test_layers_to_keep_wide_are_judged_before_anything_runs(wide: str, message: str) -> None:
    axes = {"model": ["resnet18"], "variant": ["library-fused"], "precision": ["fp32", "int8"]}
    with pytest.raises(ArgumentError, match=re.escape(message)):
        choose(Selection(None, axes, settings={"keep_wide": wide}))
    in_float = Selection(None, axes | {"precision": ["fp32"]}, settings={"keep_wide": wide, "min_agreement": 0.9})
    with pytest.raises(ArgumentError, match="--keep-wide and --min-agreement: of 8 bits, which no case is in"):
        choose(in_float)
    assert choose(in_float, simulated=True).settings.keep_wide == wide
    assert choose(Selection(None, axes, settings={"keep_wide": "conv1, fc"})).settings.keep_wide == "conv1, fc"


def test_layers_that_a_variant_keeps_wide_by_rule_are_told() -> None:
    def refused(wide: str, variant: str = "fused", model: str = "resnet18") -> str:
        axes = {"model": [model], "variant": variant.split(","), "precision": ["int8"]}
        with pytest.raises(ArgumentError) as caught:
            choose(Selection(None, axes, settings={"keep_wide": wide}))
        return str(caught.value)

    assert refused("fc,conv1") == "--keep-wide fc,conv1 changes nothing; fused keeps conv1 and fc wide by rule"
    assert "21 layers, and one at least is to be in 8 bits: name 18 at most; fused keeps conv1 and fc wide" in refused(
        "999"
    )
    assert "name 20 at most; for" in refused("999", "fused,library-fused")
    assert "only this project's ResNets are ranked; name mine:net's layers" in refused("2", "onnxruntime", "mine:net")
    for kept in ({"keep_wide": "fc"}, {"keep_wide": "20"}, {"keep_wide": "0"}):
        axes = {"model": ["resnet18"], "variant": ["fused", "library-fused"], "precision": ["int8"]}
        assert choose(Selection(None, axes, settings=kept))
