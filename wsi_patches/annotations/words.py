"""What people call the classes of cells, and what they are called here."""

from __future__ import annotations

from collections.abc import Iterable

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL

__all__ = [
    "ANNOTATED_AREA",
    "BLAST_CLASSES",
    "HEMATOGONE",
    "IGNORE",
    "MATURE_CLASSES",
    "NOT_WHITE_CELLS",
    "blast_or_other",
    "our_class",
    "unclear",
]

BLAST, OTHER = ALL_IDB_CLASSES

IGNORE, ANNOTATED_AREA = "ignore", "annotated_area"
"""Marks of places, not of cells: what nobody knows, and outside of what nobody looked."""
HEMATOGONE = "hematogone"
"""A normal precursor that looks like a lymphoblast: no name says for which of the two a user wants it counted."""
WORDS = {
    "blasts": "blast",
    "probable_blast": "blast",
    "probable_lymphoblast": "blast",
    "others": "other",
    "wbc": WHITE_CELL,
    "white_cells": WHITE_CELL,
    "white_blood_cell": WHITE_CELL,
    "leukocyte": WHITE_CELL,
    "rbc": "red_cell",
    "red_cells": "red_cell",
    "red_blood_cell": "red_cell",
    "erythrocyte": "red_cell",
    "platelets": "platelet",
    "thrombocyte": "platelet",
    "hematogones": HEMATOGONE,
    "haematogone": HEMATOGONE,
    "haematogones": HEMATOGONE,
    "artifact": "artefact",
    "ignore*": IGNORE,
    "region*": ANNOTATED_AREA,
    "annotated_region": ANNOTATED_AREA,
}
BLAST_CLASSES = frozenset({"blast", "lymphoblast", "myeloblast", "monoblast", "all", "aml"})
"""Classes of cells that are blasts. An erythroblast or normoblast is none: it is a young red cell."""
MATURE_CLASSES = frozenset(
    {
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "neutrophil_band",
        "neutrophil_segmented",
        "eosinophil",
        "basophil",
        "plasma_cell",
    }
)
"""White cells that are no blasts, whoever looks at them."""
NOT_WHITE_CELLS = frozenset(
    {
        "red_cell",
        "platelet",
        "giant_platelet",
        "artefact",
        "erythroblast",
        "normoblast",
        "smudge_cell",
        "none",
        IGNORE,
        ANNOTATED_AREA,
    }
)
"""Classes that white cells are not counted by."""


def our_class(name: str) -> str:
    """Return a class's name in small letters, blanks and hyphens as ``_``, by our word where there is one."""
    word = name.strip().lower().replace(" ", "_").replace("-", "_")
    return WORDS.get(word, word)


def blast_or_other(name: str) -> str | None:
    """Return ``blast`` or ``other`` where a class's name says which it is, None where it does not."""
    word = our_class(name)
    if word in BLAST_CLASSES:
        return BLAST
    return OTHER if word in MATURE_CLASSES or word == OTHER else None


def unclear(names: Iterable[str]) -> list[str]:
    """Return the classes that may or may not be blasts, since their names do not say; no white cell is no blast."""
    return [name for name in names if blast_or_other(name) is None and our_class(name) not in NOT_WHITE_CELLS]
