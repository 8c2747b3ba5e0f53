"""YOLO folders, read back by this program."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from wsi_patches.annotations import boxes_of, read_yolo, read_yolo_names
from wsi_patches.datasets.yolo_folder import YOLO
from wsi_patches.export.boxes import boxed_cells
from wsi_patches.export.yolo import export_yolo
from wsi_patches.geometry import Size

SIDE = 24


@pytest.fixture
def job(make_job):
    job = make_job()
    export_yolo(replace(job, box_px=SIDE))
    return job


def test_every_box_comes_back_equal_by_our_own_reader(job, patches):
    names = read_yolo_names(job.out)
    assert names == {0: "blast", 1: "other"}
    seen = 0
    for row in range(len(patches)):
        cells = read_yolo(job.out / "labels" / patches.split_of(row) / f"{patches.name(row)}.txt", Size(64, 64))
        wanted = boxed_cells(patches, row, SIDE)
        found = [names[int(cells.class_names[index])] for index in cells.class_index]
        assert found == [wanted.class_names[index] for index in wanted.class_index]
        assert np.allclose(boxes_of(cells), boxes_of(wanted), rtol=0, atol=1e-9)
        seen += len(cells)
    assert seen == patches.counts.sum() == 5


def test_each_label_has_its_picture_with_the_pixels_of_the_patch(job, patches):
    pixels = patches.read(np.arange(len(patches)))
    for row in range(len(patches)):
        with Image.open(job.out / "images" / patches.split_of(row) / f"{patches.name(row)}.png") as picture:
            assert np.array_equal(np.array(picture), pixels[row])
    assert len(list((job.out / "labels").rglob("*.txt"))) == len(list((job.out / "images").rglob("*.png"))) == 18


def test_our_own_folder_reader_finds_the_splits_and_classes(job):
    assert YOLO.recognise(job.out)
    dataset = YOLO.read(job.out)
    assert dataset.problems == ()
    assert sorted(item.split for item in dataset.items) == ["test"] * 6 + ["train"] * 12
    assert all(item.classes == ("blast", "other") for item in dataset.items)


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("train", "validation"), {"train": "images/train", "val": "images/validation"}),
        (("Train", "val"), {"train": "images/Train", "val": "images/val"}),
        (("val", "validation"), {"val": "images/val", "validation": "images/validation"}),
        (("fold0", "te/st"), {"fold0": "images/fold0", "te/st": "images/te_st"}),
    ],
)
def test_the_yaml_names_splits_as_trainers_ask_for_them(make_job, patches, names, keys):
    patches.split_names = names
    job = make_job()
    export_yolo(replace(job, box_px=SIDE))
    content = yaml.safe_load((job.out / "data.yaml").read_text())
    assert content == {**keys, "nc": 2, "names": {0: "blast", 1: "other"}}
    assert all((job.out / folder).is_dir() for folder in keys.values())


def test_without_splits_all_is_to_train_with(make_job, patches):
    patches.split[:], patches.split_names = -1, ()
    job = make_job()
    export_yolo(replace(job, box_px=SIDE))
    assert yaml.safe_load((job.out / "data.yaml").read_text())["train"] == "images"
    assert len(list((job.out / "images").glob("*.png"))) == len(list((job.out / "labels").glob("*.txt"))) == 18


def test_what_is_there_is_left_as_it_is(job):
    files = sorted(file for file in job.out.rglob("*") if file.is_file())
    label = next(file for file in files if file.suffix == ".txt")
    label.write_text("kept")
    files[-1].unlink()
    export_yolo(replace(job, box_px=SIDE))
    assert sorted(file for file in job.out.rglob("*") if file.is_file()) == files
    assert label.read_text() == "kept"
