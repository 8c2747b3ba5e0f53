"""Marked cells of any format become centred patches of one scale; what cannot be used is named."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.train.small_fields import SIZE, boxed, painted_fields, write_marks
from wsi_patches.annotations import AnnotationFile, write_voc
from wsi_patches.counting.centred import centred_patch
from wsi_patches.datasets import SlideItem, find_inputs
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.slides import open_slide
from wsi_patches.synthetic import write_all_idb1
from wsi_patches.train import annotated
from wsi_patches.train.annotated import CellCut, cell_class, cell_patches
from wsi_patches.train.blasts import BlastSettings
from wsi_patches.train.patch_set import split_patches

SETTINGS = BlastSettings(input_px=32)
CUT = CellCut(SETTINGS, SETTINGS.input_px, 1.5, WhiteCellFinder(), {})


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Four fields in the layout of ALL-IDB1, and their truth."""
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    return folder, write_all_idb1(folder, painted_fields(4))


@pytest.fixture
def items(painted):
    return find_inputs([painted[0]]).items


def test_each_marked_cell_is_one_patch_in_the_order_of_the_slides(items, painted, tmp_path):
    patches = cell_patches(items, CUT, tmp_path)

    truth = painted[1]
    assert len(patches) == sum(len(cells) for cells in truth.values())
    assert patches.images.shape[1:] == (48, 48, 3)
    assert patches.left_out == ()
    for row, name in enumerate(patches.slide_ids.tolist()):
        mine = patches.slide == row
        counts = np.bincount(patches.truth[mine], minlength=2).tolist()
        assert counts == [truth[name].count("blast"), truth[name].count("other")]
        assert sorted(map(tuple, patches.xy[mine].tolist())) == sorted(map(tuple, np.floor(truth[name].xy).tolist()))
    assert len(set(patches.ids.tolist())) == len(patches)
    assert patches.groups.tolist() == patches.slide_ids[patches.slide].tolist()


def test_a_patch_is_the_cell_with_a_margin(items, tmp_path):
    patches = cell_patches(items[:1], CUT, tmp_path)

    with open_slide(items[0].path) as slide:
        x, y = patches.xy[0]
        dark = centred_patch(slide, x, y, 12, 12).mean()
    middle = patches.images[0][18:30, 18:30].mean()
    assert abs(float(middle) - float(dark)) < 25


@pytest.mark.parametrize("kind", ["geojson", "voc", "coco"])
def test_every_format_gives_the_same_cells(kind, items, painted, tmp_path):
    marks = tmp_path / "marks"
    write_marks(marks, kind, painted[1])
    marked = find_inputs([painted[0] / "im"], marks).items

    patches = cell_patches(marked, CUT, tmp_path)

    assert np.bincount(patches.truth).tolist() == [10, 30]


def test_boxes_say_how_large_a_cell_is_and_points_are_measured(items, painted, tmp_path):
    name = "Im001_1"
    write_voc(tmp_path / "small.xml", boxed(painted[1][name]), SIZE)
    large = boxed(painted[1][name])
    grown = {
        key: column + (20 if key in ("right_px", "bottom_px") else -20) for key, column in large.attributes.items()
    }
    write_voc(tmp_path / "large.xml", replace(large, attributes=grown), SIZE)

    points, small, large = (
        cell_patches([replace(items[0], annotations=files)], CUT, tmp_path).images[0].astype(float)
        for files in (
            items[0].annotations,
            (AnnotationFile(str(tmp_path / "small.xml")),),
            (AnnotationFile(str(tmp_path / "large.xml")),),
        )
    )

    assert np.abs(points - small).mean() < np.abs(points - large).mean()


def test_um_are_taken_where_the_resolution_is_known(items, tmp_path):
    coarse = cell_patches(items[:1], replace(CUT, slide_mpp=0.4), tmp_path)
    fine = cell_patches(items[:1], replace(CUT, slide_mpp=0.2), tmp_path)

    assert (coarse.mpp, fine.mpp) == ((0.4, 0.4), (0.2, 0.2))
    # 21 um are twice as many pixels at 0.2 um: the same cell lies in the inner quarter.
    inner = fine.images[0][12:36, 12:36].astype(float)
    assert np.abs(coarse.images[0][::2, ::2] - inner).mean() < 12


def test_a_slide_that_cannot_be_read_is_named_and_the_others_are_used(items, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "broken.geojson").write_text("{")
    bad = [
        replace(items[0], path=str(tmp_path / "broken.jpg")),
        replace(items[1], annotations=(AnnotationFile(str(tmp_path / "broken.geojson")),)),
        SlideItem(items[2].path),
    ]

    patches = cell_patches([*bad, *items], CUT, tmp_path)

    assert len(patches) == 40
    assert len(patches.left_out) == 3
    for said, told in zip(patches.left_out, ("broken.jpg was left out", "broken.geojson", "1 of 7"), strict=True):
        assert told in said


def test_a_slide_that_fails_half_way_leaves_nothing_behind(items, tmp_path, monkeypatch):
    def cut(slide, x, y, side, input_px):
        if slide.info.path == items[1].path and cut.calls:
            msg = "the rest of the file is missing"
            raise SlideError(msg)
        cut.calls += slide.info.path == items[1].path
        return centred_patch(slide, x, y, side, input_px)

    cut.calls = 0
    whole = cell_patches([items[0], *items[2:]], CUT, tmp_path)
    monkeypatch.setattr(annotated, "centred_patch", cut)

    patches = cell_patches(items, CUT, tmp_path)

    assert cut.calls == 1
    assert np.array_equal(patches.images, whole.images)
    assert np.unique(patches.slide).tolist() == [0, 2, 3]
    assert "the rest of the file is missing" in patches.left_out[0]


@pytest.mark.parametrize(
    ("name", "is_a"),
    [
        ("Blast", "blast"),
        ("probable lymphoblast", "blast"),
        ("Myeloblast", "blast"),
        ("other", "other"),
        ("Lymphocyte", "other"),
        ("RBC", None),
        ("WBC", None),
        ("Ignore*", None),
        ("erythroblast", None),
    ],
)
def test_classes_are_told_by_their_names(name, is_a):
    assert cell_class(name, {}) == is_a


def test_unclear_classes_are_asked_for(items, tmp_path):
    with pytest.raises(UsageError, match="'Hairy cell', which may or may not be blasts: say in the recipe"):
        cell_class("Hairy cell", {})
    assert cell_class("Hairy cell", {"hairy_cell": "other"}) == "other"
    assert cell_class("WBC", {"WBC": "other"}) == "other"
    with pytest.raises(UsageError, match="blast, other or null"):
        cell_patches(items, replace(CUT, classes={"x": "cell"}), tmp_path)


def test_one_class_alone_is_refused(items, tmp_path):
    with pytest.raises(UsageError, match="found 0 blast, 20 other"):
        cell_patches([item for item in items if item.label == "healthy"], CUT, tmp_path)
    with pytest.raises(UsageError, match="--annotations"):
        cell_patches([SlideItem(items[0].path)], CUT, tmp_path)


def test_whole_patients_are_on_one_side_of_the_split(items, tmp_path):
    known = [replace(item, group=f"patient {row % 2}", group_kind="patient") for row, item in enumerate(items)]
    shares = {"train": 0.5, "test": 0.5}
    patches = cell_patches(known, CUT, tmp_path)

    split, names = split_patches(patches, "patient", shares, 0)

    assert len({(row.group, name) for row, name in zip(split.rows, split.names, strict=True)}) == 2
    assert split.warnings == ()
    assert len(split.rows) == 4
    assert {len(set(names[patches.groups == group])) for group in np.unique(patches.groups)} == {1}
    assert "WARNING" in split_patches(patches, "slide", shares, 0)[0].warnings[0]
    with pytest.raises(UsageError, match="by patient, slide or block"):
        split_patches(patches, "none", shares, 0)
