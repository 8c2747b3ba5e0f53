"""A small store with annotated cells, and jobs that export it."""

import cv2
import numpy as np
import pytest

from wsi_patches.export import ExportJob, ExportPatches, ImageSettings
from wsi_patches.stores import open_store
from wsi_patches.workflows.extract import ExtractSettings, extract

MARKS = {
    "a.b": "blasts\n20 20\n70 30\nnormal\n150 90\n",
    "c": "blasts\nnormal\n33 44\n64.4 63.6\n",
    "d~2": "blasts\nnormal\n",
}


@pytest.fixture(scope="session")
def marked_store(tmp_path_factory):
    """Three slides of 6 patches each: 64 px, without overlap."""
    folder = tmp_path_factory.mktemp("marked")
    (folder / "marks").mkdir()
    rng = np.random.default_rng(4)
    for name, marks in MARKS.items():
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (128, 192, 3), np.uint8))
        (folder / "marks" / f"{name}.xyc").write_text(marks)
    slides = tuple(folder / f"{name}.png" for name in MARKS)
    made = extract(
        ExtractSettings(slides, folder / "a.zarr", annotations=folder / "marks", patch_size=64, workers=1, fsync=False)
    )
    return open_store(made.out)


@pytest.fixture
def patches(marked_store):
    """All of them: 12 to train with, 6 to test with, of the classes blast, other and none."""
    counts = marked_store.labels
    label = np.where(counts[:, 0] > 0, 0, np.where(counts[:, 1] > 0, 1, 2)).astype(np.int64)
    split = (marked_store.slide_rows == 1).astype(np.int64)
    return ExportPatches(
        marked_store, np.arange(len(marked_store)), label, ("blast", "other", "none"), split, ("train", "test")
    )


@pytest.fixture
def make_job(patches, tmp_path):
    """Return what makes a job below a new folder, for pictures of a kind."""

    def make(kind="png", **options):
        (tmp_path / "out").mkdir(exist_ok=True)
        return ExportJob(tmp_path / "out", patches, ImageSettings(kind), workers=2, **options)

    return make
