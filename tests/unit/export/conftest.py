"""A small store with annotated cells, and jobs that export it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from wsi_patches.export import ExportJob, ExportPatches, ImageSettings
from wsi_patches.stores import DerivedWriter, open_store
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


@pytest.fixture
def described(patches, tmp_path, rng):
    """Two parts, the second of slides that were added later, and features of all their patches."""
    slides = [Path(record.path) for record in patches.store.slides]
    for resume, some in ((False, slides[:1]), (True, slides)):
        extract(ExtractSettings(tuple(some), tmp_path / "b.zarr", patch_size=64, workers=1, resume=resume, fsync=False))
    store = open_store(tmp_path / "b.zarr")
    vectors = rng.random((len(store), 5)).astype(np.float32)
    for part, start, stop in zip(store.parts, store.offsets[:-1], store.offsets[1:], strict=True):
        writer = DerivedWriter(part.folder, "features/made", {"dim": 5}, durable=False)
        writer.column("vectors", vectors[start:stop], np.float32)
        writer.complete()
    assert len(store.parts) == 2
    return store, vectors
