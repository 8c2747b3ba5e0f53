"""Fields whose cells have types and attributes, and which may be marked in part: what is known of them, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import BOX_COLUMNS, boxes_of, in_class_order, read_annotations, rename_classes
from wsi_patches.annotations.attributes import attribute_numbers, named_attributes
from wsi_patches.annotations.regions import Regions, regions_of
from wsi_patches.annotations.words import ANNOTATED_AREA, IGNORE, NOT_WHITE_CELLS, our_class
from wsi_patches.cells import Cells
from wsi_patches.counting import CellFinder, find_cells
from wsi_patches.counting.boxes import square_edges
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.models.cell_finder import RED_CELL_UM
from wsi_patches.morphology import Attribute
from wsi_patches.slide import Slide
from wsi_patches.slides import ArraySlide
from wsi_patches.train.counter_fields import CountedField, FieldDetails, held_field
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX

__all__ = ["AttributeReading", "Unmarked"]

Unmarked = Literal["background", "unknown"]
"""What a place is that nobody marked."""
AROUND = 1.2
"""Half a side of what is left open around a cell that the finder sees and nobody marked, in its radii."""


@dataclass(frozen=True)
class AttributeReading:
    """How fields and their marks are read; a `FieldReader`."""

    types: tuple[str, ...]
    classes: Mapping[str, str | None]
    """What an annotated class is, where its name is none of the types: a type, ``ignore``, ``annotated_area`` or
    None."""
    attributes: Sequence[Attribute]
    columns: Mapping[str, str]
    """Name of a file's column -> name of the attribute."""
    unmarked: Unmarked
    finder: CellFinder[Any]
    """Measures the cells of fields that do not state their resolution, and sees what may be an unmarked white cell."""
    look_again: float = 1.0
    """What the finder's threshold is multiplied by when it looks for unmarked cells."""
    slide_mpp: float | None = None

    def read(self, slide: Slide, item: SlideItem, row: int) -> CountedField:
        """Return a field, ``row`` being that of its slide among those that are read.

        Cells in regions of which nothing is known are left out.

        Raises
        ------
        SlideError, AnnotationError
            The field cannot be learnt from.
        UsageError
            Nobody says what an annotated class is.
        """
        size, path = slide.info.size, Path(item.annotations[0].path)
        marked = read_annotations(item.annotations, None, size)
        told = rename_classes(named_attributes(marked, self.attributes, self.columns), self._meaning)
        regions = regions_of(told, path)
        cells = rename_classes(told, lambda name: None if name in (IGNORE, ANNOTATED_AREA) else name)
        inside = (cells.xy > -0.5).all(axis=1) & (cells.xy < np.array(size) - 0.5).all(axis=1)
        outside = int(np.count_nonzero(~inside))
        cells = in_class_order(cells.take(inside & ~regions.unknown(cells.xy)), self.types, path)
        field = held_field(slide, cells, row, self.finder)
        height, width = field.field.image.shape[:2]
        held = regions.scaled(width / size.width, height / size.height)
        if self.unmarked == "unknown":
            held = self._with_unmarked(held, field, _boxes(cells, width / size.width, height / size.height))
        return replace(field, details=FieldDetails(attribute_numbers(cells, self.attributes), held, outside))

    def _meaning(self, name: str) -> str | None:
        """Return the type of an annotated class, what kind of place it is, or None where it is left out."""
        word = our_class(name)
        for said in (name, word):
            if said in self.classes:
                return self.classes[said]
        known = next((one for one in self.types if our_class(one) == word), None)
        if known is not None or word in (IGNORE, ANNOTATED_AREA):
            return known or word
        if word in NOT_WHITE_CELLS:
            return None
        msg = f"there are marks of class {name!r}, which is none of the types {', '.join(self.types)}: say what it is "
        raise UsageError(msg + f"in the recipe: `classes: {{{name}: ...}}` (a type, ignore, annotated_area or null)")

    def _with_unmarked(self, regions: Regions, field: CountedField, marked: NDArray[np.float64]) -> Regions:
        """Return the regions with what the finder sees beside the marked cells."""
        image = field.field.image
        found = find_cells(ArraySlide(image, mpp=RED_CELL_UM / HELD_RED_CELL_PX), self._seeing_more())
        mine = Regions(marked, np.empty((0, 4))).unknown(found.xy)
        open_px = square_edges(found.x, found.y, AROUND * found.attributes["radius_px"])[~mine]
        return replace(regions, ignored=np.concatenate([regions.ignored, open_px]))

    def _seeing_more(self) -> CellFinder[Any]:
        finder: Any = self.finder
        if self.look_again == 1 or not hasattr(finder, "threshold"):
            return finder  # type: ignore[no-any-return]
        more: CellFinder[Any] = replace(finder, threshold=self.look_again * finder.threshold)
        return more


def _boxes(cells: Cells, step_x: float, step_y: float) -> NDArray[np.float64]:
    """Return the boxes of marked cells in the held image; of points a square of the usual size."""
    if all(name in cells.attributes for name in BOX_COLUMNS):
        return Regions(boxes_of(cells), np.empty((0, 4))).scaled(step_x, step_y).ignored
    radius = cells.attributes.get("radius_px", np.full(len(cells), HELD_RED_CELL_PX / 2 / step_x))
    edges = square_edges(cells.x, cells.y, radius)
    return Regions(edges, np.empty((0, 4))).scaled(step_x, step_y).ignored
