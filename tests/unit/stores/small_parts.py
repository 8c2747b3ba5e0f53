"""Parts of a store that hold one small slide each."""

import numpy as np

from wsi_patches.cells import ALL_IDB_CLASSES, ALL_IDB_RULE, Cells
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec
from wsi_patches.patch import SlideRecord
from wsi_patches.stores import PartWriter, StoreSettings
from wsi_patches.stores.writer import PatchRows

SIDE = 16
SETTINGS = StoreSettings(PatchSpec(SIDE, overlap=0.25), ALL_IDB_RULE)


def write_part(path, part_id, pixels, slide_id="slide", codec="auto", cells=None, finish=True):
    """Write all patches of a small slide as one part and return its grid."""
    grid = PatchGrid(Size(pixels.shape[1], pixels.shape[0]), SETTINGS.spec)
    cells = cells if cells is not None else Cells.at([(5, 6)], ALL_IDB_CLASSES, [1])
    writer = PartWriter(path, part_id, SETTINGS, len(grid) + 3, codec)
    members = tuple(np.array([0]) if number == 0 else np.empty(0, np.int64) for number in range(len(grid)))
    counts = np.array([[0, len(one)] for one in members], np.uint16)
    images = np.stack([pixels[p.box.y : p.box.bottom, p.box.x : p.box.right] for p in grid])
    writer.add(0, PatchRows(grid.index_array(), grid.xy(), images, counts, members))
    writer.add_cells(cells)
    record = SlideRecord(
        slide_id,
        f"/somewhere/{slide_id}.png",
        "1-a",
        tuple(grid.size),
        ((*grid.size, 1.0),),
        grid_stop=len(grid),
        grid_total=len(grid),
    )
    writer.complete([record])
    if not finish:  # as a writer leaves it that is killed before its last step
        (path / "parts" / part_id / "zarr.json").unlink()
    return grid
