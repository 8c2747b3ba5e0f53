"""Every layout is known on a made folder of its own form, and read with labels, groups and splits."""

from collections import Counter
from pathlib import Path

import pytest

from tests import made_datasets as made
from tests.unit.datasets.known_layout import read
from wsi_patches.annotations import read_annotations
from wsi_patches.datasets.layouts import LAYOUTS, recognise
from wsi_patches.geometry import Size

# maker -> layout, items, unit, labels, groups, splits
EXPECTED = {
    made.all_idb1: ("all-idb1", 2, "slide", {"ALL", "healthy"}, {None}, {None}),
    made.all_idb2: ("all-idb2", 3, "cell", {"blast", "other"}, {None}, {None}),
    made.all_idb_patches: (
        *("all-idb-patches", 4, "patch"),
        {"blast", "other", "blast and other", "no white cell"},
        {"Im001_1", "Im034_0"},
        {None},
    ),
    made.c_nmc: (
        *("c-nmc", 10, "cell", {"ALL", "healthy", None}),
        {"1", "2", "3", "H1", "H2", "H3", "57", "H49", None},
        {"fold_0", "fold_1", "fold_2", "validation", "test"},
    ),
    made.c_nmc_of_kaggle: (
        *("c-nmc", 4, "cell", {"ALL", "healthy", None}, {"1", "H1", "57", None}),
        {"fold_0", "validation", "test"},
    ),
    made.aml_lmu: (
        *("aml-lmu", 8, "cell"),
        {"basophil", "lymphocyte_atypical", "myeloblast", "neutrophil_segmented"},
        *({None}, {None}),
    ),
    made.aml_mll: ("aml-mll", 6, "cell", {"control", "NPM1", "PML_RARA"}, {"AEC", "BXS", "CDA"}, {None}),
    made.bone_marrow: (
        *("bone-marrow", 4, "cell"),
        {"eosinophil_abnormal", "neutrophil_segmented", "proerythroblast"},
        *({None}, {None}),
    ),
    made.mll23: (
        *("mll23", 4, "cell", {"myeloblast", "neutrophil_segmented", "hairy_cell", "basophil"}),
        *({None}, {None}),
    ),
    made.pbc: (
        *("pbc", 5, "cell", {"basophil", "immature_granulocyte", "neutrophil", "platelet"}),
        *({None}, {None}),
    ),
    made.raabin: (
        *("raabin-wbc", 9, "cell", {"basophil", "lymphocyte", "neutrophil"}),
        *({None}, {"train", "test"}),
    ),
    made.four_classes: ("all-four-classes", 4, "patch", {"benign", "early", "pre", "pro"}, {None}, {None}),
    made.white_cell_masks: ("wbc-masks", 2, "cell", {"lymphocyte", "neutrophil"}, {None}, {None}),
    made.bccd: ("bccd", 4, "slide", {None}, {None}, {"train", "validation", "test"}),
    made.leukemia_attri: ("leukemia-attri", 4, "slide", {None}, {None}, {"train", "test"}),
    made.leukemia_attri_yolo: ("leukemia-attri", 2, "slide", {None}, {None}, {"train", "test"}),
    made.voc_folder: ("voc", 2, "slide", {None}, {None}, {None}),
    made.coco_folder: ("coco", 2, "slide", {None}, {None}, {"train", "validation"}),
    made.coco_of_roboflow: ("coco", 2, "slide", {None}, {None}, {"train", "validation"}),
    made.yolo_folder: ("yolo", 2, "slide", {None}, {None}, {None}),
    made.yolo_of_roboflow: ("yolo", 3, "slide", {None}, {None}, {"train", "validation", "test"}),
    made.yolo_by_split: ("yolo", 2, "slide", {None}, {None}, {"train", "validation"}),
    made.image_folder: ("image-folder", 4, "cell", {"blast", "lymphocyte"}, {None}, {None}),
    made.image_folder_by_split: (
        *("image-folder", 12, "cell", {"blast", "lymphocyte"}, {None}),
        {"train", "validation", "test"},
    ),
    made.patient_folders: (
        *("patient-folders", 8, "cell", {"healthy", "ALL", "CLL"}, {"P1", "P2", "P3", "P4"}),
        {None},
    ),
    made.annotations_only: ("annotations-only", 0, "slide", set(), set(), set()),
}
MAKERS = list(EXPECTED)


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def maker(request):
    return request.param


def test_each_layout_is_known_and_read(maker, tmp_path):
    maker(tmp_path)
    name, count, unit, labels, groups, splits = EXPECTED[maker]
    layout, folder = recognise(tmp_path)
    items = layout.read(folder).items
    assert (layout.name, len(items), layout.unit) == (name, count, unit)
    assert {item.label for item in items} == labels
    assert {item.group for item in items} == groups
    assert {item.split for item in items} == splits
    assert all(item.layout == name and item.unit == unit and item.licence == layout.licence for item in items)
    assert all((item.group is None) == (item.group_kind is None) for item in items)
    assert all(Path(item.path).is_file() for item in items)


def test_each_layout_has_a_made_folder():
    assert {layout.name for layout in LAYOUTS} == {name for name, *_ in EXPECTED.values()}
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


def test_a_folder_in_a_folder_is_the_same(maker, tmp_path):
    maker(tmp_path / "archive" / "inner")
    made.text(tmp_path / "README.md", "of the archive")
    made.picture(tmp_path / "__MACOSX" / "archive" / "._a.jpg")
    layout, _ = recognise(tmp_path)
    assert layout.name == EXPECTED[maker][0]


def test_letters_case_does_not_matter(maker, tmp_path):
    """Folders and suffixes in capitals, as some archives write them."""
    maker(tmp_path)
    for path in sorted(tmp_path.rglob("*"), key=lambda path: -len(path.parts)):
        keeps = path.is_dir() or path.suffix in {".json"}
        path.rename(path.with_name(path.name.upper() if path.is_dir() else path.stem + path.suffix.upper()))
        assert keeps or path.suffix
    name, count, *_ = EXPECTED[maker]
    layout, folder = recognise(tmp_path)
    assert (layout.name, len(layout.read(folder).items)) == (name, count)


def test_hidden_files_and_other_systems_leavings_are_no_items(maker, tmp_path):
    maker(tmp_path)
    for folder in [path for path in tmp_path.rglob("*") if path.is_dir()]:
        for name in ("._a.jpg", ".DS_Store", "Thumbs.db"):
            made.text(folder / name, "")
    layout, folder = recognise(tmp_path)
    assert (layout.name, len(layout.read(folder).items)) == EXPECTED[maker][:2]


def test_annotations_can_be_read_with_the_classes_that_items_state(maker, tmp_path):
    maker(tmp_path)
    for item in read(tmp_path).items:
        cells = read_annotations(item.annotations, item.classes or ("blast", "other"), Size(640, 480))
        assert cells.class_names == (item.classes or ("blast", "other"))
        assert len(cells) > 0 or not item.annotations or item.layout == "all-idb-patches"


def test_renamed_classes_are_ours(tmp_path):
    made.bccd(tmp_path)
    item = read(tmp_path).items[0]
    assert item.classes == ("white_cell", "red_cell", "platelet")
    cells = read_annotations(item.annotations, item.classes)
    assert [cells.class_names[index] for index in cells.class_index] == list(item.classes)
    made.yolo_of_roboflow(tmp_path / "yolo")
    assert read(tmp_path / "yolo").items[0].classes == ("platelet", "white_cell")


def test_what_else_a_dataset_says_is_kept(tmp_path):
    for maker in (made.pbc, made.aml_lmu, made.four_classes, made.white_cell_masks, made.leukemia_attri, made.raabin):
        maker(tmp_path / maker.__name__)
    told = {name: [dict(item.attributes) for item in read(tmp_path / name).items] for name in ("pbc", "aml_lmu")}
    assert told["pbc"][1] == {"code": "MMY", "subtype": "metamyelocyte"}
    assert told["aml_lmu"][0] == {"code": "BAS"}
    benign = read(tmp_path / "four_classes").items[0]
    assert dict(benign.attributes)["diagnosis"] == "hematogones, no leukemia"
    assert Path(dict(benign.attributes)["segmented"]).parts[-3:] == ("Segmented", "Benign", "WBC-Benign-001.jpg")
    assert Path(dict(read(tmp_path / "white_cell_masks").items[0].attributes)["mask"]).name == "001.png"
    domain = {"domain": "H_100X_C1", "microscope": "high-cost", "magnification": "100", "camera": "C1"}
    assert dict(read(tmp_path / "leukemia_attri").items[0].attributes) == domain
    assert {dict(item.attributes)["part"] for item in read(tmp_path / "raabin").items} == {"Train", "TestA", "TestB"}


def test_leukemia_attri_keeps_its_fourteen_classes_in_both_forms(tmp_path):
    made.leukemia_attri(tmp_path / "coco")
    made.leukemia_attri_yolo(tmp_path / "yolo")
    coco, yolo = (read(tmp_path / form).items[0] for form in ("coco", "yolo"))
    assert coco.classes == yolo.classes
    assert len(yolo.classes) == 14
    for item in (coco, yolo):
        cells = read_annotations(item.annotations, item.classes, Size(640, 480))
        assert [cells.class_names[index] for index in cells.class_index] == ["promyelocyte_abnormal"]


def test_the_label_of_a_patient_is_said_to_be_no_cells_label(tmp_path):
    made.aml_mll(tmp_path)
    dataset = read(tmp_path)
    assert "the patient's, not the cell's" in dataset.problems[0]
    assert Counter(item.group for item in dataset.items) == {"AEC": 2, "BXS": 2, "CDA": 2}
    assert {item.group_kind for item in dataset.items} == {"patient"}


def test_copies_of_it_in_another_format_are_known_too(tmp_path):
    for label in ("control", "PML_RARA"):
        made.picture(tmp_path / label / f"{label}_1" / "image_0.png")
    layout, root = recognise(tmp_path)
    assert layout.name == "aml-mll"
    assert {item.group for item in layout.read(root).items} == {"control_1", "PML_RARA_1"}


def test_a_patient_of_two_classes_is_one_group_and_is_told(tmp_path):
    made.patient_folders(tmp_path)
    made.picture(tmp_path / "ALL" / "P1" / "cell_0.png")
    dataset = read(tmp_path)
    assert {item.label for item in dataset.items if item.group == "P1"} == {"healthy", "ALL"}
    assert "patients with folders in more than one class: 1 (P1)" in dataset.problems


def test_licences_that_nobody_has_read_are_said_so():
    licences = {layout.name: layout.licence for layout in LAYOUTS}
    assert licences["bccd"] == "MIT"
    assert licences["yolo"] is None
    for name in ("c-nmc", "aml-lmu", "aml-mll", "mll23", "raabin-wbc", "leukemia-attri"):
        assert "check before use" in licences[name]
