"""GeoJSON: what this program writes, what QuPath makes of it, and what nobody should have written."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.annotations.made_boxes import CLASSES, classes_of
from wsi_patches.annotations import BOX_COLUMNS, boxes_of, geojson_classes, read_geojson
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import AnnotationError

SQUARE = [[10, 20], [14, 20], [14, 24], [10, 24], [10, 20]]
FAR = [[100_000, 80_000], [100_010, 80_000], [100_010, 80_010], [100_000, 80_010], [100_000, 80_000]]


def feature(kind="Point", coordinates=(1, 2), **properties):
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def written(tmp_path, content):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(content))
    return path


def test_what_is_written_comes_back(tmp_path):
    cells = Cells.at([(1.5, 2.5), (3, 4)], ALL_IDB_CLASSES, [0, 1], [0.25, 0.75], "s", radius_px=[4.0, 5.0])
    path = written(tmp_path, cells.to_geojson())
    back = read_geojson(path, ALL_IDB_CLASSES)
    assert back.to_arrow().equals(cells.to_arrow())
    with pytest.raises(AnnotationError, match="cells of class blast, other; the classes are wbc"):
        read_geojson(path, ("wbc",))


def test_boxes_texts_and_numbers_that_are_not_known_come_back(tmp_path):
    columns = dict(zip(BOX_COLUMNS, np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]).T, strict=True))
    cells = Cells.at([(2, 3), (6, 7)], ("wbc",), radius_px=[np.nan, 2.0], note=np.array(["a", "b"]), **columns)
    text = json.dumps(cells.to_geojson(), allow_nan=False)
    assert '"metadata": {"note": "a"}' in text
    back = read_geojson(written(tmp_path, json.loads(text)))
    assert boxes_of(back).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert back.attributes["note"].tolist() == ["a", "b"]
    assert np.isnan(back.attributes["radius_px"][0])
    assert back.attributes["radius_px"][1] == 2


@given(
    st.lists(
        st.tuples(
            st.floats(-1e5, 1e5), st.floats(-1e5, 1e5), st.integers(0, 2), st.floats(0, 1, width=32), st.floats(0, 99)
        )
    )
)
def test_any_cells_come_back(tmp_path_factory, rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
    x, y, classes, scores, radii = columns
    cells = Cells.at(np.stack([x, y], axis=-1), CLASSES, classes, scores, radius_px=np.array(radii, float))
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    path.write_text(json.dumps(cells.to_geojson()))
    back = read_geojson(path, CLASSES)
    assert np.array_equal(back.xy, cells.xy)
    assert np.array_equal(back.class_index, cells.class_index)
    assert np.array_equal(back.score, cells.score)
    assert not rows or np.array_equal(back.attributes["radius_px"], cells.attributes["radius_px"])


@pytest.mark.parametrize(
    "wrap", [collection, lambda one: [one], lambda one: one], ids=["collection", "list", "feature"]
)
def test_every_way_of_wrapping_a_feature(tmp_path, wrap):
    cells = read_geojson(written(tmp_path, wrap(feature(classification={"name": "blast"}))))
    assert (cells.xy.tolist(), cells.class_names, cells.score.tolist()) == ([[1, 2]], ("blast",), [1])


def test_no_feature_no_cell(tmp_path):
    assert len(read_geojson(written(tmp_path, collection()), ALL_IDB_CLASSES)) == 0
    assert len(read_geojson(written(tmp_path, collection(feature("MultiPoint", []))))) == 0


def test_the_points_tool_gives_a_cell_for_each_point(tmp_path):
    points = feature(
        "MultiPoint", [[1, 2], [3.5, 4], [5, 6]], classification={"name": "other"}, objectType="annotation"
    )
    cells = read_geojson(written(tmp_path, collection(points)))
    assert cells.xy.tolist() == [[1, 2], [3.5, 4], [5, 6]]
    assert classes_of(cells) == ["other"] * 3


@pytest.mark.parametrize("ring", [SQUARE, SQUARE[::-1], SQUARE[:-1]], ids=["one way", "the other way", "not closed"])
def test_an_outline_gives_centroid_box_and_radius(tmp_path, ring):
    """A square of the pixels 10..13 and 20..23, whose edges QuPath draws at 10 and 14, 20 and 24."""
    cells = read_geojson(written(tmp_path, collection(feature("Polygon", [ring]))))
    assert np.allclose(cells.xy, [[11.5, 21.5]])
    assert boxes_of(cells).tolist() == [[10, 20, 13, 23]]
    assert np.allclose(cells.attributes["radius_px"], np.sqrt(16 / np.pi))


def test_holes_and_parts(tmp_path):
    hole = [[12, 20], [14, 20], [14, 24], [12, 24], [12, 20]]
    half = feature("Polygon", [SQUARE, hole], measurements={"radius_px": 77})
    both = feature("MultiPolygon", [[SQUARE], [[[x + 10, y] for x, y in SQUARE]]])
    cells = read_geojson(written(tmp_path, collection(half, both)))
    assert np.allclose(cells.xy, [[10.5, 21.5], [16.5, 21.5]])
    assert boxes_of(cells).tolist() == [[10, 20, 13, 23], [10, 20, 23, 23]]
    assert np.allclose(cells.attributes["radius_px"], np.sqrt(np.array([8, 32]) / np.pi))


def test_far_from_the_corner_of_a_large_slide(tmp_path):
    cells = read_geojson(written(tmp_path, collection(feature("Polygon", [FAR]))))
    assert np.allclose(cells.xy, [[100_004.5, 80_004.5]], rtol=0, atol=1e-6)


def test_an_outline_without_area_is_left_to_the_checker(tmp_path):
    cells = read_geojson(written(tmp_path, collection(feature("Polygon", [[[1, 1], [5, 1], [3, 1], [1, 1]]]))))
    assert cells.xy.tolist() == [[2.5, 0.5]]
    assert cells.attributes["radius_px"].tolist() == [0]


def test_boxes_are_kept_only_if_all_cells_have_one(tmp_path):
    cells = read_geojson(written(tmp_path, collection(feature("Polygon", [SQUARE]), feature())))
    assert not set(BOX_COLUMNS) & set(cells.attributes)
    assert np.isnan(cells.attributes["radius_px"]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, "white_cell"),
        ({"classification": None}, "white_cell"),
        ({"classification": {}}, "white_cell"),
        ({"classification": {"name": "blast", "colorRGB": -3670016}}, "blast"),
        ({"classification": {"name": "blast: confirmed", "color": [200, 0, 0]}}, "blast"),
        ({"classification": {"names": ["blast", "confirmed"], "color": [200, 0, 0]}}, "blast"),
        ({"classification": "blast"}, "blast"),
    ],
)
def test_classes_as_qupath_says_them(tmp_path, properties, expected):
    path = written(tmp_path, collection(feature(**properties)))
    assert read_geojson(path).class_names == geojson_classes(path) == (expected,)


def test_a_feature_without_properties_is_of_the_default_class(tmp_path):
    plain = feature() | {"properties": None}
    assert read_geojson(written(tmp_path, [plain]), default_class="blast").class_names == ("blast",)


def test_measurements_of_every_version(tmp_path):
    new = feature(measurements={"score": 0.5, "Nucleus: Area": 12.5, "radius_px": float("nan")}, isLocked=True)
    old = feature(measurements=[{"name": "score", "value": 0.25}, {"name": "Nucleus: Area", "value": None}])
    cells = read_geojson(written(tmp_path, collection(new, old, feature())))
    assert cells.score.tolist() == [0.5, 0.25, 1]
    assert list(cells.attributes) == ["Nucleus: Area"]
    assert cells.attributes["Nucleus: Area"][0] == 12.5
    assert np.isnan(cells.attributes["Nucleus: Area"][1:]).all()


def test_a_cell_of_qupath_is_its_outline_or_else_its_nucleus(tmp_path):
    nucleus = {"type": "Polygon", "coordinates": [[[11, 21], [13, 21], [13, 23], [11, 23], [11, 21]]]}
    cell = feature("Polygon", [SQUARE], objectType="cell") | {"nucleusGeometry": nucleus, "id": "PathCellObject"}
    bare = cell | {"geometry": None}
    cells = read_geojson(written(tmp_path, collection(cell, bare)))
    assert boxes_of(cells).tolist() == [[10, 20, 13, 23], [11, 21, 12, 22]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected a GeoJSON FeatureCollection"),
        (3, "expected a GeoJSON FeatureCollection"),
        ({"type": "FeatureCollection"}, "expected a GeoJSON FeatureCollection"),
        ([3], "feature 1: expected a Feature"),
        ([feature(), {"type": "Point"}], "feature 2: expected a Feature"),
        ([feature("LineString", [[1, 2], [3, 4]])], r"feature 1 \(LineString\): a cell is a Point"),
        ([feature() | {"geometry": None}], r"feature 1 \(None\)"),
        ([feature(coordinates=[1])], "expected coordinates x and y"),
        ([feature(coordinates=None)], "expected a list of coordinates"),
        ([feature(coordinates=["a", 2])], "expected a number"),
        ([feature(coordinates=[float("nan"), 2])], "expected a number"),
        ([feature(coordinates=[float("inf"), 2])], "expected a number"),
        ([feature(coordinates=[10**400, 2])], "expected a number"),
        ([feature("Polygon", [])], "expected an outline, found none"),
        ([feature("MultiPolygon", [])], "expected an outline, found none"),
        ([feature("Polygon", [[[1, 2], [3, 4]]])], "three points or more, found 2"),
        ([feature() | {"properties": [1]}], "expected properties by name"),
        ([feature(classification={"name": " : x"})], "expected the name of a class"),
        ([feature(classification={"names": [3]})], "expected the name of a class"),
        ([feature(measurements="many")], "expected measurements by name"),
        ([feature(measurements=[3])], "expected measurements by name"),
        ([feature(measurements={"score": 7})], "expected a score in 0..1"),
        ([feature(measurements={"area": "large"})], "measurement area: expected a number"),
        ([feature(measurements={"x": 3})], "own columns cannot be further attributes, found x"),
        ([feature(childObjects=[feature()])], "holds further objects"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message) as error:
        read_geojson(written(tmp_path, content))
    assert "a.geojson" in str(error.value)


@pytest.mark.parametrize("content", [b"", b'{"type": "Feat', b"\xe9", b"[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path, content):
    path = tmp_path / "a.geojson"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.geojson"):
        read_geojson(path)


def test_a_byte_order_mark_and_crlf_are_taken(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(collection(feature()), indent=1).replace("\n", "\r\n").encode())
    assert len(read_geojson(path)) == 1


def test_a_review_in_qupath_comes_back(tmp_path):
    """A class is changed, a cell deleted, one added by the points tool: the others are as they were."""
    found = Cells.at([(10, 20), (30, 40), (50, 60)], ALL_IDB_CLASSES, [0, 1, 1], [0.9, 0.4, 0.8], radius_px=[8.0, 9, 7])
    features = found.to_geojson()["features"]
    features[1]["properties"]["classification"] = {"names": ["blast"], "color": [200, 0, 0]}
    for kept in features:
        del kept["properties"]["slide"]
        kept["id"] = "5a1c0b2e-0000-4000-8000-000000000000"
    added = feature("MultiPoint", [[70.5, 80.5]], objectType="annotation", classification={"name": "other"})
    path = written(tmp_path, collection(features[0], features[1], added))
    cells = read_geojson(path, ALL_IDB_CLASSES)
    assert cells.xy.tolist() == [[10, 20], [30, 40], [70.5, 80.5]]
    assert classes_of(cells) == ["blast", "blast", "other"]
    assert np.allclose(cells.score, [0.9, 0.4, 1])
    assert cells.attributes["radius_px"][:2].tolist() == [8, 9]
    assert np.isnan(cells.attributes["radius_px"][2])
