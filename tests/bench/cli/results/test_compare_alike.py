"""What `bench compare` refuses as not alike, and what `--allow` lets through."""

from pathlib import Path
from typing import Any

import pytest

from bench.records.frame import export_parquet
from bench.records.record import Record
from tests.bench.verdicts.sides import CASE, OTHER, Folder, changed, compare_folders, run, words


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("cpu.name", "Abacus", "cpu"),
        ("cpu.cores", 123, "cores"),
        ("packages.torch", "9.9", "torch"),
        ("packages.triton", "9.9", "triton"),
        ("python", "CPython 2.7", "python"),
        ("variables", {"OMP_NUM_THREADS": "97"}, "variables"),
    ],
)
def test_another_machine_or_software_is_refused_by_name_and_may_be_allowed(
    folder: Folder, path: str, value: Any, field: str
) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=changed(path, value))
    code, text = run(base, head)
    assert code == 2
    assert f"{field}: " in text
    assert "OMP_NUM_THREADS=97 in head" in text or f"{value} in head" in text
    assert f"--allow {field}" in text
    code, text = run(base, head, "--allow", field)
    assert code == 0
    assert f"Compared although these differ (--allow): {field}: " in text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seed": 1}, "seed"),
        ({"device": "cuda"}, "device"),
        ({"input": {"source": "noise"}}, "input"),
        ({"input": {"source": "photos", "digest": "2"}}, "pictures"),
        ({"settings": {"latency_s": 2.0, "limit_s": 9.0}}, "settings"),
    ],
)
def test_other_inputs_and_settings_are_refused(folder: Folder, fields: dict[str, Any], field: str) -> None:
    plain = {"input": {"source": "photos", "digest": "1"}, "settings": {"latency_s": 1.0, "steal": 0.1, "limit_s": 5.0}}
    base, head = folder("base", {CASE: 10.0}, **plain), folder("head", {CASE: 10.0}, **plain | fields)
    code, text = run(base, head)
    assert code == 2
    assert f"{field}: " in text
    if field == "settings":
        assert "settings: latency_s=1.0 in base, latency_s=2.0 in head" in text
    assert run(base, head, "--allow", field)[0] == 0


def test_another_calibration_is_refused_of_8_bits_alone(folder: Folder) -> None:
    def both(case: str, **settings: Any) -> tuple[int, str]:
        name = "-".join(map(str, (case.split("/")[2], *settings)))
        usual = {"calibrate": "mse", "keep_wide": "", "score_pictures": 0}
        base = folder(f"base-{name}", {case: 10.0}, settings=usual)
        return run(base, folder(f"head-{name}", {case: 10.0}, settings=usual | settings))

    eight = CASE.replace("fp32", "int8")
    assert eight != CASE
    code, text = both(eight, calibrate="minmax", keep_wide="fc")
    assert code == 2
    assert "calibrate=mse, keep_wide=none in base, calibrate=minmax, keep_wide=fc in head" in text
    assert both(CASE, calibrate="minmax", keep_wide="fc")[0] == 0  # which has none
    assert both(eight, score_pictures=500)[0] == 0
    old = folder("old", {CASE: 10.0}, settings={"latency_s": 1.0})
    new = folder("new", {CASE: 10.0}, settings={"latency_s": 1.0, "calibrate": "minmax", "keep_wide": "fc"})
    assert run(old, new)[0] == 0


def test_to_allow_another_torch_allows_what_comes_with_it(folder: Folder) -> None:
    def upgraded(record: Record) -> None:
        changed("packages.torch", "9.9")(record)
        changed("packages.triton", "8.8")(record)
        changed("torch_cuda", "13.7")(record)

    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=upgraded)
    code, text = run(base, head)
    assert code == 2
    assert text.endswith("--allow torch")
    assert run(base, head, "--allow", "torch")[0] == 0


def test_what_may_explain_a_difference_is_told_and_refuses_nothing(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=changed("packages.numpy", "9.9"))
    code, text = run(base, head)
    assert code == 0
    assert "the two can be compared: packages.numpy" in text


def test_what_is_not_known_refuses_nothing(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, change=changed("cpu.governor", "unreadable: OSError"))
    head = folder("head", {CASE: 10.0}, change=changed("cpu.governor", "performance"))
    assert run(base, head)[0] == 0


def test_rounds_of_two_kinds_in_one_folder_are_refused(folder: Folder) -> None:
    def upgraded(record: Record) -> None:
        changed("packages.torch", "9.9" if record.round > 3 else "9.8")(record)

    base, head = (folder(name, {CASE: 10.0}, change=upgraded) for name in ("base", "head"))
    code, text = run(base, head)
    assert code == 2
    assert "torch: 9.8, 9.9 in base, 9.8, 9.9 in head" in text


def test_weights_are_those_of_the_same_case(folder: Folder) -> None:
    def by_model(record: Record) -> None:
        record.weights = record.case.model

    deep = CASE.replace("50", "101")
    base, head = (folder(name, {CASE: 10.0, deep: 20.0}, change=by_model) for name in ("base", "head"))
    assert run(base, head)[0] == 0
    others = folder("others", {CASE: 10.0, deep: 20.0})
    assert run(base, others)[0] == 2


def test_an_exported_file_is_compared_by_what_it_has(folder: Folder, tmp_path: Path) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.5})
    export_parquet([base], tmp_path / "base.parquet")
    assert words(compare_folders(tmp_path / "base.parquet", head))["latency"] == "SLOWER"
    assert run(tmp_path / "base.parquet", head)[0] == 1
    other = folder("other", {CASE: 10.0}, change=changed("cpu.name", "Abacus"))
    assert run(tmp_path / "base.parquet", other)[0] == 2


def test_folders_that_cannot_be_compared_are_told_apart(folder: Folder, tmp_path: Path) -> None:
    base, other = folder("base", {CASE: 10.0}), folder("other", {OTHER: 10.0})
    pairs = (((base, base), "are the same"), ((base, other), "have no case in common"))
    for pair, said in (*pairs, ((base, tmp_path / "nowhere"), "holds no records")):
        code, text = run(*pair)
        assert code == 2
        assert said in text


def test_what_failed_on_another_machine_is_no_news_of_the_code(folder: Folder) -> None:
    def failed(record: Record) -> None:
        changed("cpu.name", "Abacus")(record)
        record.status, record.reason, record.weights = "crash", "signal 11", ""

    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=failed)
    code, text = run(base, head)
    assert code == 2
    assert "--allow cpu" in text
    assert "weights" not in text  # which no case lived to read
    assert run(base, head, "--allow", "cpu")[0] == 1
