"""Painted smears: seeded images of blood whose cells are known exactly, for tests, demos and teaching a first model."""

from wsi_patches.synthetic.all_idb1 import LARGE_FIELD, SMALL_FIELD, AllIdbField, all_idb1_fields, write_all_idb1
from wsi_patches.synthetic.cell_patches import paint_cell_patches
from wsi_patches.synthetic.kinds import BLAST_KINDS, KINDS, WhiteKind
from wsi_patches.synthetic.patients import PAINTED_DIAGNOSES, PaintedSlide, paint_patients, write_patients
from wsi_patches.synthetic.pyramid import write_slide
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.smear import Smear, paint_smear

__all__ = [
    "BLAST_KINDS",
    "KINDS",
    "LARGE_FIELD",
    "PAINTED_DIAGNOSES",
    "SMALL_FIELD",
    "AllIdbField",
    "PaintedSlide",
    "Smear",
    "SmearSettings",
    "WhiteKind",
    "all_idb1_fields",
    "paint_cell_patches",
    "paint_patients",
    "paint_smear",
    "write_all_idb1",
    "write_patients",
    "write_slide",
]
