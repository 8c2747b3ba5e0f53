"""The code in README and docs runs as it stands there."""

import re

import cv2
import numpy as np

from tests.conftest import ROOT


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_code_in_readme_and_docs_runs(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slides").mkdir()
    cv2.imwrite("slides/field.png", rng.integers(0, 256, (600, 800, 3), np.uint8))
    names = {}
    blocks = [block for path in (ROOT / "README.md", ROOT / "docs" / "store.md") for block in python_blocks(path)]
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "documentation", "exec"), names)
    assert names["patches"].shape == (3, 256, 256, 3)
    assert names["labels"].shape == (3, 2)
    assert names["first"].shape == (256, 256, 3)


def test_links_between_pages_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_command_is_in_the_readme_and_on_its_page():
    from wsi_patches.cli.main import COMMANDS

    for name in COMMANDS:
        assert f"wsi-patches {name}" in (ROOT / "README.md").read_text()
        assert f"`{name}" in (ROOT / "docs" / "commands.md").read_text()
