"""What is wrong with a dataset's files is counted and named; what is right says nothing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import shared_files
from wsi_patches.annotations import AnnotationFile
from wsi_patches.datasets.check import check_items
from wsi_patches.datasets.item import SlideItem

VOC = """<annotation><size><width>{0}</width><height>{1}</height><depth>3</depth></size>{2}</annotation>"""
OBJECT = """<object><name>WBC</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
</object>"""


def picture(path, seed=0, size=(60, 40)):
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    return str(path)


def voc_item(folder, boxes, stated=(60, 40), size=(60, 40)):
    path = picture(folder / "a.png", size=size)
    (folder / "a.xml").write_text(VOC.format(*stated, "".join(OBJECT.format(*box) for box in boxes)))
    return SlideItem(path, (AnnotationFile(str(folder / "a.xml"), "voc"),), classes=("WBC",))


def test_the_real_sets_with_boxes_have_nothing_wrong_but_what_is_known(shared_data):
    fields = [
        SlideItem(
            str(shared_data / name),
            (AnnotationFile(str(shared_data / "bccd/annotations" / f"{Path(name).stem}.xml"), "voc"),),
            classes=("WBC", "RBC", "Platelets"),
        )
        for name in shared_files("bccd/images")
    ]
    assert len(fields) == 120
    # In three fields a red cell is boxed twice, the second time 2 px to the side.
    (sentence,) = check_items(fields)
    assert sentence.startswith("boxes of what another box of the same class marks already (IoU above 0.9): 3 (")
    assert all(f"annotations/BloodImage_00{number}.xml at" in sentence for number in ("020", "100", "104"))


def test_the_real_smears_hold_no_file_twice(shared_data):
    smears = [SlideItem(str(shared_data / name)) for name in shared_files("all_smears/images")]
    assert check_items(smears) == []
    copied = [*smears, SlideItem(str(shared_data / "corrupt/libvips_truncated.jpg"))]
    assert all(sentence.startswith("images that cannot be read: 1 (") for sentence in check_items(copied))


@pytest.mark.parametrize("name", shared_files("corrupt", not_named=("BEHAVIOUR.csv",)))
def test_broken_files_never_end_the_check(shared_data, name):
    sentences = check_items([SlideItem(str(shared_data / name))])
    assert len(sentences) <= 1
    assert all(name in sentence for sentence in sentences)


def test_boxes_that_cannot_be_are_named_by_file_and_place(tmp_path):
    item = voc_item(tmp_path, [(5, 5, 20, 20), (5, 5, 20, 21), (50, 10, 70, 20), (30, 30, 30, 35)])
    assert check_items([item]) == [
        f"boxes of no area: 1 ({tmp_path.name}/a.xml at (29, 31.5))",
        f"boxes that reach out of their image: 1 ({tmp_path.name}/a.xml at (59, 14))",
        "boxes of what another box of the same class marks already (IoU above 0.9): "
        f"1 ({tmp_path.name}/a.xml at (11.5, 12))",
    ]


def test_a_size_that_is_not_the_images_is_told(tmp_path):
    (sentence,) = check_items([voc_item(tmp_path, [(1, 1, 60, 40)], stated=(600, 400))])
    assert sentence.endswith("a.png is 60 x 40, not 600 x 400)")
    assert check_items([voc_item(tmp_path, [(1, 1, 60, 40)], stated=(0, 0))]) == []


def test_cells_outside_are_told(tmp_path):
    path = picture(tmp_path / "Im001_1.png")
    (tmp_path / "Im001_1.xyc").write_text("61\t41\n10 10\n63 5\n")
    item = SlideItem(path, (AnnotationFile(str(tmp_path / "Im001_1.xyc"), class_name="blast"),))
    assert check_items([item]) == [f"cells outside of their image: 1 ({tmp_path.name}/Im001_1.xyc at (62, 4))"]


def test_an_annotation_file_that_cannot_be_read_is_named_once(tmp_path):
    path = picture(tmp_path / "a.png")
    (tmp_path / "a.xyc").write_text("1 x\n")
    (tmp_path / "a.geojson").write_text("{")
    files = tuple(AnnotationFile(str(tmp_path / name), class_name="blast") for name in ("a.xyc", "a.geojson"))
    (sentence,) = check_items([SlideItem(path, files), SlideItem(path, files)])
    assert sentence.startswith("annotation files that cannot be read: 2 (")
    assert "a.xyc, line 1" in sentence


def test_equal_files_are_named_and_equal_sizes_are_not_enough(tmp_path):
    names = ["a.bmp", "b.bmp", "c.bmp"]
    for name, seed in zip(names, (1, 2, 1), strict=True):
        picture(tmp_path / name, seed)
    assert len({(tmp_path / name).stat().st_size for name in names}) == 1
    items = [SlideItem(str(tmp_path / name)) for name in names]
    folder = tmp_path.name
    assert check_items(items) == [
        f"images that are copies of another, byte for byte: 1 ({folder}/c.bmp is {folder}/a.bmp)"
    ]
    assert check_items([*items[:2], items[0]]) == []


def test_what_is_no_image_is_named_and_its_boxes_count_as_not_checked(tmp_path):
    (tmp_path / "a.jpg").write_text("nothing")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    item = SlideItem(str(tmp_path / "a.jpg"), (AnnotationFile(str(tmp_path / "a.txt"), "yolo"),), classes=("0",))
    missing = SlideItem(str(tmp_path / "gone.png"))
    images, boxes = check_items([item, missing])
    assert images.startswith("images that cannot be read: 2 (")
    assert "text" in images
    assert "does not exist" in images
    assert boxes.startswith("annotation files that were not checked")


def test_long_lists_are_cut(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.png").write_text(str(number))
    (sentence,) = check_items([SlideItem(str(path)) for path in sorted(tmp_path.iterdir())])
    assert sentence.startswith("images that cannot be read: 8 (")
    assert sentence.endswith("; and 3 more)")


def test_a_scanners_slide_is_not_opened(tmp_path):
    (tmp_path / "a.svs").write_text("nothing")
    assert check_items([SlideItem(str(tmp_path / "a.svs"))]) == []


@given(st.lists(st.tuples(*[st.integers(1, 30)] * 4), max_size=12))
def test_boxes_inside_of_any_shape_are_not_outside(tmp_path_factory, corners):
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    sentences = check_items([voc_item(tmp_path_factory.mktemp("voc"), boxes)])
    assert not any("reach out" in sentence for sentence in sentences)
    flat = sum(a == c or b == d for a, b, c, d in boxes)
    assert any(sentence.startswith(f"boxes of no area: {flat} (") for sentence in sentences) == (flat > 0)
