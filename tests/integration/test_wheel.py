"""The wheel alone is enough: recipes and pipelines travel in it."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT
from wsi_patches.models import MODELS


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_recipes_pipelines_and_weights_are_in_the_wheel_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for recipe in (ROOT / "configs").glob("*.yaml"):
        assert f"wsi_patches/shipped/configs/{recipe.name}" in names
    assert "wsi_patches/shipped/pipelines/demo.py" in names
    assert {f"wsi_patches/models/weights/{model.file}" for model in MODELS.values()} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"wsi_patches"}


@pytest.mark.slow
def test_the_demo_runs_from_another_folder_in_a_clean_environment(wheel, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    python = tmp_path / "clean" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    for command in (
        [*uv, "venv", "-q", "-p", sys.executable, str(tmp_path / "clean")],
        [*uv, "pip", "install", "-q", "-p", str(python), str(wheel), "-c", str(ROOT / "constraints.txt")],
        [str(python.parent / "wsi-patches"), "demo", "--slide-px", "1536"],
    ):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "painted_slide" in done.stdout
    assert (tmp_path / "demo-out" / "counts" / "painted_slide" / "overlay.png").is_file()
