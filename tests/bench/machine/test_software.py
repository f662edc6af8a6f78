"""What is installed and works: by real imports."""

import pytest

from bench.machine import software


def test_what_imports_has_a_version_and_what_does_not_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "MODULES", {"numpy": "", "no_such_module": "", "json": "json.no_such_name"})
    monkeypatch.setattr(software, "TOOLS", {"env": ("env", "--version"), "no-such-tool": ("no-such-tool",)})
    numpy, missing, broken, env, tool = software.check_software()
    assert numpy.version
    assert not numpy.reason
    assert "No module named 'no_such_module'" in missing.reason
    assert "no_such_name" in broken.reason
    assert "coreutils" in env.version
    assert tool.reason == "not installed"


def test_an_import_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "LIMIT_S", 0.5)
    monkeypatch.setattr(software, "MODULES", {"time": "time.sleep(60)"})
    monkeypatch.setattr(software, "TOOLS", {})
    (result,) = software.check_software()
    assert "no answer within" in result.reason
    assert result.seconds < 10
