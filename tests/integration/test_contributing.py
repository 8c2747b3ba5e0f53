"""The published system that CONTRIBUTING.md adds is one file, one card and one recipe, and works as it stands."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.painted_sets import write_all_idb2
from tests.unit.train.small_fields import painted_fields
from wsi_patches.synthetic import write_all_idb1

BLOCK = re.compile(r"`((?:wsi_patches|configs)/[\w/]+\.(?:py|yaml))`[^\n]*:\n\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the package with the files of CONTRIBUTING.md, and cells to learn from."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("wsi_patches", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    files = dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert {name.rsplit("/", 1)[0] for name in files} == {"wsi_patches/models", "wsi_patches/models/cards", "configs"}
    assert len(files) == 3
    for name, text in files.items():
        assert not (ROOT / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    write_all_idb2(folder / "ALL_IDB2", 60, 32)
    return folder


def run(clone, *arguments):
    command = [sys.executable, "-m", "wsi_patches", *arguments]
    where = {**os.environ, "PYTHONPATH": str(clone)}
    return subprocess.run(command, cwd=clone, env=where, capture_output=True, text=True, check=False)


def test_it_is_listed_with_its_true_number_of_parameters(clone):
    assert "LeNet-5" in run(clone, "models").stdout
    code = (
        "from wsi_patches.models.systems import SYSTEMS; "
        "print(sum(one.numel() for one in SYSTEMS['lenet'].build(2).parameters()))"
    )
    counted = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, check=True)
    assert f"{int(counted.stdout):,} with 2 outputs" in run(clone, "models", "lenet").stdout


@pytest.mark.slow
def test_it_is_trained_and_run(clone):
    done = run(clone, "train", "lenet", "--data", "ALL_IDB2", "-o", "trained", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    write_all_idb1(clone / "ALL_IDB1", painted_fields(1))
    done = run(clone, "infer", "ALL_IDB1", "-o", "counts", "--model", "trained/weights.safetensors")
    assert done.returncode == 0, done.stderr
    assert "lenet" in (clone / "counts" / "counts.csv").read_text()
