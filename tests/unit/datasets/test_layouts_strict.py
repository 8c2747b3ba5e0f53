"""What is no dataset is not taken for one, and the real folders are known for what they are."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests import made_datasets as made
from wsi_patches.annotations import read_annotations
from wsi_patches.datasets.layouts import recognise
from wsi_patches.geometry import Size


@pytest.mark.parametrize(
    "paths",
    [
        ["a.svs", "b.svs"],
        ["a.jpg", "b.png"],
        ["patient_1/a.jpg", "patient_2/b.jpg"],
        ["P1/a.jpg", "P2/a.jpg", "P3/a.jpg"],
        ["2024-01-03/a.jpg", "2024-01-04/a.jpg"],
        ["smith/a.svs", "jones/b.svs"],
        ["smith/a.jpg", "jones/b.svs"],
        ["smith/a.jpg", "jones/b.jpg", "overview.jpg"],
        ["smith/a.jpg", "jones/2024/b.jpg", "jones/c.jpg"],
        ["smith/a.jpg", "jones/b.jpg", "jones/notes.txt"],
        ["blast/a.jpg"],
        ["ward_a/P1/a.jpg", "ward_b/P2/a.jpg"],
        ["healthy/P1/a.jpg"],
        ["healthy/P1/a.jpg", "ALL/P2/a.jpg", "overview.jpg"],
        ["healthy/P1/a.jpg", "ALL/a.jpg"],
        ["healthy/P1/a.jpg", "ALL/P2/a.jpg", "ALL/notes.txt"],
        ["healthy/P1/a.jpg", "ALL/P2/2024/a.jpg"],
        ["train/blast/a.jpg", "train/other/a.jpg", "extra/blast/a.jpg", "extra/other/a.jpg"],
        ["train/blast/a.jpg", "train/other/a.jpg", "test/b.jpg"],
        ["im/Im001_1.jpg", "im/Im002_1.jpg"],
        ["images/a.tif", "annotations/a.geojson"],
        ["images/a.jpg", "labels/b.txt"],
        ["xyc/Im001_1.xyc", "notes.txt", "more/a.txt"],
        ["a.xyc", "a.jpg"],
        [],
    ],
)
def test_other_folders_are_no_dataset(paths, tmp_path):
    for name in paths:
        path = tmp_path / name
        if path.suffix in {".jpg", ".png"}:
            made.picture(path)
        else:
            made.text(path, "")
    assert recognise(tmp_path) is None


def test_large_pictures_in_folders_are_slides_not_classes(tmp_path):
    made.image_folder(tmp_path)
    assert recognise(tmp_path) is not None
    made.picture(tmp_path / "blast" / "a first one.png", (1025, 8))
    assert recognise(tmp_path) is None


def test_pictures_that_cannot_be_read_are_no_classes(tmp_path):
    made.image_folder(tmp_path)
    made.text(tmp_path / "blast" / "a first one.png", "no picture")
    assert recognise(tmp_path) is None


def test_fields_named_as_all_idb2_names_its_cells_are_not_all_idb2(tmp_path):
    for number in (1, 2, 3):
        made.picture(tmp_path / f"Im00{number}_1.tif", (1712, 1368))
    assert recognise(tmp_path) is None


def test_xml_of_slide_viewers_is_not_voc(tmp_path):
    made.voc_folder(tmp_path)
    for path in (tmp_path / "annotations").iterdir():
        made.text(path, "<?xml version='1.0'?><ASAP_Annotations><Annotations/></ASAP_Annotations>")
    assert recognise(tmp_path) is None


def test_text_that_holds_no_boxes_is_not_yolo(tmp_path):
    made.yolo_folder(tmp_path)
    for path in (tmp_path / "labels_yolo").iterdir():
        made.text(path, "seen by two readers\n")
    assert recognise(tmp_path) is None


def test_geojson_of_each_slide_is_not_coco(tmp_path):
    made.picture(tmp_path / "images" / "a.jpg")
    made.text(tmp_path / "annotations" / "a.json", '{"type": "FeatureCollection", "features": []}')
    assert recognise(tmp_path) is None


def test_one_of_several_datasets_in_a_folder_is_not_taken_for_all(tmp_path):
    made.bccd(tmp_path)
    made.yolo_folder(tmp_path / "wbc_fov")
    made.image_folder(tmp_path / "more")
    assert recognise(tmp_path) is None


def test_a_copy_of_bccds_repository_is_bccd(tmp_path):
    made.bccd(tmp_path / "BCCD_Dataset-master")
    made.text(tmp_path / "BCCD_Dataset-master" / "scripts" / "split.py", "")
    made.picture(tmp_path / "BCCD_Dataset-master" / "example.jpg")
    layout, folder = recognise(tmp_path / "BCCD_Dataset-master")
    assert layout.name == "bccd"
    assert len(layout.read(folder).items) == 4


@pytest.mark.parametrize(
    ("folder", "layout", "count"),
    [
        ("bccd", "bccd", 120),
        ("wbc_fov", "yolo", 15),
        ("txl_pbc", "yolo", 80),
        ("txl_pbc/raabin", "yolo", 40),
        ("txl_pbc/pbc", "yolo", 40),
        ("all_smears", "all-four-classes", 240),
        ("all_smears/images", "all-four-classes", 240),
        ("all_idb1_other", "annotations-only", 0),
    ],
)
def test_real_datasets_are_known(folder, layout, count, shared_data):
    known, place = recognise(shared_data / folder)
    assert (known.name, len(known.read(place).items)) == (layout, count)


@pytest.mark.parametrize("folder", ["", "slides", "corrupt", "corrupt/pillow", "focus", "all_smears/segmented_early"])
def test_real_folders_of_slides_are_no_dataset(folder, shared_data):
    assert recognise(shared_data / folder) is None


def test_what_the_real_datasets_say(shared_data):
    def read(folder):
        layout, place = recognise(shared_data / folder)
        return layout.read(place)

    bccd = read("bccd")
    assert bccd.problems == ()
    assert all(item.annotations and dict(item.attributes)["mask"] for item in bccd.items)
    assert {dict(item.attributes)["part"] for item in read("txl_pbc").items} == {"pbc", "raabin"}
    assert read("txl_pbc/pbc").items[0].classes == ("white_cell", "red_cell", "platelet")
    assert "folder above" in read("txl_pbc/pbc").problems[0]
    smears = read("all_smears")
    assert sum("segmented" in dict(item.attributes) for item in smears.items) == 60
    assert "108 .xyc files and no image" in read("all_idb1_other").problems[0]


def test_links_in_a_circle_and_to_nowhere_do_no_harm(tmp_path):
    made.yolo_folder(tmp_path)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "images" / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "images" / "up").symlink_to(tmp_path)
    layout, folder = recognise(tmp_path)
    assert (layout.name, len(layout.read(folder).items)) == ("yolo", 2)
    assert recognise(tmp_path / "images") is None


def test_a_folder_that_may_not_be_looked_into_is_no_dataset(tmp_path, monkeypatch):
    made.text(tmp_path / "a.svs", "")
    (tmp_path / "all").mkdir()
    look = os.scandir

    def refuse(folder):
        if Path(folder).name == "all":
            raise PermissionError(folder)
        return look(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert recognise(tmp_path) is None
    with pytest.raises(PermissionError):
        recognise(tmp_path / "all")


def test_a_folder_named_by_a_dot_is_the_same(tmp_path, monkeypatch):
    made.leukemia_attri(tmp_path)
    monkeypatch.chdir(tmp_path / "L_40x_C2")
    layout, folder = recognise(Path())
    assert layout.name == "leukemia-attri"
    assert dict(layout.read(folder).items[0].attributes)["microscope"] == "low-cost"


@pytest.mark.parametrize(
    ("folder", "size", "counts"),
    [
        ("bccd", Size(640, 480), {"red_cell": 1593, "platelet": 151, "white_cell": 126}),
        ("txl_pbc/raabin", Size(575, 575), {"red_cell": 477, "white_cell": 46, "platelet": 2}),
        ("txl_pbc/pbc", Size(360, 363), {"red_cell": 631, "platelet": 27, "white_cell": 43}),
        (
            "wbc_fov",
            Size(1440, 900),
            dict.fromkeys(("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte"), 3),
        ),
    ],
)
def test_real_cells_are_read_through_their_layouts(folder, size, counts, shared_data):
    layout, place = recognise(shared_data / folder)
    found = Counter()
    for item in layout.read(place).items:
        cells = read_annotations(item.annotations, item.classes, size)
        found.update(cells.class_names[index] for index in cells.class_index)
    assert found == counts


@pytest.mark.parametrize(("side", "unit"), [(300, "cell"), (800, "slide")])
def test_labelled_fields_are_cut_and_single_cells_are_not(tmp_path, side, unit):
    for label in ("ALL", "healthy"):
        made.picture(tmp_path / label / f"{label}.png", (side, side))
    layout, root = recognise(tmp_path)
    assert layout.name == "image-folder"
    assert {(item.label, item.unit) for item in layout.read(root).items} == {("ALL", unit), ("healthy", unit)}
