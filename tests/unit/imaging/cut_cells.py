"""Painted cells cut out of a smear, and how large they are."""

from wsi_patches.geometry import Size
from wsi_patches.synthetic import SmearSettings, paint_smear


def painted_cells(seed, **fixed):
    """Cut painted cells, three diameters wide, with their radius in pixels."""
    settings = SmearSettings.random(
        seed, blasts=4, others=4, touching=0.0, margin_diameters=1.7, cell_diameter_px=60.0, **fixed
    )
    pixels, cells = paint_smear(Size(900, 900), settings)
    for (x, y), radius in zip(cells.xy.astype(int), cells.attributes["radius_px"], strict=True):
        yield pixels[y - 90 : y + 91, x - 90 : x + 91], radius
