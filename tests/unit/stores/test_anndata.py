"""Tables in AnnData's layout, as zarr-python reads them; that anndata reads them too is tested by test_spatialdata."""

import numpy as np
import pytest
import zarr

from wsi_patches.errors import StoreError
from wsi_patches.stores.anndata import write_anndata


def test_matrix_columns_names_and_notes_are_read_back(tmp_path):
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    columns = {"label": ["blast", None, "a"], "focus": np.array([1.5, np.nan, 2])}
    write_anndata(tmp_path / "t", matrix, ["x", "y"], columns, {"note": {"of": "me"}}, {"version": "0.2"})
    table = zarr.open_group(tmp_path / "t", mode="r")
    assert dict(table.attrs) == {"encoding-type": "anndata", "encoding-version": "0.1.0", "version": "0.2"}
    assert np.array_equal(table["X"], matrix)
    assert table["var/_index"][:].tolist() == ["x", "y"]
    assert table["obs"].attrs["column-order"] == ["label", "focus"]
    assert table["obs/label/categories"][:].tolist() == ["a", "blast"]
    assert table["obs/label/codes"][:].tolist() == [1, -1, 0]
    assert np.array_equal(table["obs/focus"], columns["focus"], equal_nan=True)
    assert table["uns/note/of"][()] == "me"


def test_a_table_without_rows_is_one(tmp_path):
    write_anndata(tmp_path / "t", np.empty((0, 2), np.float32), ["x", "y"], {"label": []}, {}, {})
    assert zarr.open_array(tmp_path / "t" / "X", mode="r").shape == (0, 2)


def test_columns_of_another_length_are_refused(tmp_path):
    with pytest.raises(StoreError, match="label has 1 of 2"):
        write_anndata(tmp_path / "a", np.zeros((2, 1), np.float32), ["x"], {"label": ["one"]}, {}, {})
    assert not (tmp_path / "a").exists()
