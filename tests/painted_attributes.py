"""Painted fields through two microscopes, laid out as LeukemiaAttri: types, boxes and attributes of each cell."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from wsi_patches.annotations import write_coco
from wsi_patches.cells import Cells
from wsi_patches.geometry import Size
from wsi_patches.synthetic import SmearSettings, paint_smear

SIZE = Size(420, 320)
MPP = 12.0 / 36.0
"""At which the painted cells, 36 px wide, are 12 um wide."""
TYPES = ("lymphoblast", "lymphocyte", "neutrophil", "monocyte", "eosinophil", "basophil")
OF_KIND = {"small_blast": "lymphoblast", "large_blast": "lymphoblast"}
IRREGULAR = ("small_blast", "large_blast", "neutrophil", "monocyte", "eosinophil", "basophil")
ABUNDANT = ("neutrophil", "monocyte", "eosinophil", "basophil")
DOMAINS = ("H_100x_C1", "L_100x_C2")
OTHER_MICROSCOPE = {"blur_px": 1.8, "noise_sigma": 6.0, "lamp_rgb": (205.0, 215.0, 190.0), "stain_strength": 0.65}
"""How the second one differs from the first, on the same smears."""


def attributes_of(kinds, radius_px):
    """Return the attributes of painted cells: those that their kind has, and the size that each was drawn with."""
    blast = np.char.endswith(kinds, "blast")
    return {
        "cell_size": np.where(radius_px > 17.5, "large", "small"),
        "nuclear_chromatin": np.where(blast, "open", "coarse"),
        "nuclear_shape": np.where(np.isin(kinds, IRREGULAR), "irregular", "regular"),
        "nucleus": np.where(blast, "prominent", "inconspicuous"),
        "cytoplasm": np.where(np.isin(kinds, ABUNDANT), "abundant", "scanty"),
    }


def told(cells, *, shuffled=None):
    """Return painted cells with type, box and attributes; ``shuffled`` deals what is told of a field out by chance."""
    kinds, radius = cells.attributes["kind"], np.round(cells.attributes["radius_px"])
    order = np.arange(len(cells)) if shuffled is None else shuffled.permutation(len(cells))
    types = [TYPES.index(OF_KIND.get(kind, kind)) for kind in kinds[order].tolist()]
    said = attributes_of(kinds, cells.attributes["radius_px"])
    edges = {
        "left_px": cells.x - radius,
        "top_px": cells.y - radius,
        "right_px": cells.x + radius,
        "bottom_px": cells.y + radius,
    }
    return Cells.at(cells.xy, TYPES, types, **edges, **{name: column[order] for name, column in said.items()})


def paint_field(seed, domain=0, blasts=5, others=5):
    """Return a field's pixels and painted cells; equal seeds give the same cells through either microscope."""
    settings = SmearSettings.random(seed, cell_diameter_px=36.0, blasts=blasts, others=others, touching=0.0)
    return paint_smear(SIZE, replace(settings, **(OTHER_MICROSCOPE if domain else {})))


def write_leukemia_attri(
    folder, count=8, domains=DOMAINS, seed=900, *, shuffled=False, marked=lambda cells, rng: cells
):
    """Write so many smears through each microscope; ``marked`` says which cells, or further marks, a file gets."""
    for number, domain in enumerate(domains):
        rng, images = np.random.default_rng(seed), []
        (Path(folder) / domain / "Images" / "train").mkdir(parents=True)
        for smear in range(count):
            pixels, cells = paint_field(seed + smear, DOMAINS.index(domain))
            name = f"{smear}_1_1000_ALL.png"
            assert cv2.imwrite(str(Path(folder) / domain / "Images" / "train" / name), pixels[..., ::-1])
            images.append((name, SIZE, marked(told(cells, shuffled=rng if shuffled else None), rng)))
        (Path(folder) / domain / "Annotations").mkdir()
        names = list(attributes_of(np.empty(0, str), np.empty(0)))
        write_coco(Path(folder) / domain / "Annotations" / "train.json", images, names)
        assert number < len(DOMAINS)
    return folder
