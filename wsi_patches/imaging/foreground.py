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
from wsi_patches.imaging.foreground_preview import draw_kept
from wsi_patches.imaging.foreground_scan import BlockScan, ScanSettings, scan_blocks
from wsi_patches.imaging.illumination import surface
from wsi_patches.slide import Slide

__all__ = ["Foreground", "ForegroundSettings", "find_foreground"]

NOISE_QUANTILE = 0.1
"""The quietest blocks of a slide show its noise; even a crowded field has so many gaps."""
GLASS_QUANTILE = 0.75
"""Flat blocks are glass and, the darker ones, insides of cells."""
GLASS_BLOCKS = 64
"""Longer side of the map that the glass is averaged on."""
DARKEST = np.float32(64)
"""Light below this counts as this where a share of it is taken, so that the noise of dark pictures is no contrast."""
RING_BLOCKS = 2
"""How far around a piece the glass is looked for."""
LEAST_SEEN = np.float32(1e-3)
"""Share of glass around a block below which there is none, but for rounding."""
BAND_BLOCKS = 256
"""Rows that are worked on at a time, to save memory."""
BLACK = np.uint8(8)
"""Light below this counts as this where its logarithm is taken, which would show nothing but noise."""


@dataclass(frozen=True)
class ForegroundSettings:
    """When a block of a slide counts as more than glass.

    Parameters
    ----------
    scale
        At what scale the slide is looked at.
    least_contrast, most_contrast
        Share of the light that must be missing somewhere in a block: the threshold is what noise may do, but lies
        between the two.
    over_noise
        How many times the contrast of the quietest blocks noise may have.
    least_difference
        Share of the light by which a block without contrast must differ from the glass.
    least_taken_um2
        Light that something on its own must take away to be kept, as the area of something black that takes as much;
        it counts only where the slide states its resolution. A pale lymphocyte takes four times the default.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    scale: ScanSettings = field(default_factory=ScanSettings)
    least_contrast: float = 0.06
    most_contrast: float = 0.15
    over_noise: float = 2.6
    least_difference: float = 0.12
    least_taken_um2: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.least_contrast <= self.most_contrast < 1:
            msg = (
                "contrasts of the foreground must lie in 0..1, the least below the most, "
                f"found {self.least_contrast} and {self.most_contrast}"
            )
            raise UsageError(msg)
        for name in ("over_noise", "least_difference", "least_taken_um2"):
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

    def preview(self, places: PatchGrid | ArrayLike) -> NDArray[np.uint8]:
        """Return a picture for people of what is kept and what is dropped; the slide is not read again.

        Parameters
        ----------
        places
            As for `keep`.

        Returns
        -------
        uint8 RGB of shape ``(h, w, 3)``, 600 to 1200 px on the longer side and a strip of text below.
        """
        return draw_kept(self.picture, self.picture_downsample, self.mask, _boxes(places), self.keep(places))


def find_foreground(slide: Slide, settings: ForegroundSettings | None = None) -> Foreground:
    """Look at a slide once, at a coarse scale, and tell cells and tissue from glass.

    Scratches, pen marks, folds and large dust count as foreground: what they are cannot be told without risking a cell.
    Nor can small dust on a slide that does not state its resolution.

    Parameters
    ----------
    slide
        Any open slide. What of it cannot be read counts as foreground and is noted.
    settings
        Thresholds and scale; the defaults serve smears and tissue.
    """
    settings = settings or ForegroundSettings()
    scan = scan_blocks(slide, settings.scale)
    mask = scan.unreadable | _uneven(scan, settings)
    mask |= _unlike_glass(scan, ~mask, settings.least_difference)
    if slide.info.mpp is not None:
        mask &= scan.unreadable | ~_specks(
            scan, mask, settings.least_taken_um2 / (scan.downsample * slide.info.mpp) ** 2
        )
    notes = _notes(slide.info.path, scan.errors)
    return Foreground(mask, scan.downsample, scan.picture, scan.picture_downsample, notes)


def _uneven(scan: BlockScan, settings: ForegroundSettings) -> NDArray[np.bool_]:
    """Return the blocks that have a contrast which noise does not make."""
    if scan.unreadable.all():
        return np.zeros_like(scan.unreadable)
    light = np.maximum(scan.light.max(axis=2), DARKEST)
    noise = np.quantile(scan.spread[~scan.unreadable], NOISE_QUANTILE)
    threshold = np.clip(settings.over_noise * noise / light, settings.least_contrast, settings.most_contrast)
    return np.asarray(scan.spread > threshold * light)


def _unlike_glass(scan: BlockScan, flat: NDArray[np.bool_], least_difference: float) -> NDArray[np.bool_]:
    """Return the blocks that are lighter or darker than the glass around them, in any colour."""
    unlike = np.zeros_like(flat)
    if flat.any():
        # A fluorescent cell is lighter than its ground, and so are insides of cells that have no contrast.
        is_dark = np.median(scan.light.max(axis=2)[flat]) < DARKEST
        quantile = 1 - GLASS_QUANTILE if is_dark else GLASS_QUANTILE
        for colour in range(3):
            light = np.maximum(scan.light[:, :, colour], BLACK)
            glass = _glass(light, flat, quantile)
            unlike |= np.abs(glass - light) > least_difference * np.maximum(glass, DARKEST)
    return unlike


def _specks(scan: BlockScan, mask: NDArray[np.bool_], least_taken_blocks: float) -> NDArray[np.bool_]:
    """Return the pieces of a mask that take or give less light than so many black blocks would."""
    count, pieces = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    total = np.zeros(count)
    for top in range(0, len(mask), BAND_BLOCKS):
        first, stop = max(0, top - RING_BLOCKS), top + BAND_BLOCKS
        around = slice(first, stop + RING_BLOCKS)
        taken = _taken(scan.light[around], mask[around])[top - first :][:BAND_BLOCKS]
        total += np.bincount(pieces[top:stop].ravel(), taken.ravel(), count)
    total[0] = np.inf
    return np.asarray((total < least_taken_blocks)[pieces])


def _taken(light: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the share of light that each block takes or gives, next to the glass around it; infinite where none is."""
    window = (2 * RING_BLOCKS + 1,) * 2
    flat = (~mask).astype(np.float32)
    seen = cv2.blur(flat, window)
    taken = np.where(seen < LEAST_SEEN, np.inf, 0).astype(np.float32)
    for colour in range(3):
        here = light[:, :, colour].astype(np.float32)
        glass = cv2.blur(here * flat, window) / np.maximum(seen, LEAST_SEEN)
        taken = np.maximum(taken, np.abs(glass - here) / np.maximum(glass, DARKEST))
    return np.asarray(taken, np.float32)


def _glass(light: NDArray[np.uint8], flat: NDArray[np.bool_], quantile: float) -> NDArray[np.float32]:
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
    values = np.ones(int(nearest.max()) + 1, np.float32)
    values[nearest[seen]] = summed[seen] / weight[seen]
    # The fall of light towards the corners is nearly of second order in its logarithm.
    fitted = surface(np.log(values[nearest]), quantile)
    return np.asarray(cv2.resize(np.exp(fitted), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _boxes(places: PatchGrid | ArrayLike) -> NDArray[np.float64]:
    if isinstance(places, PatchGrid):
        xy = places.xy()
        return np.hstack([xy, np.full_like(xy, places.side)]).astype(np.float64)
    return np.asarray(places, np.float64).reshape(-1, 4)


def _notes(path: str, errors: list[str]) -> tuple[str, ...]:
    if not errors:
        return ()
    return (f"{path}: what could not be read counts as foreground, {len(errors)} windows of it; first: {errors[0]}",)
