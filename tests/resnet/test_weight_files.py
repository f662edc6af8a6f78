"""Where a checkpoint is, and the digest by which a record knows it."""

import hashlib
import json
from pathlib import Path

import pytest

from resnet.weight_files import absolute, digest_of, locate, shards


def test_a_word_may_ask_for_an_entry_and_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert locate("~/a.pth#state_dict.model") == (tmp_path / "a.pth", "state_dict.model")
    assert absolute("~/a.pth#ema") == f"{tmp_path}/a.pth#ema"
    assert absolute("a.pth") == f"{tmp_path}/a.pth"
    (tmp_path / "run#3.pth").touch()
    assert locate("run#3.pth") == (Path("run#3.pth"), "")
    assert locate("run#3.pth#ema") == (Path("run#3.pth"), "ema")


def test_the_digest_is_of_the_content_and_of_every_shard(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pth", tmp_path / "other.pth"
    one.write_bytes(b"abc")
    other.write_bytes(b"abc")
    assert digest_of(one) == digest_of(f"{other}#ema") == hashlib.sha256(b"abc").hexdigest()[:16]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.pth", "b": "other.pth"}}))
    whole = digest_of(index)
    other.write_bytes(b"abd")
    assert digest_of(index) != whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "no index of shards"),
        ("hello", "no index of shards"),
        ('{"weight_map": {"a": "../secret"}}', "which is in another folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "which is in another folder"),
    ],
)
def test_an_index_that_is_none_is_told(text: str, words: str, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(ValueError, match=words):
        shards(index)
