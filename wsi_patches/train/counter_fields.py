"""Fields to train a counter on: photographs in which every white cell is marked, at one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import in_class_order, read_annotations, rename_classes
from wsi_patches.annotations.regions import Regions
from wsi_patches.annotations.words import NOT_WHITE_CELLS, our_class
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL, Cells
from wsi_patches.counting import CellFinder
from wsi_patches.counting.scale import red_cell_px
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import AnnotationError, SlideError, UsageError
from wsi_patches.geometry import Box
from wsi_patches.models.cell_finder import RED_CELL_UM
from wsi_patches.models.cell_scale import WHITE_OVER_RED, resized
from wsi_patches.slide import Slide
from wsi_patches.slides import open_slide
from wsi_patches.train.annotated import cell_class
from wsi_patches.train.features import Progress
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX, FinderField
from wsi_patches.train.finder_targets import FieldCells

__all__ = [
    "CountedField",
    "CountedFields",
    "Counts",
    "FieldDetails",
    "FieldReader",
    "FieldReading",
    "counted_classes",
    "counted_fields",
    "held_field",
]

Counts = Literal["blasts", "white_cells"]
"""What is counted: blasts and other white cells, or all white cells as one."""
LARGEST_PX = 8192
"""Longest side of a field that is held: beyond it lies a whole slide, of which nobody has marked every cell."""
ALL_KNOWN = np.ones(3, np.float32)


@dataclass(frozen=True)
class FieldReading:
    """How fields and their marks are read."""

    counts: Counts
    classes: Mapping[str, str | None]
    """What an annotated class is, where its name does not say: blast, other, or None to leave it out."""
    finder: CellFinder[Any]
    """Measures the cells of fields that do not state their resolution."""
    slide_mpp: float | None = None
    """Level-0 pixel size in um, where the files do not state it."""

    def read(self, slide: Slide, item: SlideItem, row: int) -> CountedField:
        """Return a field, ``row`` being that of its slide among those that are read.

        Raises
        ------
        SlideError, AnnotationError
            The field cannot be learnt from.
        """
        return held_field(slide, _marked(slide, item, self), row, self.finder)


class FieldReader(Protocol):
    """How fields and their marks are read."""

    @property
    def slide_mpp(self) -> float | None:
        """Level-0 pixel size in um, where the files do not state it."""

    def read(self, slide: Slide, item: SlideItem, row: int) -> CountedField:
        """Return a field, ``row`` being that of its slide among those that are read."""


@dataclass(frozen=True)
class FieldDetails:
    """What is known of a field beside its cells, in the pixels of the held image."""

    attributes: NDArray[np.int64]
    """Value of each attribute of each cell, -1 where it is not known, ``(n, attributes)``."""
    regions: Regions
    """Where nothing is known."""
    outside: int = 0
    """Marked cells whose middles lie outside of the image: they are left out."""


@dataclass(frozen=True)
class CountedField:
    """One field to cut crops from, and all its white cells."""

    field: FinderField
    """Its cells are white cells, whatever their class."""
    class_index: NDArray[np.int64]
    """Of each cell, into `counted_classes`, ``(n,)``."""
    slide: int
    """Row in the slides that were read."""
    red_cell_px: float
    """Diameter of a red cell in the slide's level-0 pixels."""
    details: FieldDetails | None = None
    """Where more is told than classes, or less is known than all."""


@dataclass(frozen=True)
class CountedFields:
    """The fields of some slides; their pixels lie in a file, so that memory stays flat."""

    fields: tuple[CountedField, ...]
    slides: tuple[SlideItem, ...]
    """The annotated ones, also where nothing could be had of them."""
    left_out: tuple[str, ...] = ()
    """Sentences: slides that could not be read or learnt from."""


def counted_classes(counts: Counts) -> tuple[str, ...]:
    """Return the classes that a counter counts, in the order of its densities."""
    return ALL_IDB_CLASSES if counts == "blasts" else (WHITE_CELL,)


def counted_fields(
    items: Sequence[SlideItem], reading: FieldReader, folder: Path, progress: Progress | None = None
) -> CountedFields:
    """Read annotated fields, each as large as training needs it.

    Parameters
    ----------
    items
        Slides, those with annotations being used; every white cell of a field must be marked.
    reading
        What is counted, and what the marks mean.
    folder
        Gets the pixels, in a file without a name; made if absent.
    progress
        Told how many slides are done, and of how many.

    Raises
    ------
    UsageError
        No slide is annotated or can be used, or an annotated class is unclear.
    """
    annotated = [item for item in items if item.annotations]
    if not annotated:
        msg = f"none of {len(items)} slides is annotated: give a dataset with marked cells, or --annotations DIR"
        raise UsageError(msg)
    fields: list[CountedField] = []
    left_out: list[str] = []
    with _Pictures(folder) as pictures:
        for row, item in enumerate(annotated):
            try:
                with open_slide(item.path, mpp=reading.slide_mpp) as slide:
                    fields.append(pictures.taken_from(reading.read(slide, item, row)))
            except (SlideError, AnnotationError) as error:
                left_out.append(f"{item.path} was left out: {error}")
            if progress is not None:
                progress(row + 1, len(annotated))
        if not fields:
            msg = "a counter learns from fields in which every white cell is marked, found none: "
            raise UsageError(msg + "; ".join(left_out[:3]))
        fields = pictures.given_back(fields)
    without = len(items) - len(annotated)
    if without:
        left_out.append(f"{without} of {len(items)} slides have no annotations and were left out")
    return CountedFields(tuple(fields), tuple(annotated), tuple(left_out))


class _Pictures:
    """The pixels of fields, in one file without a name."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._shapes: list[tuple[int, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._file.close()

    def taken_from(self, field: CountedField) -> CountedField:
        """Write a field's pixels, and return it without them."""
        image = field.field.image
        self._file.write(np.ascontiguousarray(image).data)
        self._shapes.append(image.shape)
        return replace(field, field=replace(field.field, image=image[:0, :0]))

    def given_back(self, fields: Sequence[CountedField]) -> list[CountedField]:
        """Return the fields, in the order in which they were taken from, with their pixels in the file."""
        self._file.flush()
        parts = np.split(np.memmap(self._file, np.uint8, "r"), np.cumsum([*map(math.prod, self._shapes)])[:-1])
        images = [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
        return [replace(one, field=replace(one.field, image=image)) for one, image in zip(fields, images, strict=True)]


def held_field(slide: Slide, cells: Cells, row: int, finder: CellFinder[Any]) -> CountedField:
    """Return a field at the scale at which fields are held.

    Parameters
    ----------
    slide
        The open field.
    cells
        Its cells, level-0 pixels; all get the usual radius.
    row
        Of the slide among those that are read.
    finder
        Measures the cells of one that does not state its resolution.

    Raises
    ------
    SlideError
        Its scale cannot be told, or it is a whole slide.
    """
    size = slide.info.size
    red_px = red_cell_px(slide, finder, RED_CELL_UM)
    if red_px is None:
        msg = "its resolution is not stated, and no cell was found to measure: state the resolution with --slide-mpp"
        raise SlideError(msg)
    scale = red_px / HELD_RED_CELL_PX
    if max(size) / scale > LARGEST_PX:
        msg = f"{size.width} x {size.height} px is a whole slide: give fields of it in which every white cell is marked"
        raise SlideError(msg)
    image = slide.read_scaled(Box(0, 0, *size), max(scale, slide.info.levels[0].downsample))
    if scale < slide.info.levels[0].downsample:
        image = resized(image, scale / slide.info.levels[0].downsample)
    step_x, step_y = image.shape[1] / size.width, image.shape[0] / size.height
    radius = np.full(len(cells), WHITE_OVER_RED * HELD_RED_CELL_PX / 2)
    white = np.zeros(len(cells), np.int64)
    held = FieldCells((cells.x + 0.5) * step_x - 0.5, (cells.y + 0.5) * step_y - 0.5, radius, white)
    return CountedField(FinderField(image, held, ALL_KNOWN), cells.class_index.astype(np.int64), row, red_px)


def _marked(slide: Slide, item: SlideItem, reading: FieldReading) -> Cells:
    """Return the white cells that are marked on a slide, of the classes that are counted.

    Raises
    ------
    SlideError
        Blasts are counted, and of a white cell nobody says whether it is one.
    """
    marked = read_annotations(item.annotations, None, slide.info.size)
    width, height = slide.info.size
    marked = marked.take((marked.x > -0.5) & (marked.y > -0.5) & (marked.x < width - 0.5) & (marked.y < height - 0.5))
    if reading.counts == "white_cells":
        known = rename_classes(marked, lambda name: None if our_class(name) in NOT_WHITE_CELLS else WHITE_CELL)
    else:
        untold = sum(marked.count(name) for name in marked.class_names if _is_untold(name, reading.classes))
        if untold:
            msg = f"{untold} of its cells are marked as white cells alone: mark each as blast or other"
            raise SlideError(msg + ", or train with `counts: white_cells`")
        known = rename_classes(marked, lambda name: cell_class(name, reading.classes))
    return in_class_order(known, counted_classes(reading.counts), Path(item.annotations[0].path))


def _is_untold(name: str, classes: Mapping[str, str | None]) -> bool:
    return our_class(name) == WHITE_CELL and not {name, WHITE_CELL} & classes.keys()
