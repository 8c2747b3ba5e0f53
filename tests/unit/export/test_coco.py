"""COCO files, loaded by torchvision, by pycocotools and by this program."""

import json
from dataclasses import replace

import numpy as np
import pytest
from torchvision.datasets import CocoDetection

from wsi_patches.annotations import boxes_of, read_coco
from wsi_patches.datasets.coco_folder import COCO
from wsi_patches.errors import UsageError
from wsi_patches.export.boxes import boxed_cells
from wsi_patches.export.coco import check, export_coco

SIDE = 24


@pytest.fixture
def job(make_job):
    job = make_job()
    export_coco(replace(job, box_px=SIDE))
    return job


def file_of(job, split):
    return job.out / "annotations" / f"instances_{split}.json"


def test_every_box_comes_back_equal_by_our_own_reader(job, patches):
    seen = 0
    for row in range(len(patches)):
        cells = read_coco(file_of(job, patches.split_of(row)), f"{patches.name(row)}.png")
        wanted = boxed_cells(patches, row, SIDE)
        names = [wanted.class_names[index] for index in wanted.class_index]
        assert [cells.class_names[index] for index in cells.class_index] == names
        assert np.array_equal(boxes_of(cells), boxes_of(wanted))
        for name in ("slide_x", "slide_y") if len(wanted) else ():
            assert np.array_equal(cells.attributes[name], wanted.attributes[name])
        seen += len(cells)
    assert seen == patches.counts.sum() == 5


def test_a_box_is_a_square_around_the_marked_pixel_cut_off_at_the_border(patches):
    first = boxed_cells(patches, 0, SIDE)  # the point 20 20 of the file, which counts from 1
    assert first.xy.tolist() == [[19, 19]]
    assert boxes_of(first).tolist() == [[7.5, 7.5, 30.5, 30.5]]
    right = boxed_cells(patches, 1, SIDE)  # 70 30, in the patch that begins at 64
    assert right.xy.tolist() == [[5, 29]]
    assert boxes_of(right).tolist() == [[0, 17.5, 16.5, 40.5]]


def test_torchvision_loads_pictures_and_boxes(job, patches):
    pixels = patches.read(np.arange(len(patches)))
    rows = {patches.name(row): row for row in range(len(patches))}
    for split in patches.split_names:
        data = CocoDetection(job.out / "images" / split, file_of(job, split))
        assert len(data) == sum(patches.split_of(row) == split for row in rows.values())
        for key, (picture, targets) in zip(data.ids, data, strict=True):
            row = rows[data.coco.loadImgs(key)[0]["file_name"].removesuffix(".png")]
            assert np.array_equal(np.array(picture), pixels[row])
            assert len(targets) == patches.counts[row].sum()


def test_pycocotools_counts_the_cells_of_each_class(job, patches):
    api = pytest.importorskip("pycocotools.coco", reason="needs pycocotools")
    coco = api.COCO(str(file_of(job, "train")))
    assert [row["name"] for row in coco.loadCats(coco.getCatIds())] == ["blast", "other"]
    of_train = patches.counts[patches.split == 0].sum(axis=0)
    assert [len(coco.getAnnIds(catIds=[number])) for number in (1, 2)] == of_train.tolist()
    boxes = np.array([row["bbox"] for row in coco.loadAnns(coco.getAnnIds())])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 64).all()


def test_our_own_folder_reader_finds_the_splits_and_classes(job, patches):
    assert COCO.recognise(job.out)
    dataset = COCO.read(job.out)
    assert dataset.problems == ()
    assert sorted(item.split for item in dataset.items) == ["test"] * 6 + ["train"] * 12
    assert all(item.classes == ("blast", "other") for item in dataset.items)


def test_the_file_says_how_large_boxes_are(job):
    content = json.loads(file_of(job, "train").read_text())
    assert content["info"]["box_px"] == SIDE
    assert content["images"][0]["patch"]["slide"] == "a.b"


def test_patches_of_slides_without_annotations_are_left_out_and_told_of(make_job, patches, monkeypatch):
    slides = [replace(record, annotated=record.id == "c") for record in patches.store.slides]
    monkeypatch.setattr(patches.store, "slides", slides)
    job = make_job()
    check(job)
    assert "12 patches of slides without annotated cells are left out" in export_coco(replace(job, box_px=SIDE))
    assert [path.name for path in sorted((job.out / "images").iterdir())] == ["test"]
    monkeypatch.setattr(patches.store, "slides", [replace(record, annotated=False) for record in slides])
    with pytest.raises(UsageError, match="no box to write"):
        check(job)


def test_without_splits_there_is_one_file(make_job, patches):
    patches.split[:], patches.split_names = -1, ()
    job = make_job()
    export_coco(replace(job, box_px=SIDE))
    assert len(CocoDetection(job.out / "images", file_of(job, "all"))) == len(patches)


def test_what_is_there_is_left_as_it_is(job):
    file_of(job, "train").write_text("kept")
    export_coco(replace(job, box_px=SIDE))
    assert file_of(job, "train").read_text() == "kept"


@pytest.mark.parametrize("side", [0, -1, float("inf"), float("nan")])
def test_a_side_that_is_none_is_refused(make_job, side):
    with pytest.raises(UsageError, match="above 0 px"):
        export_coco(replace(make_job(), box_px=side))
