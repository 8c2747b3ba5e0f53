"""What is wrong with a dataset's folder is said in sentences, and nothing that a file names is followed out of it."""

import pytest

from tests import made_datasets as made
from tests.unit.datasets.known_layout import read
from wsi_patches.datasets.layouts import recognise


def problems(folder):
    return "\n".join(read(folder).problems)


def remove(folder, pattern):
    next(folder.rglob(pattern)).unlink()


@pytest.mark.parametrize(
    ("maker", "gone", "said"),
    [
        (made.all_idb1, "other/Im034_0.xyc", "images without a file in other/: 1 (Im034_0.jpg)"),
        (made.all_idb1, "im/Im001_1.jpg", "files of xyc/ without an image: 1 (Im001_1)"),
        (made.all_idb_patches, "Im001_1_patch_2.tif", "rows of the CSV without a patch: 1 (Im001_1_patch_2.tif)"),
        (made.all_idb_patches, "*.csv", "the CSV of the patches is missing"),
        (made.c_nmc, "phase2/2.bmp", "rows of the preliminary test's table without a picture: 1 (2.bmp)"),
        (made.c_nmc, "phase2.csv", "pictures of the preliminary test that no table names: 2 (1.bmp, 2.bmp)"),
        (made.four_classes, "Segmented/Pre/*.jpg", "pictures without a segmented twin: 1 (WBC-Malignant-Pre-001.jpg)"),
        (
            made.four_classes,
            "Original/Pre/*.jpg",
            "segmented pictures without an original: 1 (wbc-malignant-pre-001.jpg)",
        ),
        (made.white_cell_masks, "001.png", "pictures without a mask: 1 (001)"),
        (made.white_cell_masks, "001.bmp", "masks without a picture: 1 (001)"),
        (made.white_cell_masks, "Class*.csv", "Class Labels of Dataset 1.csv is missing"),
        (made.bccd, "BloodImage_00001.xml", "images without an annotation file: 1 (BloodImage_00001.jpg)"),
        (made.bccd, "BloodImage_00001.jpg", "images of the published split that are not there: 1 (BloodImage_00001)"),
        (made.bccd, "test.txt", "images in no part of the published split: 1 (BloodImage_00003)"),
        (made.voc_folder, "a.png", "annotation files without an image: 1 (a.xml)"),
        (made.yolo_folder, "b.txt", "images without an annotation file: 1 (b.jpg)"),
        (made.yolo_folder, "classes.txt", "no file says what the classes are called"),
        (
            made.coco_folder,
            "images/val2017/a.jpg",
            "images of instances_val2017.json that are not there, or in several folders: 1 (a.jpg)",
        ),
        (made.coco_folder, "instances_val2017.json", "images that no COCO file names: 1 (a.jpg)"),
    ],
)
def test_what_is_missing_is_named(maker, gone, said, tmp_path):
    maker(tmp_path)
    assert said not in problems(tmp_path)
    remove(tmp_path, gone)
    assert said in problems(tmp_path)


def test_pictures_in_the_wrong_class_and_folders_of_no_class_are_told(tmp_path):
    made.pbc(tmp_path)
    inner = tmp_path / "PBC_dataset_normal_DIB"
    made.picture(inner / "basophil" / "SNE_9.jpg")
    made.picture(inner / "unsorted" / "BA_1.jpg")
    dataset = read(tmp_path)
    assert len(dataset.items) == 6
    said = "\n".join(dataset.problems)
    assert "pictures not named as in this dataset, or in another class's folder: 1 (SNE_9.jpg)" in said
    assert "so left out: 1 (unsorted)" in said


def test_a_patient_in_two_classes_is_told(tmp_path):
    made.aml_mll(tmp_path)
    made.picture(tmp_path / "data" / "NPM1" / "AEC" / "image_9.tif")
    made.picture(tmp_path / "data" / "NPM1" / "loose.tif")
    said = problems(tmp_path)
    assert "patients with folders in more than one class: 1 (AEC)" in said
    assert "so without a group: 1 (NPM1)" in said


def test_a_row_whose_label_is_not_its_names_gives_no_label(tmp_path):
    made.c_nmc(tmp_path)
    rows = (["Patient_ID", "new_names", "labels"], ["UID_57_29_1_all.bmp", "1.bmp", 0], ["", "2.bmp", 1])
    made.table(tmp_path / "phase2.csv", *rows)
    dataset = read(tmp_path)
    assert {item.label for item in dataset.items if item.split == "validation"} == {None}
    assert "rows of phase2.csv whose subject and label do not fit: 2 (1.bmp, 2.bmp)" in dataset.problems


def test_an_image_in_two_parts_of_the_split_is_told(tmp_path):
    made.bccd(tmp_path)
    made.text(tmp_path / "BCCD" / "ImageSets" / "Main" / "val.txt", "BloodImage_00000\nBloodImage_00002\n")
    assert "images in two parts of the published split: 1 (BloodImage_00000)" in problems(tmp_path)


def test_damaged_tables_are_told_and_the_images_kept(tmp_path):
    made.all_idb_patches(tmp_path / "patches")
    made.text(next((tmp_path / "patches").rglob("*.csv")), "a,b\n1,2\n")
    dataset = read(tmp_path / "patches")
    assert "no labels and no cells are known" in dataset.problems[0]
    assert {item.label for item in dataset.items} == {None}
    made.voc_folder(tmp_path / "voc")
    made.text(tmp_path / "voc" / "annotations" / "b.xml", "<annotation><object><name>blast</name>")
    dataset = read(tmp_path / "voc")
    assert len(dataset.items) == 2
    assert "annotation files that cannot be read: 1" in dataset.problems[0]
    made.coco_folder(tmp_path / "coco")
    made.text(tmp_path / "coco" / "annotations" / "instances_val2017.json", '{"images": [')
    assert "a COCO file is left out" in problems(tmp_path / "coco")
    made.yolo_folder(tmp_path / "yolo")
    made.text(tmp_path / "yolo" / "classes.txt", "")
    dataset = read(tmp_path / "yolo")
    assert dataset.items[0].classes == ("0", "1")


@pytest.mark.parametrize(
    "hostile", ["../secret.jpg", "/etc/secret.jpg", "..\\secret.jpg", "C:\\secret.jpg", "a/../../secret.jpg", "a\0.jpg"]
)
def test_names_in_coco_files_that_lead_out_are_not_followed(hostile, tmp_path):
    made.picture(tmp_path / "secret.jpg")
    folder = tmp_path / "set"
    made.coco_of_roboflow(folder)
    made.coco(folder / "train" / "_annotations.coco.json", ["train.jpg", hostile], ("WBC",))
    dataset = read(folder)
    assert {item.path for item in dataset.items} == {str(path) for path in folder.rglob("*.jpg")}
    assert any(
        "names in _annotations.coco.json that lead out of the dataset's folder, not followed: 1" in said
        for said in dataset.problems
    )


def test_hostile_rows_of_tables_name_no_file(tmp_path):
    made.picture(tmp_path / "secret.bmp")
    folder = tmp_path / "set"
    made.c_nmc(folder)
    rows = (["Patient_ID", "new_names", "labels"], ["UID_57_29_1_all.bmp", "../../secret.bmp", 1])
    made.table(folder / "phase2.csv", *rows)
    dataset = read(folder)
    assert not any("secret" in item.path for item in dataset.items)
    assert "rows of the preliminary test's table without a picture: 1 (../../secret.bmp)" in dataset.problems


def test_the_same_name_in_two_parts_is_told_apart_by_its_split(tmp_path):
    """Both parts of the made COCO set hold an ``a.jpg``."""
    made.coco_folder(tmp_path)
    train, validation = read(tmp_path).items
    assert ("train2017" in train.path, train.split) == (True, "train")
    assert validation.annotations[0].path.endswith("instances_val2017.json")


def test_what_else_lies_in_the_folder_is_told_and_masks_are_not(tmp_path):
    made.bccd(tmp_path)
    made.picture(tmp_path / "BCCD" / "wbc_nucleus_masks" / "BloodImage_00000.png")
    assert problems(tmp_path) == ""
    made.picture(tmp_path / "BCCD" / "more" / "field.jpg")
    made.text(tmp_path / "BCCD" / "scan.svs", "")
    assert problems(tmp_path) == "pictures, or folders of them, left aside: 2 (scan.svs, more)"


@pytest.mark.parametrize("other", ["slides/a.svs", "photographs/a.jpg", "bccd/images/a.jpg"])
def test_c_nmc_beside_other_pictures_is_not_taken_for_all_of_them(other, tmp_path):
    made.c_nmc(tmp_path / "C-NMC")
    if other.endswith(".svs"):
        made.text(tmp_path / other, "")
    else:
        made.picture(tmp_path / other)
    assert recognise(tmp_path) is None
    assert recognise(tmp_path / "C-NMC") is not None


def test_a_preliminary_test_under_its_first_names_needs_no_table(tmp_path):
    made.c_nmc(tmp_path)
    remove(tmp_path, "phase2.csv")
    for number in (1, 2):
        remove(tmp_path, f"phase2/{number}.bmp")
    made.picture(tmp_path / "phase2" / "UID_57_22_2_all.bmp")
    dataset = read(tmp_path)
    (item,) = (item for item in dataset.items if item.split == "validation")
    assert (item.label, item.group) == ("ALL", "57")
    assert dataset.problems == ()
