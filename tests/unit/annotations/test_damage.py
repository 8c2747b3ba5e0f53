"""Damaged and hostile files of every format: cells, or a sentence that names the file, never anything else."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tests.painted_dicom import write_dicom_slide
from tests.unit.annotations.made_boxes import cells_with_boxes
from wsi_patches.annotations import FORMATS, AnnotationFile, classes_in, write_coco, write_dicom, write_voc, write_yolo
from wsi_patches.errors import AnnotationError
from wsi_patches.geometry import Size

KEYS = sorted(FORMATS)
GLASS = np.full((48, 64, 3), 230, np.uint8)


def sound_file(folder: Path, key: str) -> Path:
    """Write a small file of the format as it should be."""
    path, size = folder / "sound", Size(64, 48)
    cells = cells_with_boxes([(1, 2, 30, 40), (5, 6, 7, 8)], [0, 1])
    csv = "Filename,Blast_present,Normal_present,Centroids blasts,Centroids NOT blasts\na.png,1,0,5  6 7 8,N/A\n"
    texts = {
        "xyc": "blasts\n1 2\nnormal\n3 4\n",
        "geojson": json.dumps(cells.to_geojson()),
        "table": "image,x,y,class,score\na.png,1,2,blast,0.5\na.png,3,4,other,1\n",
        "all_idb_patches": csv,
    }
    writers = {
        "voc": lambda: write_voc(path, cells, size, "a.png"),
        "yolo": lambda: write_yolo(path, cells, size),
        "coco": lambda: write_coco(path, [("a.png", size, cells)]),
        "dicom": lambda: write_dicom(path, cells, write_dicom_slide(folder / "slide", GLASS)),
    }
    if key in texts:
        path.write_text(texts[key])
    elif key in writers:
        writers[key]()
    else:
        Image.fromarray(np.eye(48, dtype=np.uint8) * 200).save(path, "PNG")
    return path


def annotations_in(path: Path, key: str) -> AnnotationFile:
    """Name a file's annotations; those of DICOM name images by numbers of their own, and are taken for any."""
    return AnnotationFile(str(path), key, "blast" if key == "xyc" else None, None if key == "dicom" else "a.png")


def read_or_named(path: Path, key: str) -> None:
    said = str(path)
    try:
        classes_in(annotations_in(path, key))
    except AnnotationError as error:
        said = str(error)
    assert str(path) in said


@pytest.mark.parametrize("key", KEYS)
def test_the_sound_file_is_read(tmp_path, key):
    assert classes_in(annotations_in(sound_file(tmp_path, key), key))


@pytest.mark.parametrize("key", KEYS)
@given(cut=st.floats(0, 1), at=st.floats(0, 1), byte=st.integers(0, 255))
@example(cut=0.0, at=0.0, byte=0)
def test_a_file_that_is_cut_or_changed(tmp_path_factory, key, cut, at, byte):
    path = sound_file(tmp_path_factory.mktemp("damaged"), key)
    content = bytearray(path.read_bytes()[: int(path.stat().st_size * (1 - cut))])
    if content:
        content[min(int(at * len(content)), len(content) - 1)] = byte
    path.write_bytes(content)
    read_or_named(path, key)


@pytest.mark.parametrize("key", KEYS)
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=80).map(str.encode)))
def test_anything_at_all(tmp_path_factory, key, content):
    path = tmp_path_factory.mktemp("anything") / "file"
    path.write_bytes(content)
    read_or_named(path, key)


@pytest.mark.parametrize("key", KEYS)
def test_a_folder_and_nothing(tmp_path, key):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(AnnotationError, match=path.name):
            classes_in(annotations_in(path, key))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(value=values, field=st.sampled_from(["geometry", "properties", "type"]))
def test_any_json_in_place_of_a_features_field(tmp_path_factory, value, field):
    path = tmp_path_factory.mktemp("geojson") / "file"
    feature = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    path.write_text(json.dumps([feature | {field: value}]))
    read_or_named(path, "geojson")


@given(value=values, field=st.sampled_from(["classification", "measurements", "metadata", "slide", "childObjects"]))
def test_any_json_in_place_of_a_property(tmp_path_factory, value, field):
    path = tmp_path_factory.mktemp("geojson") / "file"
    geometry = {"type": "Point", "coordinates": [1, 2]}
    path.write_text(json.dumps([{"type": "Feature", "geometry": geometry, "properties": {field: value}}]))
    read_or_named(path, "geojson")


@given(value=values, table=st.sampled_from(["images", "categories", "annotations"]), data=st.data())
def test_any_json_in_place_of_a_field_of_coco(tmp_path_factory, value, table, data):
    path = tmp_path_factory.mktemp("coco") / "file"
    write_coco(path, [("a.png", Size(9, 9), cells_with_boxes([(1, 2, 3, 4)], [0]))])
    content = json.loads(path.read_text())
    content[table][0][data.draw(st.sampled_from(sorted(content[table][0])))] = value
    path.write_text(json.dumps(content))
    read_or_named(path, "coco")
