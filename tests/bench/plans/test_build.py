"""What a plan's models are built with: its keys, and what the digest makes of them."""

from pathlib import Path

import pytest

from bench.errors import PlanError
from bench.plans.plan import Plan, load_plan, parse_plan
from resnet.names import Build

GROUP = '[[group]]\nwhy = "Tiny."\nmodel = "resnet18"\nvariant = "eager"\nprecision = "fp32"\nbatch = 1\n'


def plan(folder: Path, keys: str) -> Plan:
    (folder / "mine.toml").write_text(f"{keys}\n{GROUP}")
    return load_plan(str(folder / "mine.toml"))


def test_a_checkpoint_is_found_from_the_plans_folder_or_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "w.pt"
    checkpoint.write_bytes(b"1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    for word in ("w.pt", "~/w.pt", str(checkpoint)):
        build = plan(tmp_path, f'weights = "{word}"\nnum_classes = 7\nin_channels = 1').build
        assert build == Build(str(checkpoint), 7, 1)
    assert plan(tmp_path, 'weights = "w.pt#ema"').build.weights == f"{checkpoint}#ema"
    monkeypatch.chdir(tmp_path)
    assert load_plan("mine.toml").build.weights == f"{checkpoint}#ema"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('why = "x"\nweights = "gone.pt"', r"mine.toml:2: weights gone.pt: .*/gone.pt is not there"),
        ('weights = "."', r"mine.toml:1: .* is a folder"),
        ("weights = 3", "weights = 3 is not a string"),
        ("num_classes = 0", "mine.toml:1: num_classes = 0: at least 1"),
        ('in_channels = "3"', "in_channels = '3' is not a whole number"),
        ("num_class = 1", "did you mean num_classes"),
    ],
)
def test_wrong_keys_are_named_with_their_line(tmp_path: Path, keys: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan(tmp_path, keys)


def test_the_digest_is_of_a_checkpoints_content_and_not_of_its_path(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"1"), ("b.pt", b"1"), ("c.pt", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (plan(tmp_path, f'weights = "{name}.pt"').digest for name in "abc")
    none = parse_plan(GROUP, "mine", "mine.toml").digest
    assert a == b
    assert len({a, c, none, plan(tmp_path, "num_classes = 7").digest}) == 4
