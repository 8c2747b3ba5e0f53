"""Pictures with captions: a line each that trainers read, made of attributes, and nothing made up."""

import json

import cv2
import numpy as np
import pytest
from datasets import load_dataset

from wsi_patches.errors import UsageError
from wsi_patches.export.attributes import AttributeTable
from wsi_patches.export.captions import METADATA, export_captions
from wsi_patches.stores import open_store
from wsi_patches.workflows.export import ExportSettings, export
from wsi_patches.workflows.extract import ExtractSettings, extract


def lines_of(folder):
    return [json.loads(line) for line in (folder / METADATA).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A store of six pictures of single cells, and a table of what five of them look like."""
    folder, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(1)
    for number in range(6):
        path = folder / "pictures" / ("blast", "other")[number % 2] / f"c{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (32, 32, 3), np.uint8))
    extract(ExtractSettings((folder / "pictures",), folder / "a.zarr", patch_size=32, fsync=False))
    rows = ["image,cell_size,nuclear_shape,type,left_px"]
    rows += [f"c{number}.png,{('large', 'small')[number % 2]},irregular,myeloblast,3" for number in range(5)]
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_datasets_loads_every_picture_with_its_caption(cells, tmp_path):
    done = export(ExportSettings(cells / "a.zarr", tmp_path / "out", "captions", attributes=cells / "table.csv"))
    assert (done.patches, done.left_out) == (5, ((1, "of which nothing is known"),))
    rows = lines_of(tmp_path / "out")
    assert sorted(row["slide"] for row in rows) == [f"c{number}" for number in range(5)]
    assert {row["text"] for row in rows} == {
        "A large cell of the type myeloblast with an irregular nucleus.",
        "A small cell of the type myeloblast with an irregular nucleus.",
    }
    assert not any("left" in row["text"] for row in rows)
    loaded = load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    store = open_store(cells / "a.zarr")
    by_slide = {row["slide"]: (row["text"], np.asarray(row["image"])) for row in loaded}
    for row in rows:
        assert by_slide[row["slide"]][0] == row["text"]
        here = store.positions_of(row["slide"])
        assert np.array_equal(by_slide[row["slide"]][1], store.read(here)[0])
    assert "1 patches of which nothing is known are left out" in (tmp_path / "out" / "README.md").read_text()


def test_a_cell_of_a_field_is_told_by_its_place(make_job, tmp_path):
    folder = tmp_path / "counts" / "a.b"
    folder.mkdir(parents=True)
    (folder / "cells.csv").write_text(
        "x,y,class,score,nuclear_shape,described\n50,50,blast,0.9,regular,no\n20,20,blast,0.9,irregular,no\n"
        "9,9,blast,0.9,regular,no\n"
    )
    job = make_job(attributes=AttributeTable.read(tmp_path / "counts"))
    export_captions(job)
    (row,) = lines_of(job.out / "train")  # patch 0 spans 0 to 63; 20, 20 lies nearer to its middle
    assert (row["slide"], row["text"]) == ("a.b", "A cell with an irregular nucleus.")


def test_marked_cells_are_told_where_no_attributes_are(make_job):
    job = make_job()
    export_captions(job)
    texts = [row["text"] for split in ("train", "test") for row in lines_of(job.out / split)]
    assert len(texts) == 18
    assert "A patch of blood with cells: 1 marked blast." in texts
    assert "A patch of blood without marked cells." in texts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,cell_size\na,large\n", "it needs image, and attributes"),
        ("image,score\na,1\n", "it needs image, and attributes"),
        ("image,x,y,cell_size\na,here,3,large\n", "line 2: expected a place"),
        ("image,x,y,cell_size\na,nan,3,large\n", "line 2: expected a place"),
        ("image;cell_size\na;large\n", "it needs image, and attributes, separated by commas"),
        ("image,cell_size\nnobody,large\n", r"says nothing of the slides exported \(.*\), but of nobody"),
    ],
)
def test_a_table_that_says_nothing_is_refused(cells, tmp_path, text, said):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        export(ExportSettings(cells / "a.zarr", tmp_path / "out", "captions", attributes=tmp_path / "table.csv"))
    assert not (tmp_path / "out" / "export.json").exists()


def test_attributes_go_with_captions_alone(cells, tmp_path):
    with pytest.raises(UsageError, match="--attributes goes with --format captions, found csv"):
        ExportSettings(cells / "a.zarr", tmp_path / "out", "csv", attributes=cells / "table.csv")
    with pytest.raises(UsageError, match=r"without SLIDE/cells\.csv"):
        AttributeTable.read(tmp_path)
