"""What must not be in the repository."""

import subprocess

import pytest

from tests.conftest import ROOT


def test_constraints_name_no_address():
    text = (ROOT / "constraints.txt").read_text()
    assert "==" in text
    assert "://" not in text


def test_uv_lock_is_not_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout, absent in a source archive")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "uv.lock" not in tracked.splitlines()
