"""Cells of many types: annotated slides into a classifier that keeps the types, and knows which of them are blasts.

After the second step of Hoefener and others (arXiv 2509.15895), who tell 33 classes of cells of bone marrow apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from wsi_patches.annotations import read_annotations
from wsi_patches.annotations.words import NOT_WHITE_CELLS, blast_or_other, our_class
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.counting import CellFinder
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.geometry import Size
from wsi_patches.train.blasts import LIMITS, BlastSettings, patches_of
from wsi_patches.train.classifier import Progress
from wsi_patches.train.classifier_network import CardWords
from wsi_patches.train.patch_set import PatchSet

__all__ = ["TypeSettings", "blasts_of", "cut_types"]

BLAST, OTHER = ALL_IDB_CLASSES
NO_TYPES = frozenset({WHITE_CELL, "none", "ignore", "red_cell", "platelet"})
"""Classes that nothing is learnt from unless the recipe names them: no type, or nothing that a finder of white cells
finds."""
LEAST_SLIDES = 3
"""A type that fewer slides show cannot be in all of training, validation and test."""
UNITY = Size(1, 1)
"""Counting marks needs no image's size."""


@dataclass(frozen=True, kw_only=True)
class TypeSettings(BlastSettings):
    """What a classifier of types of cells is, and how it is trained; ``classes`` says which types are blasts.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    task: Literal["cell_types"] = "cell_types"  # type: ignore[assignment] # another task of the same settings
    """What the recipe trains."""
    name: str = "cell-types"
    least_cells: int = 20
    """Types of fewer marked cells are left out, and named."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_cells < 1:
            msg = f"least_cells is a count of 1 or more, found {self.least_cells}"
            raise UsageError(msg)


def cut_types(
    settings: TypeSettings,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    finder: CellFinder[Any] | None = None,
) -> tuple[PatchSet, CardWords]:
    """Cut one patch for each marked cell of a type.

    Parameters are those of `train_blasts`.

    Returns
    -------
    The patches, and what they let the model's card say.

    Raises
    ------
    UsageError
        Nothing is annotated, it is not known whether a type is a blast, or fewer than two types can be learnt.
    """
    types, rare = _types(settings, items)
    blasts = blasts_of(types, settings)
    patches = patches_of(settings, items, folder, progress, types=types, finder=finder)
    patches = replace(patches, left_out=(*patches.left_out, *rare))
    patch_um = settings.patch_um if patches.mpp is not None else None
    title = f"{len(types)} types of cells, {len(blasts)} of them blasts, trained on annotated slides"
    return patches, CardWords(title, LIMITS, patch_um, settings.patch_cell_diameters, blasts=blasts)


def blasts_of(types: Sequence[str], settings: TypeSettings) -> tuple[str, ...]:
    """Return which types are blasts: as the recipe says, or as their names do.

    Raises
    ------
    UsageError
        Neither says it of one of them, or none is a blast.
    """
    said = {our_class(name): what for name, what in settings.classes.items()}
    wrong = sorted({str(what) for what in said.values()} - {*ALL_IDB_CLASSES, "None"})
    if wrong:
        msg = f"classes: a type is blast, other or null (left out), found {', '.join(wrong)}"
        raise UsageError(msg)
    known = {name: said.get(name) or blast_or_other(name) or _no_white_cell(name) for name in types}
    doubtful = [name for name, what in known.items() if what is None]
    if doubtful:
        msg = (
            f"the annotations have cells of {', '.join(doubtful)}, which may or may not be blasts: say in the recipe, "
            f"such as `classes: {{{doubtful[0]}: other}}` (blast, other, or null to leave them out)"
        )
        raise UsageError(msg)
    if BLAST not in known.values():
        msg = (
            f"none of the types {', '.join(types)} is a blast: say in the recipe which are, such as `classes: {{...}}`"
        )
        raise UsageError(msg)
    return tuple(name for name, what in known.items() if what == BLAST)


def _no_white_cell(name: str) -> str | None:
    return OTHER if name in NOT_WHITE_CELLS else None


def _types(settings: TypeSettings, items: Sequence[SlideItem]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the types that can be learnt, in alphabetical order, and a sentence on those that cannot."""
    said = {our_class(name): what for name, what in settings.classes.items()}
    cells, slides = dict[str, int](), dict[str, int]()
    for item in items:
        for name, count in _marked(item).items():
            if said.get(name, "" if name not in NO_TYPES else None) is not None:
                cells[name], slides[name] = cells.get(name, 0) + count, slides.get(name, 0) + 1
    types = [name for name in sorted(cells) if cells[name] >= settings.least_cells and slides[name] >= LEAST_SLIDES]
    if len(types) < 2:
        found = ", ".join(f"{cells[name]} {name} on {slides[name]} slides" for name in sorted(cells)) or "none"
        msg = (
            f"types of {settings.least_cells} marked cells or more, on {LEAST_SLIDES} slides or more, are learnt, and "
            f"two of them are needed; found {found}. Mark more cells, or set least_cells in the recipe"
        )
        raise UsageError(msg)
    rare = ", ".join(f"{cells[name]} {name}" for name in sorted(cells) if name not in types)
    return tuple(types), (f"too few cells or slides to learn from, and left out: {rare}",) if rare else ()


def _marked(item: SlideItem) -> dict[str, int]:
    """Return how many cells of each class are marked on a slide; a file that cannot be read fails its slide later."""
    try:
        marked = read_annotations(item.annotations, None, UNITY)
    except AnnotationError:
        return {}
    counts: dict[str, int] = {}
    for name in marked.class_names:
        counts[our_class(name)] = counts.get(our_class(name), 0) + marked.count(name)
    return {name: count for name, count in counts.items() if count}
