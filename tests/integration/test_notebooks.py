"""Notebooks: each runs and shows pictures, uses the public API only, and lies in git without outputs."""

import ast
import importlib
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BASE64_PNG = "iVBORw0KGgo"
notebooks = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_of(path):
    """Return all code cells as one module."""
    return ast.parse("\n".join("".join(cell["source"]) for cell in cells_of(path) if cell["cell_type"] == "code"))


def ours(name):
    return name.split(".")[0] == "wsi_patches"


@pytest.mark.slow
@notebooks
def test_notebook_runs_and_shows_pictures(notebook, tmp_path):
    copy = tmp_path / notebook.name
    copy.write_bytes(notebook.read_bytes())
    command = [sys.executable, "-m", "pytest", "--nbmake", "--overwrite", "-q", "-p", "no:cacheprovider"]
    command += ["-c", "/dev/null", str(copy)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # other tests run beside it
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=one_thread)
    assert done.returncode == 0, done.stdout[-3000:]
    shown = [output for cell in cells_of(copy) for output in cell.get("outputs", []) if "image/png" in str(output)]
    assert len(shown) >= 2
    assert all(output["data"]["image/png"].startswith(BASE64_PNG) for output in shown)


@notebooks
def test_only_names_that_modules_offer_are_used(notebook):
    found = 0
    for node in ast.walk(code_of(notebook)):
        if isinstance(node, ast.Import):
            assert not any(map(ours, (alias.name for alias in node.names))), "import names from a module instead"
        if isinstance(node, ast.ImportFrom) and ours(node.module or ""):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert alias.name in module.__all__, f"{node.module}.{alias.name}"
                found += 1
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), f"{node.attr} is private"
    assert found


@notebooks
def test_no_output_is_kept(notebook):
    for cell in cells_of(notebook):
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@notebooks
def test_each_begins_with_its_title_and_says_what_it_is_for(notebook):
    first = "".join(cells_of(notebook)[0]["source"])
    assert first.startswith("# ")
    assert "For research use only, never a diagnosis." in first
