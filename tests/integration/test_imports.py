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


def test_the_names_of_the_package_are_loaded_when_asked_for():
    import wsi_patches
    from wsi_patches import Cells, PatchGrid, PatchSpec, open_slide, open_store

    assert {Cells.__name__, PatchGrid.__name__, PatchSpec.__name__} == {"Cells", "PatchGrid", "PatchSpec"}
    assert callable(open_slide)
    assert callable(open_store)
    with pytest.raises(AttributeError, match="colour"):
        wsi_patches.colour  # noqa: B018 - the lookup is what is tested
