"""What a counter says of the patches of a slide, each of its own core: of some of them, or of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.counting.cores import core_counts, densest_place
from wsi_patches.counting.scale import red_cell_px
from wsi_patches.errors import UsageError
from wsi_patches.grid import PatchGrid
from wsi_patches.infer.finder import CLASSICAL, ChosenFinder, load_finder
from wsi_patches.infer.slide_patches import SlidePatches, patches_of, slide_grid
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models.counter import CellCounter

__all__ = ["count_rows", "counter_patches", "counter_scale", "red_cells_of"]

PATCH_PX = 256
"""Side of a patch, in pixels of the network's input."""
LEAST_PX = 16


def red_cells_of(slide: Slide, red_cell_um: float, finder: ChosenFinder | None = None) -> float | None:
    """Return the diameter of a red cell, level-0 pixels; None where neither file nor picture tells it.

    Raises
    ------
    UsageError
        The slide does not state its resolution, and the finder goes by nuclei alone.
    """
    if slide.info.mpp is not None:
        return red_cell_um / slide.info.mpp
    chosen = finder or load_finder()
    if chosen.name == CLASSICAL:
        msg = (
            f"{slide.info.path} does not state its resolution, and the finder {CLASSICAL} measures no red cells: state "
            "it with --slide-mpp, or use a learned finder"
        )
        raise UsageError(msg)
    return red_cell_px(slide, chosen.finder, red_cell_um)


def counter_scale(slide: Slide, counter: CellCounter, finder: ChosenFinder | None = None) -> float | None:
    """Return the diameter of a red cell on a slide, level-0 pixels, as `red_cells_of`."""
    return red_cells_of(slide, counter.card.red_cell_px * counter.working_mpp, finder)


def counter_patches(
    slide: Slide, counter: CellCounter, red_px: float, overlap: float | None, grid: PatchGrid | None = None
) -> SlidePatches:
    """Return the patches of a slide that a counter looks at.

    Parameters are those of `count_patches`.

    Raises
    ------
    UsageError
        The overlap is out of range or was asked of a store.
    """
    from wsi_patches.models.finder_network import GREY

    return patches_of(slide, lambda: grid or _own_grid(slide, counter, red_px, overlap or 0.0), overlap, GREY)


def count_rows(
    patches: SlidePatches,
    counter: CellCounter,
    red_px: float,
    rows: range | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Return what a counter says of some patches.

    Parameters
    ----------
    patches
        As `counter_patches` returns them.
    counter
        Says how many cells of each class lie where in a patch.
    red_px
        Diameter of a red cell, level-0 pixels.
    rows
        Which patches; all of them if not given.
    progress
        Told how many patches are done, and of how many.

    Returns
    -------
    A row for each patch, ``(k, classes + 2)``: the cells of each class in its core, and where in it they are densest,
    x and y in level-0 pixels.

    Raises
    ------
    SlideError, StoreError
        The pixels cannot be read.
    """
    rows, classes = range(len(patches)) if rows is None else rows, len(counter.card.classes)
    said, red_px = np.zeros((len(rows), classes + 2)), red_px / patches.downsample
    for some, images in patches.batches(rows):
        densities, step_px = counter.densities(images, red_px)
        for row, density in zip(some, densities, strict=True):
            core = patches.core(row)
            said[row - rows.start, :classes] = core_counts(density, core, step_px)
            said[row - rows.start, classes:] = patches.xy_px[row] + densest_place(density, core, step_px)
        if progress is not None:
            progress(some.stop - rows.start, len(rows))
    said[:, classes:] = (said[:, classes:] + 0.5) * patches.downsample - 0.5
    return said


def _own_grid(slide: Slide, counter: CellCounter, red_px: float, overlap: float) -> PatchGrid:
    """Lay patches of the counter's own scale; of a slide that is coarser than that, as fine as it is."""
    finest, wanted = slide.info.levels[0].downsample, red_px / counter.card.red_cell_px
    side_px = max(LEAST_PX, round(PATCH_PX * min(1.0, wanted / finest)))
    return slide_grid(slide, side_px, max(finest, wanted), overlap)
