"""What of a slide is worth cutting: cells and tissue, not the bare glass around them.

Two clues, both shares of the light and both absolute, so that a slide without glass keeps everything and one without
cells nothing (a threshold that splits any histogram in two, such as Otsu's, could do neither):

- contrast inside a small block: an edge, a nucleus, a texture. Uneven light has none of it;
- light unlike that of the glass, where glass is what has no contrast: the smooth inside of a large nucleus, a blurred
  cell, a thick stain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError
from wsi_patches.grid import PatchGrid
from wsi_patches.imaging.foreground_scan import BlockScan, ScanSettings, relative, scan_blocks
from wsi_patches.imaging.illumination import surface
from wsi_patches.slide import Slide

__all__ = ["Foreground", "ForegroundSettings", "find_foreground"]

NOISE_QUANTILE = 0.1
"""The quietest blocks of a slide show its noise; even a crowded field has so many gaps."""
GLASS_QUANTILE = 0.75
"""Flat blocks are glass and, the darker ones, insides of cells."""
GLASS_BLOCKS = 64
"""Longer side of the map that the glass is averaged on."""


@dataclass(frozen=True)
class ForegroundSettings:
    """When a block of a slide counts as more than glass.

    Parameters
    ----------
    scale
        At what scale the slide is looked at.
    least_contrast, most_contrast
        Share of the light that must be missing somewhere in a block: the threshold lies between the two, at
        ``over_noise`` times the contrast of the quietest blocks.
    over_noise
        See there.
    least_difference
        Share of the light by which a block without contrast must differ from the glass.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    scale: ScanSettings = field(default_factory=ScanSettings)
    least_contrast: float = 0.06
    most_contrast: float = 0.12
    over_noise: float = 2.0
    least_difference: float = 0.12

    def __post_init__(self) -> None:
        if not 0 < self.least_contrast <= self.most_contrast < 1:
            msg = (
                "contrasts of the foreground must lie in 0..1, the least below the most, "
                f"found {self.least_contrast} and {self.most_contrast}"
            )
            raise UsageError(msg)
        for name in ("over_noise", "least_difference"):
            if not getattr(self, name) > 0:
                msg = f"{name} of the foreground must be greater than 0, found {getattr(self, name)}"
                raise UsageError(msg)


@dataclass(frozen=True)
class Foreground:
    """Where a slide holds cells or tissue."""

    mask: NDArray[np.bool_]
    """Foreground, shape ``(h, w)``."""
    downsample: float
    """Level-0 pixels for each pixel of the mask."""
    picture: NDArray[np.uint8]
    """The slide, RGB of shape ``(h, w, 3)``, small; see `preview`."""
    picture_downsample: float
    """Level-0 pixels for each pixel of the picture."""
    notes: tuple[str, ...] = ()
    """What could not be read and therefore counts as foreground, in sentences."""

    @property
    def share(self) -> float:
        """Share of the slide that is foreground, 0..1."""
        return float(self.mask.mean())

    def keep(self, places: PatchGrid | ArrayLike) -> NDArray[np.bool_]:
        """Say which places hold foreground.

        A place is kept as soon as it touches one pixel of the mask: a cell at its very border keeps it.

        Parameters
        ----------
        places
            A grid, or boxes of shape ``(n, 4)``: x, y, width and height in level-0 pixels.

        Returns
        -------
        bool of shape ``(n,)``. A place outside of the slide is not kept.
        """
        boxes = _boxes(places)
        height, width = self.mask.shape
        first = np.floor(boxes[:, :2] / self.downsample).astype(np.int64)
        last = np.ceil((boxes[:, :2] + boxes[:, 2:]) / self.downsample).astype(np.int64)
        left, right = (np.clip(edge[:, 0], 0, width) for edge in (first, last))
        top, bottom = (np.clip(edge[:, 1], 0, height) for edge in (first, last))
        total = cv2.integral(self.mask.view(np.uint8))
        return np.asarray(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0)


def find_foreground(slide: Slide, settings: ForegroundSettings | None = None) -> Foreground:
    """Look at a slide once, at a coarse scale, and tell cells and tissue from glass.

    Dust, scratches and pen marks that are darker than the glass count as foreground: without knowing what they are, a
    cell could be lost with them.

    Parameters
    ----------
    slide
        Any open slide. What of it cannot be read counts as foreground and is noted.
    settings
        Thresholds and scale; the defaults serve smears and tissue.
    """
    settings = settings or ForegroundSettings()
    scan = scan_blocks(slide, settings.scale)
    readable = ~scan.unreadable
    mask = ~readable
    if readable.any():
        noise = float(np.quantile(scan.contrast[readable], NOISE_QUANTILE))
        threshold = np.clip(settings.over_noise * noise, settings.least_contrast, settings.most_contrast)
        flat = readable & (scan.contrast < threshold)
        mask |= ~flat | (difference_from_glass(scan, flat) > settings.least_difference)
    notes = _notes(slide.info.path, scan.errors)
    return Foreground(mask, scan.downsample, scan.picture, scan.picture_downsample, notes)


def difference_from_glass(scan: BlockScan, flat: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return by what share of the light each block differs from the glass around it, lighter or darker."""
    if not flat.any():
        return np.zeros(flat.shape, np.float32)
    glass = np.dstack([_glass(np.ascontiguousarray(scan.light[:, :, colour]), flat) for colour in range(3)])
    return relative(np.abs(glass - scan.light), glass)


def _glass(light: NDArray[np.uint8], flat: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the light of the glass in one colour: a smooth surface through the flat blocks."""
    height, width = flat.shape
    shrink = max(1.0, max(height, width) / GLASS_BLOCKS)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    weight = cv2.resize(flat.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    summed = cv2.resize(np.where(flat, light, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    seen = weight > 0
    # Where all is cells, the glass is as it is where it was seen last.
    _, nearest = cv2.distanceTransformWithLabels(
        np.where(seen, 0, 1).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(nearest.max()) + 1, np.float32)
    values[nearest[seen]] = summed[seen] / weight[seen]
    fitted = surface(np.asarray(values[nearest], np.float32), GLASS_QUANTILE)
    return np.asarray(cv2.resize(fitted, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _boxes(places: PatchGrid | ArrayLike) -> NDArray[np.float64]:
    if isinstance(places, PatchGrid):
        xy = places.xy()
        return np.hstack([xy, np.full_like(xy, places.side)]).astype(np.float64)
    return np.asarray(places, np.float64).reshape(-1, 4)


def _notes(path: str, errors: list[str]) -> tuple[str, ...]:
    if not errors:
        return ()
    return (f"{path}: {len(errors)} parts could not be read for the foreground and count as it; first: {errors[0]}",)
