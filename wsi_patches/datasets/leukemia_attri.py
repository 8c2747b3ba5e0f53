"""LeukemiaAttri: fields of leukemic blood with boxes of 14 classes and attributes of each cell, in many domains.

A domain is a microscope, a magnification and a camera, in the name of its folder, ``H_100x_C1``: H and L are the
dearer and the cheaper microscope. Boxes come as COCO files, or as YOLO files with six further columns; what these
are, a file of names beside them may say, as ``export`` writes it. The domains
show the same smears. That file names tell the patient is nowhere documented, so there is no group. Source:
arXiv:2405.10803.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from wsi_patches.annotations.yolo import NAMES_FILES
from wsi_patches.datasets.class_words import class_word
from wsi_patches.datasets.coco_folder import is_coco, read_coco_folder
from wsi_patches.datasets.folders import listing
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.yolo_folder import is_yolo, read_yolo_folder

__all__ = ["LEUKEMIA_ATTRI"]

DOMAIN = re.compile(r"^(?P<microscope>[HL])_(?P<magnification>\d+)x_(?P<camera>C\d)$", re.IGNORECASE)
NAMES = (
    "None",
    "Myeloblast",
    "Lymphoblast",
    "Neutrophil",
    "Atypical lymphocyte",
    "Promonocyte",
    "Monoblast",
    "Lymphocyte",
    "Myelocyte",
    "Abnormal promyelocyte",
    "Monocyte",
    "Metamyelocyte",
    "Eosinophil",
    "Basophil",
)
"""In the order of the YOLO files' numbers, where no file beside them says otherwise."""
CLASSES = tuple(class_word(name) for name in NAMES)
MICROSCOPES = {"H": "high-cost", "L": "low-cost"}
NOTE = "the domains show the same smears through other microscopes and cameras: split all of them alike"


def _domains(folder: Path) -> list[Path]:
    """Return the folders of domains: this one, or those in it."""
    if DOMAIN.match(folder.absolute().name):
        return [folder]
    return [folder / name for name in listing(folder).folders if DOMAIN.match(name)]


def _recognise(folder: Path) -> bool:
    return any(is_coco(domain) or is_yolo(domain) for domain in _domains(folder))


def _read(folder: Path) -> Dataset:
    domains = _domains(folder)
    items, problems = list[SlideItem](), [NOTE] if len(domains) > 1 else []
    for domain in domains:
        if is_coco(domain):
            dataset = read_coco_folder(domain, LEUKEMIA_ATTRI)
        elif is_yolo(domain):
            stated = any(name.lower() in NAMES_FILES for name in listing(domain).files)
            dataset = read_yolo_folder(domain, LEUKEMIA_ATTRI, None if stated else dict(enumerate(NAMES)))
        else:
            problems.append(f"{domain.name} has neither COCO nor YOLO files beside images: it is left out")
            continue
        items += [_of_domain(item, domain.absolute().name) for item in dataset.items]
        problems += [f"{domain.name}: {problem}" for problem in dataset.problems]
    return Dataset(tuple(items), tuple(problems))


def _of_domain(item: SlideItem, domain: str) -> SlideItem:
    match = DOMAIN.match(domain)
    told = {"domain": domain}
    if match:
        told["microscope"] = MICROSCOPES[match["microscope"].upper()]
        told["magnification"] = match["magnification"]
        told["camera"] = match["camera"].upper()
    classes = tuple(dict.fromkeys((*CLASSES, *item.classes)))
    return replace(item, classes=classes, attributes=(*told.items(), *item.attributes))


LEUKEMIA_ATTRI = Layout(
    "leukemia-attri",
    "LeukemiaAttri: fields of leukemic blood, boxes of 14 classes with attributes (Rehman and others, 2024)",
    "slide",
    "licence not read, check before use",
    _recognise,
    _read,
)
