"""The kinds of white cells and what tells them apart: size, nucleus, chromatin, cytoplasm, granules.

Amounts are in units of a slide's stains; ranges are drawn from evenly. Nuclei of blasts stain paler than those of
mature cells and blasts come small and large, so that neither colour nor size alone tells a blast: shape and texture do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.synthetic import nuclei
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.shapes import Outline

__all__ = ["BLAST_KINDS", "KINDS", "WhiteKind", "deal_kinds", "draw_kinds", "draw_radius"]

Range = tuple[float, float]


@dataclass(frozen=True)
class WhiteKind:
    """How one kind of white cell looks."""

    share: float
    """Share of its class."""
    diameter: Range
    """Mean and standard deviation, in typical white cell diameters."""
    nucleus: Callable[[np.random.Generator], list[Outline]]
    """Draws the outlines of the nucleus."""
    nucleus_area: Range
    """Share of the cell's area."""
    nucleus_stain: Range
    """Amount of chromatin stain."""
    clumps: Range
    """Contrast of blocks of chromatin, 0..1."""
    stipple: Range
    """Contrast of fine chromatin, 0..1."""
    blue: Range
    """Amount of blue stain in the cytoplasm."""
    pink: Range
    """Amount of pink stain in the cytoplasm."""
    body_roughness: float = 0.03
    nucleoli: tuple[int, int] = (0, 0)
    """Fewest and most nucleoli."""
    vacuoles: float = 0.0
    """Chance of vacuoles."""
    granules: str = ""
    """Which stain the granules take, or none."""
    granule_stain: Range = (0.0, 0.0)
    granule_size: float = 0.1
    """Their spacing in cell radii."""
    granules_hide_nucleus: float = 0.0
    """How much of the nucleus granules lie upon, 0..1."""


KINDS: dict[str, WhiteKind] = {
    "small_blast": WhiteKind(
        share=0.5,
        diameter=(0.86, 0.07),
        nucleus=nuclei.cleft_nucleus,
        nucleus_area=(0.74, 0.88),
        nucleus_stain=(0.75, 1.2),
        clumps=(0.0, 0.06),
        stipple=(0.05, 0.1),
        blue=(0.35, 0.8),
        pink=(0.0, 0.3),
        body_roughness=0.035,
        nucleoli=(1, 2),
        vacuoles=0.06,
    ),
    "large_blast": WhiteKind(
        share=0.5,
        diameter=(1.06, 0.09),
        nucleus=nuclei.cleft_nucleus,
        nucleus_area=(0.64, 0.82),
        nucleus_stain=(0.6, 1.0),
        clumps=(0.0, 0.08),
        stipple=(0.05, 0.1),
        blue=(0.3, 0.75),
        pink=(0.0, 0.3),
        body_roughness=0.05,
        nucleoli=(1, 3),
        vacuoles=0.15,
    ),
    "lymphocyte": WhiteKind(
        share=0.42,
        diameter=(0.84, 0.08),
        nucleus=nuclei.round_nucleus,
        nucleus_area=(0.62, 0.84),
        nucleus_stain=(0.9, 1.4),
        clumps=(0.2, 0.38),
        stipple=(0.0, 0.03),
        blue=(0.2, 0.6),
        pink=(0.0, 0.08),
        body_roughness=0.02,
    ),
    "neutrophil": WhiteKind(
        share=0.34,
        diameter=(1.1, 0.07),
        nucleus=nuclei.lobed_nucleus,
        nucleus_area=(0.36, 0.5),
        nucleus_stain=(0.95, 1.4),
        clumps=(0.15, 0.32),
        stipple=(0.0, 0.03),
        blue=(0.08, 0.24),
        pink=(0.1, 0.34),
        granules="pink",
        granule_stain=(0.1, 0.36),
        granule_size=0.11,
        body_roughness=0.035,
    ),
    "monocyte": WhiteKind(
        share=0.15,
        diameter=(1.22, 0.09),
        nucleus=nuclei.kidney_nucleus,
        nucleus_area=(0.42, 0.56),
        nucleus_stain=(0.65, 1.05),
        clumps=(0.12, 0.28),
        stipple=(0.02, 0.06),
        blue=(0.35, 0.65),
        pink=(0.05, 0.2),
        body_roughness=0.05,
        vacuoles=0.35,
        granules="pink",
        granule_stain=(0.05, 0.2),
        granule_size=0.09,
    ),
    "eosinophil": WhiteKind(
        share=0.06,
        diameter=(1.12, 0.06),
        nucleus=nuclei.two_lobed_nucleus,
        nucleus_area=(0.36, 0.48),
        nucleus_stain=(0.85, 1.25),
        clumps=(0.15, 0.3),
        stipple=(0.0, 0.05),
        blue=(0.05, 0.15),
        pink=(0.3, 0.6),
        granules="orange",
        granule_stain=(0.45, 0.85),
        granule_size=0.16,
        granules_hide_nucleus=0.1,
    ),
    "basophil": WhiteKind(
        share=0.03,
        diameter=(0.98, 0.06),
        nucleus=nuclei.two_lobed_nucleus,
        nucleus_area=(0.45, 0.6),
        nucleus_stain=(0.55, 0.85),
        clumps=(0.1, 0.3),
        stipple=(0.0, 0.05),
        blue=(0.15, 0.35),
        pink=(0.25, 0.5),
        granules="chromatin",
        granule_stain=(0.7, 1.1),
        granule_size=0.22,
        granules_hide_nucleus=0.8,
    ),
}
"""The kinds by name."""

BLAST_KINDS = ("small_blast", "large_blast")
"""The kinds that are blasts; the others are other white cells."""


def draw_kinds(rng: np.random.Generator, blasts: int, others: int) -> NDArray[np.str_]:
    """Return the names of the kinds of so many blasts and others, in an order drawn by chance."""
    other_kinds = [name for name in KINDS if name not in BLAST_KINDS]
    drawn = [_drawn(rng, list(BLAST_KINDS), blasts), _drawn(rng, other_kinds, others)]
    return np.asarray(rng.permutation(np.concatenate(drawn)), np.str_)


def deal_kinds(rng: np.random.Generator, counts: Sequence[tuple[str, int]]) -> NDArray[np.str_]:
    """Return exactly so many names of each kind, in an order drawn by chance.

    Raises
    ------
    UsageError
        There is no such kind, or a count is below 0.
    """
    wrong = [f"{name}: {count}" for name, count in counts if name not in KINDS or count < 0]
    if wrong:
        msg = (
            f"kinds of a painted smear are {', '.join(KINDS)}, each with a count of 0 or more, found {'; '.join(wrong)}"
        )
        raise UsageError(msg)
    names, numbers = [name for name, _ in counts], [count for _, count in counts]
    return np.asarray(rng.permutation(np.repeat(np.array(names, str), numbers)), np.str_)


def _drawn(rng: np.random.Generator, names: list[str], count: int) -> NDArray[np.str_]:
    share = np.array([KINDS[name].share for name in names])
    return np.asarray(rng.choice(names, count, p=share / share.sum()), np.str_)


def draw_radius(kind: str, settings: SmearSettings, index: int) -> float:
    """Return the radius in pixels of the white cell ``index`` of a slide."""
    mean, spread = KINDS[kind].diameter
    rng = np.random.default_rng([settings.seed, 7301, index])
    return settings.cell_diameter_px / 2 * max(float(rng.normal(mean, spread)), 0.6)
