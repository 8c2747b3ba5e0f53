"""Made folders of the exact layout of published datasets, with pictures of a few pixels."""

import csv
import json
from pathlib import Path

from PIL import Image

VOC = """<annotation><folder>x</folder><filename>{stem}.jpg</filename>
<size><width>640</width><height>480</height><depth>3</depth></size>
{objects}</annotation>"""
VOC_OBJECT = """<object><name>{name}</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
</object>"""


def picture(path, size=(8, 8)):
    """Write one small picture in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 180, 190)).save(path)
    return path


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def voc(path, *names):
    objects = "".join(VOC_OBJECT.format(name=name) for name in names)
    text(path, VOC.format(stem=Path(path).stem, objects=objects))


def coco(path, files, categories, boxes=((0, 0, [10, 20, 20, 20]),), **further):
    """Write a COCO file; boxes are (image's number, category's number, box)."""
    content = {
        "images": [{"id": number, "file_name": name, "width": 640, "height": 480} for number, name in enumerate(files)],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": box, **further}
            for number, (image, category, box) in enumerate(boxes)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories)],
    }
    text(path, json.dumps(content))


def all_idb1(folder):
    for name in ("Im001_1", "Im034_0"):
        picture(folder / "im" / f"{name}.jpg")
        text(folder / "other" / f"{name}.xyc", "3 4\n")
    text(folder / "xyc" / "Im001_1.xyc", "5\t6\n")


def all_idb2(folder):
    for name in ("Im001_1", "Im130_1", "Im131_0"):
        picture(folder / "img" / f"{name}.tif")


def all_idb_patches(folder):
    patches = folder / "patches_256_overlap_0.25_toll_5"
    for image, last in (("Im001_1", 3), ("Im034_0", 1)):
        for number in range(1, last + 1):
            picture(patches / f"{image}_patch_{number}.tif")
    text(patches / "info" / "Im001_1_patch_1.mat", "")
    table(
        patches / "ALL_IDB1_patches_256_overlap_0.25_toll_5.csv",
        [
            "Filename",
            "White blood cell probable ALL lymphoblast",
            "Other cases",
            "Centroids blasts",
            "Centroids other cases",
        ],
        ["Im001_1_patch_1.tif", 1, 0, "3   4", "N/A"],
        ["Im001_1_patch_2.tif", 1, 1, "219   76    5  120", "222    1"],
        ["Im001_1_patch_3.tif", 0, 0, "N/A", "N/A"],
        ["Im034_0_patch_1.tif", 0, 1, "N/A", "1  2"],
    )


def c_nmc(folder):
    for number in range(3):
        picture(folder / f"fold_{number}" / "all" / f"UID_{number + 1}_29_1_all.bmp")
        picture(folder / f"fold_{number}" / "hem" / f"UID_H{number + 1}_35_1_hem.bmp")
    for number in (1, 2):
        picture(folder / "phase2" / f"{number}.bmp")
        picture(folder / "phase3" / f"{number}.bmp")
    rows = (["UID_57_29_1_all.bmp", "1.bmp", 1], ["UID_H49_35_1_hem.bmp", "2.bmp", 0])
    table(folder / "phase2.csv", ["Patient_ID", "new_names", "labels"], *rows)


def c_nmc_of_kaggle(folder):
    inner = folder / "C-NMC_Leukemia"
    picture(inner / "training_data" / "fold_0" / "all" / "UID_1_1_1_all.bmp")
    picture(inner / "training_data" / "fold_0" / "hem" / "UID_H1_1_1_hem.bmp")
    name = "C-NMC_test_prelim_phase_data"
    picture(inner / "validation_data" / name / "1.bmp")
    rows = (["Patient_ID", "new_names", "labels"], ["UID_57_29_1_all.bmp", "1.bmp", 1])
    table(inner / "validation_data" / f"{name}_labels.csv", *rows)
    picture(inner / "testing_data" / "C-NMC_test_final_phase_data" / "1.bmp")


def aml_lmu(folder):
    for code in ("BAS", "LYA", "MYO", "NGS"):
        for number in (1, 2):
            picture(folder / code / f"{code}_{number:04d}.tiff")
    text(folder / "annotations.dat", "BAS/BAS_0001.tiff BAS\n")


def aml_mll(folder):
    for label, patient in (("control", "AEC"), ("NPM1", "BXS"), ("PML_RARA", "CDA")):
        for number in (0, 1):
            picture(folder / "data" / label / patient / f"image_{number}.tif")
    text(folder / "metadata.csv", "patient_id\n")


def patient_folders(folder):
    for label, patient in (("healthy", "P1"), ("healthy", "P2"), ("ALL", "P3"), ("CLL", "P4")):
        for number in (0, 1):
            picture(folder / label / patient / f"cell_{number}.png")


def bone_marrow(folder):
    picture(folder / "ABE" / "ABE_00001.jpg")
    picture(folder / "NGS" / "0001-1000" / "NGS_00001.jpg")
    picture(folder / "NGS" / "1001-2000" / "NGS_01001.jpg")
    picture(folder / "PEB" / "0001-1000" / "PEB_00001.jpg")


def mll23(folder):
    for label in ("myeloblast", "neutrophil_segmented", "hairy_cell", "basophil"):
        picture(folder / label / "0001.tif")
    table(folder / "labels_MLL23.csv", ["Labels", "count"], ["myeloblast", 1])


def pbc(folder):
    inner = folder / "PBC_dataset_normal_DIB"
    for label, name in (
        ("basophil", "BA_47.jpg"),
        ("ig", "PMY_12.jpg"),
        ("ig", "MMY_12.jpg"),
        ("neutrophil", "SNE_3.jpg"),
        ("platelet", "PLATELET_8.jpg"),
    ):
        picture(inner / label / name)


def raabin(folder):
    for part in ("Train", "TestA", "TestB"):
        for label in ("Basophil", "Lymphocyte", "Neutrophil"):
            picture(folder / part / label / f"20190527_{part}_{label}.jpg")


def four_classes(folder):
    for label, name in (
        ("Benign", "WBC-Benign-001.jpg"),
        ("Early", "WBC-Malignant-Early-001.jpg"),
        ("Pre", "WBC-Malignant-Pre-001.jpg"),
        ("Pro", "WBC-Malignant-Pro-001.jpg"),
    ):
        picture(folder / "Original" / label / name)
        picture(folder / "Segmented" / label / name)


def white_cell_masks(folder):
    for number in (1, 2):
        picture(folder / "Dataset 1" / f"{number:03d}.bmp")
        mask = Image.new("L", (8, 8))
        mask.paste(255, (2, 2, 6, 6))
        mask.save(folder / "Dataset 1" / f"{number:03d}.png")
    table(folder / "Class Labels of Dataset 1.csv", ["image ID", "class label"], [1, 2], [2, 1])
    picture(folder / "Dataset 1.png")


def bccd(folder):
    inner = folder / "BCCD"
    for number in range(4):
        picture(inner / "JPEGImages" / f"BloodImage_0000{number}.jpg")
        voc(inner / "Annotations" / f"BloodImage_0000{number}.xml", "WBC", "RBC", "Platelets")
    for part, numbers in {"train": (0, 1), "val": (2,), "trainval": (0, 1, 2), "test": (3,)}.items():
        text(inner / "ImageSets" / "Main" / f"{part}.txt", "".join(f"BloodImage_0000{n}\n" for n in numbers))


def leukemia_attri(folder):
    for domain in ("H_100X_C1", "L_40x_C2"):
        for part in ("train", "test"):
            name = f"12_{part}_ALL.png"
            picture(folder / domain / "Images" / part / name)
            categories = ("none", "myeloblast", "abnormal promyelocyte")
            coco(
                folder / domain / "json_labels" / f"{part}.json",
                [name],
                categories,
                ((0, 2, [1, 2, 3, 4]),),
                Nucleus="round",
            )


def leukemia_attri_yolo(folder):
    for part in ("train", "test"):
        picture(folder / "H_100x_C1" / "images" / part / f"{part}.png")
        text(folder / "H_100x_C1" / "labels" / part / f"{part}.txt", "9 0.5 0.5 0.25 0.25 1 0 1 0 1 2\n")


def voc_folder(folder):
    for stem in ("a", "b"):
        picture(folder / "images" / f"{stem}.png")
        voc(folder / "annotations" / f"{stem}.xml", "WBC", "Blast cell")


def coco_folder(folder):
    for part in ("train", "val"):
        picture(folder / "images" / f"{part}2017" / "a.jpg")
        coco(folder / "annotations" / f"instances_{part}2017.json", ["a.jpg"], ("WBC", "RBC"))


def coco_of_roboflow(folder):
    for part in ("train", "valid"):
        picture(folder / part / f"{part}.jpg")
        coco(folder / part / "_annotations.coco.json", [f"{part}.jpg"], ("WBC",))


def yolo_folder(folder):
    for stem in ("a", "b"):
        picture(folder / "images" / f"{stem}.jpg", (40, 20))
        text(folder / "labels_yolo" / f"{stem}.txt", "0 0.5 0.5 0.5 0.5\n1 0.25 0.5 0.1 0.1\n")
    text(folder / "classes.txt", "WBC\nRBC\n")


def yolo_of_roboflow(folder):
    for part in ("train", "valid", "test"):
        picture(folder / part / "images" / f"{part}.jpg")
        text(folder / part / "labels" / f"{part}.txt", "0 0.5 0.5 0.5 0.5\n")
    text(folder / "data.yaml", "names: [Platelets, WBC]\nnc: 2\n")


def yolo_by_split(folder):
    for part in ("train", "val"):
        picture(folder / "images" / part / "a.jpg")
        text(folder / "labels" / part / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    text(folder / "data.yaml", "names: {0: blast}\n")


def image_folder(folder):
    for label in ("blast", "lymphocyte"):
        for number in range(2):
            picture(folder / label / f"{label}{number}.png")


def image_folder_by_split(folder):
    for part in ("train", "val", "test"):
        image_folder(folder / part)


def annotations_only(folder):
    for number in (1, 2):
        text(folder / f"Im00{number}_1.xyc", "3 4\n")
