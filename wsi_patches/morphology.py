"""The morphology of a white cell in named attributes, such as hematologists mark it cell by cell.

The seven are those of LeukemiaAttri and the Large Leukemia Dataset (Rehman and others, MICCAI 2024, arXiv 2405.10803;
arXiv 2504.02602). What the numbers in their files mean is not documented there: a recipe says it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SEVEN", "Attribute"]


@dataclass(frozen=True)
class Attribute:
    """One thing that is said of each cell."""

    name: str
    """Also the name of its column: ``nuclear_shape``."""
    values: tuple[str, ...]
    """What it may be, in the order of the numbers 0, 1, ...; a number outside of it says that it is not known."""


SEVEN = (
    Attribute("cell_size", ("small", "large")),
    Attribute("nuclear_chromatin", ("open", "coarse")),
    Attribute("nuclear_shape", ("regular", "irregular")),
    Attribute("nucleus", ("inconspicuous", "prominent")),
    Attribute("cytoplasm", ("scanty", "abundant")),
    Attribute("cytoplasmic_basophilia", ("slight", "moderate")),
    Attribute("cytoplasmic_vacuoles", ("absent", "prominent")),
)
"""Of leukemic cells; ``nucleus`` says how well nucleoli are seen."""
