"""Starting is cheap: what is heavy is loaded by those who use it."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "dask", "distributed", "zarr", "openslide", "cv2", "pyarrow", "pydantic")


@pytest.mark.parametrize(
    "code",
    ["import wsi_patches", "from wsi_patches.cli import main; main(['--help'], standalone_mode=False)"],
    ids=["import", "--help"],
)
def test_nothing_heavy_is_loaded(code):
    told = f"{code}; import sys; print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize("module", ["extract", "report", "recipe", "workflows.extract"])
def test_extracting_and_reporting_start_without_torch(module):
    told = f"import wsi_patches.{module}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
