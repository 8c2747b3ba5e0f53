"""Published sets of single cells in class folders: what each calls its classes, files and splits.

Sources: LMU, DOI 10.1038/s42256-019-0101-9; AML of MLL and Helmholtz, DOI 10.1371/journal.pdig.0000187; bone marrow,
DOI 10.1182/blood.2020010568; PBC, DOI 10.1016/j.dib.2020.105474; Raabin-WBC, DOI 10.1038/s41598-021-04426-x.
"""

from __future__ import annotations

import re

from wsi_patches.datasets.class_folders import Attributes, ClassFolders
from wsi_patches.datasets.class_words import BONE_MARROW_CODES, LMU_CODES

__all__ = ["AML_LMU", "AML_MLL", "BONE_MARROW", "MLL23", "PBC", "RAABIN"]

ANY_PICTURE = re.compile(r".*\.(jpe?g|png|bmp|tiff?)$", re.IGNORECASE)
ANY_TIFF = re.compile(r".*\.tiff?$", re.IGNORECASE)


def _coded(code: str, name: re.Match[str]) -> Attributes | None:
    """Return the code that both the folder and the picture bear."""
    return (("code", code.upper()),) if name["code"].lower() == code.lower() else None


AML_LMU = ClassFolders(
    "aml-lmu",
    "AML-Cytomorphology_LMU: single leukocytes of patients with and without AML (Matek and others, 2019)",
    "believed CC BY 3.0 (TCIA), check before use",
    LMU_CODES,
    re.compile(r"(?P<code>[A-Z]{3})_\d{4}\.tiff?$", re.IGNORECASE),
    _coded,
).layout()

BONE_MARROW = ClassFolders(
    "bone-marrow",
    "Bone-Marrow-Cytomorphology: single cells of bone marrow (Matek and others, MLL, Helmholtz, Fraunhofer, 2021)",
    "CC BY 4.0 (TCIA)",
    BONE_MARROW_CODES,
    re.compile(r"(?P<code>[A-Z]{3})_\d{5}\.jpe?g$", re.IGNORECASE),
    _coded,
).layout()

SUBTYPES = {
    "BA": ("basophil", "basophil"),
    "EO": ("eosinophil", "eosinophil"),
    "ERB": ("erythroblast", "erythroblast"),
    "IG": ("ig", "immature_granulocyte"),
    "MY": ("ig", "myelocyte"),
    "MMY": ("ig", "metamyelocyte"),
    "PMY": ("ig", "promyelocyte"),
    "LY": ("lymphocyte", "lymphocyte"),
    "MO": ("monocyte", "monocyte"),
    "NEUTROPHIL": ("neutrophil", "neutrophil"),
    "BNE": ("neutrophil", "neutrophil_band"),
    "SNE": ("neutrophil", "neutrophil_segmented"),
    "PLATELET": ("platelet", "platelet"),
}
"""Prefix of a picture's name -> its class folder, and the subtype that it tells."""


def _subtype(code: str, name: re.Match[str]) -> Attributes | None:
    folder, subtype = SUBTYPES[name["prefix"].upper()]
    return (("code", name["prefix"].upper()), ("subtype", subtype)) if folder == code.lower() else None


PBC = ClassFolders(
    "pbc",
    "PBC: single normal peripheral blood cells (Acevedo and others, Barcelona, 2020)",
    "CC BY 4.0",
    {folder: "immature_granulocyte" if folder == "ig" else folder for folder, _ in SUBTYPES.values()},
    re.compile(rf"(?P<prefix>{'|'.join(SUBTYPES)})_\d+\.jpe?g$", re.IGNORECASE),
    _subtype,
).layout()

MLL23_CLASSES = (
    "basophil",
    "eosinophil",
    "hairy_cell",
    "lymphocyte",
    "lymphocyte_large_granular",
    "lymphocyte_neoplastic",
    "lymphocyte_reactive",
    "metamyelocyte",
    "monocyte",
    "myeloblast",
    "myelocyte",
    "neutrophil_band",
    "neutrophil_segmented",
    "normoblast",
    "plasma_cell",
    "promyelocyte",
    "promyelocyte_atypical",
    "smudge_cell",
)

MLL23 = ClassFolders(
    "mll23",
    "MLL23: single leukocytes of 18 classes (Munich Leukemia Laboratory and Helmholtz Munich, Zenodo)",
    "licence not read (Zenodo), check before use",
    {name: name for name in MLL23_CLASSES},
    ANY_TIFF,
    # Its other folders bear words that any set of blood cells may use.
    own=frozenset(name for name in MLL23_CLASSES if "_" in name),
).layout()

RAABIN_CLASSES = ("basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil")

RAABIN = ClassFolders(
    "raabin-wbc",
    "Raabin-WBC: single white cells, two microscopes (Kouzehkanan and others, 2022)",
    "believed free for non-commercial use, check before use",
    {name: name for name in RAABIN_CLASSES},
    ANY_PICTURE,
    # Two of them must be there: "train" alone would take any folder of train/CLASS.
    parts={"train": "train", "testa": "test", "testb": "test", "test-a": "test", "test-b": "test"},
).layout()

AML_MLL = ClassFolders(
    "aml-mll",
    "AML-Cytomorphology_MLL_Helmholtz: single leukocytes of patients with AML and of controls (Hehr and others, 2023)",
    "believed CC BY 4.0 (TCIA), check before use",
    {name: name for name in ("control", "CBFB_MYH11", "NPM1", "PML_RARA", "RUNX1_RUNX1T1")},
    ANY_PICTURE,  # copies that others have put up are JPEG or PNG
    own=frozenset({"control", "cbfb_myh11", "npm1", "pml_rara", "runx1_runx1t1"}),
    patients=True,
    note="the label is the patient's, not the cell's: a patient with leukemia has healthy cells too",
).layout()
