"""COCO: boxes by image, attributes, one parse a process, and files that are not what they say."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.annotations.made_boxes import assert_same_boxes, boxed_cells, cells_with_boxes, classes_of
from wsi_patches.annotations import boxes_of, coco, coco_index, read_coco, write_coco
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.geometry import Size

IMAGES = [{"id": 7, "file_name": "b.png", "width": 40, "height": 30}, {"id": "x", "file_name": "sub/a.png"}]
CATEGORIES = [{"id": 1, "name": "Myeloblast"}, {"id": 4, "name": "None"}]


def annotation(**fields):
    return {"id": 5, "image_id": 7, "category_id": 1, "bbox": [10, 20, 4, 6]} | fields


def written(tmp_path, *annotations, **tables):
    path = tmp_path / "train.json"
    content = {"images": IMAGES, "categories": CATEGORIES, "annotations": list(annotations)} | tables
    path.write_text(json.dumps(content))
    return path


def test_a_box_is_its_corner_and_size_counted_from_0(tmp_path):
    path = written(tmp_path, annotation(), annotation(category_id=4, bbox=[0, 0, 40, 30]), annotation(image_id="x"))
    cells = read_coco(path, "b.png")
    assert boxes_of(cells).tolist() == [[10, 20, 13, 25], [0, 0, 39, 29]]
    assert cells.xy.tolist() == [[11.5, 22.5], [19.5, 14.5]]
    assert classes_of(cells) == ["Myeloblast", "None"]
    assert len(read_coco(path, "sub/a.png")) == 1


def test_the_index_knows_images_sizes_and_categories(tmp_path):
    index = coco_index(written(tmp_path, annotation(segmentation=[[1, 2, 3, 4, 5, 6]])))
    assert {name: image.size for name, image in index.images.items()} == {"b.png": Size(40, 30), "sub/a.png": None}
    assert index.categories == {1: "Myeloblast", 4: "None"}
    assert "segmentation" not in index.annotations[7][0]


def test_further_fields_are_attributes_if_they_are_numbers_or_texts(tmp_path):
    first = annotation(nucleus=2, cytoplasm="scanty", occluded=True, area=24, iscrowd=0, history=[1], score=0.5)
    second = annotation(attributes={"nucleus": 1, "note": {}})
    cells = read_coco(written(tmp_path, first, second), "b.png")
    assert cells.attributes["nucleus"].tolist() == [2, 1]
    assert cells.attributes["cytoplasm"].tolist() == ["scanty", ""]
    assert cells.attributes["occluded"][0] == 1
    assert np.isnan(cells.attributes["occluded"][1])
    assert not {"area", "iscrowd", "history", "note", "id"} & set(cells.attributes)
    assert cells.score.tolist() == [0.5, 1]


def test_an_image_without_annotations_has_no_cells(tmp_path):
    assert len(read_coco(written(tmp_path, annotation()), "sub/a.png")) == 0


def test_one_image_need_not_be_named_but_one_of_many_must(tmp_path):
    assert len(read_coco(written(tmp_path, annotation(), images=IMAGES[:1]))) == 1
    with pytest.raises(AnnotationError, match="speaks of 2 images"):
        read_coco(written(tmp_path, annotation()))
    with pytest.raises(AnnotationError, match=r"does not speak of an image 'a\.png'"):
        read_coco(written(tmp_path, annotation()), "a.png")


def test_a_file_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    parsed = []
    monkeypatch.setattr(coco, "json_of", lambda path: parsed.append(path) or json.loads(path.read_text()))
    path = written(tmp_path, annotation())
    with ThreadPoolExecutor(4) as pool:
        assert {len(cells) for cells in pool.map(lambda _: read_coco(path, "b.png"), range(8))} == {1}
    assert len(parsed) == 1
    written(tmp_path, annotation(), annotation())
    assert len(read_coco(path, "b.png")) == 2
    assert len(parsed) == 2


@pytest.mark.parametrize(
    ("rows", "tables", "message"),
    [
        ([annotation(bbox=[1, 2, 3])], {}, "annotation 5 of b.png: expected bbox"),
        ([annotation(bbox=None)], {}, "expected bbox"),
        ([annotation(bbox=[1, 2, -3, 4])], {}, "annotation 5 of b.png: expected a box"),
        ([annotation(bbox=[1, 2, float("nan"), 4])], {}, "bbox: expected a number"),
        ([annotation(bbox=[1, 2, float("inf"), 4])], {}, "bbox: expected a number"),
        ([annotation(bbox=[1, 2, "wide", 4])], {}, "bbox: expected a number"),
        ([annotation(bbox=[1, 2, True, 4])], {}, "bbox: expected a number"),
        ([annotation(category_id=9)], {}, "category 9 is not among 1, 4"),
        ([annotation(category_id=None)], {}, "expected category_id"),
        ([annotation(score="high")], {}, "score: expected a number"),
        ([annotation(image_id=8)], {}, "annotation 1: its image 8 is not among"),
        ([annotation(image_id=[7])], {}, "annotation 1: expected image_id"),
        ([annotation(x=3)], {}, "own columns cannot be further attributes, found x"),
        ([3], {}, "list annotations"),
        ([], {"images": {}}, "list images"),
        ([], {"images": [{"id": 1}]}, "image 1: expected file_name"),
        ([], {"images": [IMAGES[0], IMAGES[0]]}, "image 2: 'b.png' is in this file already"),
        ([], {"images": [IMAGES[0], IMAGES[1] | {"id": 7}]}, "id of its own"),
        ([], {"images": [IMAGES[0] | {"width": "wide"}]}, "image 1: width"),
        ([], {"categories": [{"id": 1, "name": ""}]}, "category 1: expected name"),
        ([], {"categories": [CATEGORIES[0], CATEGORIES[0]]}, "category 2: 1 is in this file already"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, rows, tables, message):
    with pytest.raises(AnnotationError, match=message) as error:
        read_coco(written(tmp_path, *rows, **tables), "b.png")
    assert "train.json" in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b'{"images": [', b"[]", b"3", b"\xff\xfe{}", b"[" * 100_000, b'{"images": [1e999]}']
)
def test_what_is_not_coco_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.json"):
        read_coco(path, "b.png")


@given(first=boxed_cells(), second=boxed_cells(st.integers(-9, 900), st.integers(0, 99)))
def test_writing_and_reading_gives_the_same_boxes(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("coco") / "a.json"
    write_coco(path, [("one.png", Size(4000, 3000), first), ("two.png", Size(900, 900), second)])
    for image, cells in (("one.png", first), ("two.png", second)):
        back = read_coco(path, image)
        assert_same_boxes(back, cells)
        assert classes_of(back) == classes_of(cells)
    assert coco_index(path).images["two.png"].size == Size(900, 900)


def test_images_of_different_classes_are_not_written_together(tmp_path):
    one = ("a.png", Size(9, 9), cells_with_boxes([(1, 2, 3, 4)], [0]))
    with pytest.raises(UsageError, match="share their classes"):
        write_coco(tmp_path / "a.json", [one, ("b.png", Size(9, 9), Cells.at([], ("wbc",)))])
    write_coco(tmp_path / "none.json", [])
    assert coco_index(tmp_path / "none.json").images == {}
