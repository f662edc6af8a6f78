"""A slice of the fuzzer of tests/soak: what is spoilt costs no traceback and no other record."""

import warnings
from pathlib import Path

from tests.soak.fuzz_readers import run


def test_spoilt_files_cost_themselves(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fuzz = run(150, tmp_path / "kept")
    assert not any(fuzz.wrong.values()), fuzz.wrong
    assert sum(fuzz.files.values()) >= 140
