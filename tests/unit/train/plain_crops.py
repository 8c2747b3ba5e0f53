"""Crops of fields that nothing is done to."""

from wsi_patches.train.finder_crops import CropLook

PLAIN = CropLook(
    scale=1.0,
    out_of_scale=0,
    near_white=1.0,
    density=1.0,
    gain=0,
    tint=1.0,
    hue=0,
    bluish=0,
    hard=0,
    saturation=(1, 1),
    vignette=0,
    blur_px=0.21,
    noise=0.51,
    precipitate=0,
    coarse=0,
)
"""Crops at the network's own scale, as they are."""
