"""The columns that a condition may speak of are the store's own."""

import shutil

import numpy as np
import pytest

from wsi_patches.errors import UsageError
from wsi_patches.export.columns import patch_labels, store_columns
from wsi_patches.export.where import select
from wsi_patches.stores import open_store
from wsi_patches.stores.splits import write_store_split
from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess


def rows(store, text):
    return np.flatnonzero(select(text, store_columns(store, *patch_labels(store)))).tolist()


def test_places_cells_and_slides(marked_store):
    x, y = marked_store.xy.T
    assert rows(marked_store, "x >= 64 and y == 0") == np.flatnonzero((x >= 64) & (y == 0)).tolist()
    assert rows(marked_store, "blast > 0") == np.flatnonzero(marked_store.labels[:, 0]).tolist()
    assert rows(marked_store, "label == 'other'") == [
        row for row, (blasts, others) in enumerate(marked_store.labels.tolist()) if others and not blasts
    ]
    assert rows(marked_store, "slide in ('a.b', 'd~2') and index == 5") == [5, 17]
    assert rows(marked_store, "group == 'nobody'") == []


def test_focus_and_foreground_need_preprocess_and_split_needs_split(marked_store, tmp_path):
    with pytest.raises(UsageError, match=r"speaks of focus.*preprocess"):
        rows(marked_store, "focus < 8")
    assert rows(marked_store, "split == 'train'") == []
    shutil.copytree(marked_store.path, tmp_path / "a.zarr")
    preprocess(PreprocessSettings(tmp_path / "a.zarr", focus=True, workers=1, fsync=False))
    store = open_store(tmp_path / "a.zarr")
    write_store_split(store, ["train"] * 6 + [""] * 6 + ["test"] * 6, {})
    score = store.derived("focus", "score")
    middle = float(np.median(score))
    assert rows(store, f"focus < {middle}") == np.flatnonzero(score < middle).tolist()
    assert rows(store, "foreground") == np.flatnonzero(store.derived("foreground", "keep")).tolist()
    assert rows(store, "split == 'test'") == list(range(12, 18))
    assert rows(store, "split != 'test'") == list(range(12))


def test_what_nobody_counted_is_in_no_comparison(marked_store, monkeypatch):
    slides = [type(one).from_dict({**one.to_dict(), "annotated": one.id != "c"}) for one in marked_store.slides]
    monkeypatch.setitem(marked_store.__dict__, "slides", slides)
    assert set(rows(marked_store, "blast >= 0")) == {*range(6), *range(12, 18)}
    assert set(rows(marked_store, "label == 'none'")).isdisjoint(range(6, 12))
