"""What people call the classes of cells, and what they are called here."""

from __future__ import annotations

from wsi_patches.cells import WHITE_CELL

__all__ = ["BLAST_CLASSES", "NOT_WHITE_CELLS", "our_class"]

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
    "artifact": "artefact",
    "ignore*": "ignore",
}
BLAST_CLASSES = frozenset({"blast", "lymphoblast", "myeloblast", "monoblast", "all", "aml"})
"""Classes of cells that are blasts. An erythroblast or normoblast is none: it is a young red cell."""
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
        "ignore",
    }
)
"""Classes that white cells are not counted by."""


def our_class(name: str) -> str:
    """Return a class's name in small letters, blanks and hyphens as ``_``, by our word where there is one."""
    word = name.strip().lower().replace(" ", "_").replace("-", "_")
    return WORDS.get(word, word)
