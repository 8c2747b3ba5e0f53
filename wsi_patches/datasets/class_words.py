"""One word for each class of cell, whatever a dataset calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["BONE_MARROW_CODES", "LMU_CODES", "class_word"]

OURS: Mapping[str, str] = {
    **dict.fromkeys(("wbc", "wbcs", "white_blood_cell", "white_blood_cells"), "white_cell"),
    **dict.fromkeys(("rbc", "rbcs", "red_blood_cell", "red_blood_cells"), "red_cell"),
    **dict.fromkeys(("platelet", "platelets"), "platelet"),
    "abnormal_promyelocyte": "promyelocyte_abnormal",
    "atypical_lymphocyte": "lymphocyte_atypical",
}

SHARED_CODES = {
    "BAS": "basophil",
    "EBO": "erythroblast",
    "EOS": "eosinophil",
    "KSC": "smudge_cell",
    "MMZ": "metamyelocyte",
    "MON": "monocyte",
    "MYB": "myelocyte",
    "NGB": "neutrophil_band",
    "NGS": "neutrophil_segmented",
    "PMO": "promyelocyte",
}

LMU_CODES: Mapping[str, str] = {
    **SHARED_CODES,
    "LYA": "lymphocyte_atypical",
    "LYT": "lymphocyte_typical",
    "MOB": "monoblast",
    "MYO": "myeloblast",
    "PMB": "promyelocyte_bilobed",
}
"""Folder codes of the LMU blood smears (DOI 10.1038/s42256-019-0101-9)."""

BONE_MARROW_CODES: Mapping[str, str] = {
    **SHARED_CODES,
    "ABE": "eosinophil_abnormal",
    "ART": "artefact",
    "BLA": "blast",
    "FGC": "faggot_cell",
    "HAC": "hairy_cell",
    "LYI": "lymphocyte_immature",
    "LYT": "lymphocyte",
    "NIF": "not_identifiable",
    "OTH": "other_cell",
    "PEB": "proerythroblast",
    "PLM": "plasma_cell",
}
"""Folder codes of the bone marrow cells (DOI 10.1182/blood.2020010568)."""


def class_word(name: str) -> str:
    """Return our word for a class: lower case, words joined by underscores; ``white_cell`` for ``WBC``.

    A class that we have no word of our own for stays what the dataset calls it.
    """
    word = re.sub(r"\W+", "_", name.strip().lower()).strip("_")
    return OURS.get(word, word or name)
