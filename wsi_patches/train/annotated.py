"""Annotated slides into one patch for each marked cell, blast or other, or of a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import BOX_COLUMNS, boxes_of, classes_in, in_class_order, read_annotations, rename_classes
from wsi_patches.annotations.words import NOT_WHITE_CELLS, blast_or_other, our_class
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL, Cells
from wsi_patches.counting import CellFinder, find_cells
from wsi_patches.counting.centred import PatchScale, centred_patch, diameter_of, patch_side
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import AnnotationError, SlideError, UsageError
from wsi_patches.slide import Slide
from wsi_patches.slides import open_slide
from wsi_patches.train.features import Progress
from wsi_patches.train.patch_set import CellMark, PatchSet, PatchWriter, patch_side_px

__all__ = ["CellCut", "cell_class", "cell_patches"]


@dataclass(frozen=True)
class CellCut:
    """How patches are cut around marked cells."""

    scale: PatchScale
    """How much of a slide a patch shows."""
    input_px: int
    """Side of what the network will see, pixels."""
    margin: float
    """Side of what is kept, in sides of what the network will see: augmentation turns and shifts within it."""
    finder: CellFinder[Any]
    """Measures the cells of slides on which they are marked as points."""
    classes: Mapping[str, str | None]
    """What an annotated class is, where its name does not say: blast, other, or None to leave it out."""
    slide_mpp: float | None = None
    """Level-0 pixel size in um, where the files do not state it."""
    types: tuple[str, ...] = ()
    """The types that cells are told apart by, others being left out; blast and other if empty."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the patches' classes are called."""
        return self.types or ALL_IDB_CLASSES

    def class_of(self, name: str) -> str | None:
        """Return what a marked cell is learnt as; None where it is left out. Errors are those of `cell_class`."""
        if not self.types:
            return cell_class(name, self.classes)
        return our_class(name) if our_class(name) in self.types else None


def cell_patches(items: Sequence[SlideItem], cut: CellCut, folder: Path, progress: Progress | None = None) -> PatchSet:
    """Cut one centred patch for each marked blast or other white cell, or for each cell of the types that are asked.

    Parameters
    ----------
    items
        Slides, those with annotations being used.
    cut
        How patches are cut.
    folder
        Gets the pixels, in a file without a name.
    progress
        Told how many slides are done, and of how many.

    Returns
    -------
    PatchSet
        Patches slide by slide, in the order of the annotations; a slide that cannot be read is named there.

    Raises
    ------
    UsageError
        No slide is annotated, a class is neither blast nor other nor known to be neither, or one of the two is absent.
    """
    annotated = [item for item in items if item.annotations]
    if not annotated:
        msg = f"none of {len(items)} slides is annotated: give a dataset with marked cells, or --annotations DIR"
        raise UsageError(msg)
    if not cut.types:
        _check_words(annotated, cut.classes)
    stated_mpp: list[float] = []
    untold = 0
    with PatchWriter(folder, patch_side_px(cut.input_px, cut.margin)) as writer:
        for row, item in enumerate(annotated):
            with writer.slide(item.path), open_slide(item.path, mpp=cut.slide_mpp) as slide:
                untold += _add_cells(writer, row, item, slide, cut)
                stated_mpp += [slide.info.mpp] if slide.info.mpp is not None else []
            if progress is not None:
                progress(row + 1, len(annotated))
        if untold:
            writer.left_out.append(f"{untold} cells are marked as white cells alone, neither blast nor other: left out")
        without = len(items) - len(annotated)
        if without:
            writer.left_out.append(f"{without} of {len(items)} slides have no annotations and were left out")
        return writer.finished(cut.class_names, annotated, stated_mpp)


def cell_class(name: str, classes: Mapping[str, str | None]) -> str | None:
    """Return what a marked cell is for training: blast, other, or None where nothing is learnt from it.

    Parameters
    ----------
    name
        As the annotations have it.
    classes
        What the user says of some classes, by this name or by our word for it.

    Raises
    ------
    UsageError
        Neither the user nor the name says what it is.
    """
    word = our_class(name)
    if name in classes or word in classes:
        return classes.get(name, classes.get(word))
    if word in NOT_WHITE_CELLS or word == WHITE_CELL:
        return None
    known = blast_or_other(word)
    if known is not None:
        return known
    msg = (
        f"the annotations have cells of class {name!r}, which may or may not be blasts: say in the recipe, such as "
        f"`classes: {{{name}: other}}` (blast, other, or null to leave them out)"
    )
    raise UsageError(msg)


def _add_cells(writer: PatchWriter, row: int, item: SlideItem, slide: Slide, cut: CellCut) -> int:
    """Add the cells of one slide; return how many were marked that are neither blast nor other."""
    marked = read_annotations(item.annotations, None, slide.info.size)
    known = rename_classes(marked, cut.class_of)
    cells = in_class_order(known, cut.class_names, Path(item.annotations[0].path))
    if len(cells):
        side = patch_side(slide, cut.scale, _diameter(slide, cells, cut))
        widened = side * writer.side_px / cut.input_px
        for x, y, truth in zip(cells.x.tolist(), cells.y.tolist(), cells.class_index.tolist(), strict=True):
            writer.add(CellMark(row, truth, x, y), centred_patch(slide, x, y, widened, writer.side_px))
    return sum(marked.count(name) for name in marked.class_names if _is_untold(name, cut))


def _is_untold(name: str, cut: CellCut) -> bool:
    return our_class(name) == WHITE_CELL and cut.class_of(name) is None


def _diameter(slide: Slide, cells: Cells, cut: CellCut) -> float:
    """Return the typical diameter of a white cell: as marked, or measured by the finder; 0 where um are enough."""
    if cut.scale.patch_um is not None and slide.info.mpp is not None:
        return 0.0
    diameter_px = _marked_diameter(cells) or diameter_of(find_cells(slide, cut.finder))
    if not diameter_px:
        msg = (
            "its cells are marked as points, its resolution is not stated, and no white cell was found to measure: "
            "mark outlines or boxes, or state the resolution with --slide-mpp"
        )
        raise SlideError(msg)
    return diameter_px


def _marked_diameter(cells: Cells) -> float:
    """Return the typical diameter that outlines or boxes say, level-0 pixels; 0 where cells are points."""
    if not diameter_of(cells) and all(name in cells.attributes for name in BOX_COLUMNS):
        left, top, right, bottom = boxes_of(cells).T
        sides: NDArray[np.float64] = np.sqrt((right - left + 1) * (bottom - top + 1))
        return float(np.median(sides))
    return diameter_of(cells)


def _check_words(items: Sequence[SlideItem], classes: Mapping[str, str | None]) -> None:
    """Refuse classes that nobody explains before a slide is opened; an unreadable file fails its slide later."""
    wrong = sorted({str(said) for said in classes.values()} - {*ALL_IDB_CLASSES, "None"})
    if wrong:
        msg = f"classes: an annotated class is blast, other or null (left out), found {', '.join(wrong)}"
        raise UsageError(msg)
    for item in items:
        for file in item.annotations:
            try:
                names = classes_in(file)
            except AnnotationError:
                continue
            for name in names:
                cell_class(name, classes)
