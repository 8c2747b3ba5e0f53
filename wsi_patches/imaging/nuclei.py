"""Finding white cells by their nuclei: classical, no training, thresholds set once for a whole slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.blobs import Blobs, nuclear_blobs
from wsi_patches.imaging.granulometry import foreground_mask, typical_diameter
from wsi_patches.imaging.illumination import log_green, nuclear_absorbance, surface

__all__ = ["FinderCalibration", "FoundCells", "WhiteCellFinder"]

WORKING_DIAMETER_PX = 28.0
"""A white cell is looked at this large: finer pixels add time, not cells."""
WHITE_OVER_RED = 2.1
"""A white cell's diameter over a red cell's typical thickness, which overlaps and pale middles make a bit too small."""
RED_LOST = 0.4
"""Quantile of the size distribution that stands for red cells; above it lie heaps of them."""
LEAST_OVER_NUCLEUS = 1.1
"""A white cell is larger than its nucleus is thick by this at least, a blast being nearly all nucleus."""
THINNEST_LOBE = 0.18
"""Thickness of the thinnest lobe of a nucleus, in white-cell diameters."""
CELL_OVER_NUCLEUS = 1.25
"""A white cell's diameter over that of its nucleus' hull."""
NUCLEAR_HUE = 0.6
"""Of what chromatin takes of green, it leaves at least this share of blue; red cells less."""
NUCLEUS_OVER_RED = 0.8
"""A nucleus has at least this share of the absorbance that red cells have in green, over and above what it takes of blue."""
TRIED_DIAMETERS_PX = np.geomspace(5.0, 180.0, 20)


@dataclass(frozen=True)
class FinderCalibration:
    """What a finder has learnt of a slide: small, picklable, valid for the scale of the samples."""

    threshold: float
    """Nuclear absorbance from which a pixel is nucleus, natural-log units above the surroundings."""
    typical: float
    """Nuclear absorbance of this slide's nuclei."""
    level: float | None
    """Nuclear absorbance of the surroundings, or None where light is uneven and each image must be fitted."""
    cell_diameter_px: float | None
    """Diameter of a white cell in pixels of the samples, or None where no nucleus was seen."""

    def scaled(self, downsample: float) -> FinderCalibration:
        """Return the same for images that are ``downsample`` times smaller than the samples."""
        diameter = self.cell_diameter_px
        return replace(self, cell_diameter_px=None if diameter is None else diameter / downsample)


@dataclass(frozen=True)
class FoundCells:
    """White cells of one image, in its own pixels, 0-based; columns of shape ``(n,)``."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    """Radius of the cell, from the hull of its nucleus."""
    score: NDArray[np.float32]
    """How dark and how large the nucleus is, 0..1; no probability."""

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class WhiteCellFinder:
    """Finds white cells as patches of blue-violet absorption of about a nucleus' size.

    Lengths and areas are in units of the white cell's diameter and of the disc of that diameter, so that the same
    settings serve every magnification.

    Parameters
    ----------
    cell_diameter_px
        Typical diameter of a white cell in pixels of the samples; estimated from the field's red cells if not given.
    cell_diameter_um
        Least and largest diameter that an estimate may come to where the pixel size is known.
    contrast
        Least nuclear absorbance above the surroundings, natural-log units; below it there is no nucleus.
    split_distance
        Centres nearer than this, in diameters, are lobes of one cell.
    reach
        How far from its cell's centre nucleus may lie, in diameters.
    least_nucleus, whole_nucleus
        Area of nucleus below which a blob is a platelet or debris, and up to which neighbouring pieces are lobes of
        one cell, as shares of the cell's disc.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    cell_diameter_px: float | None = None
    cell_diameter_um: tuple[float, float] = (9.0, 20.0)
    contrast: float = 0.1
    split_distance: float = 0.4
    reach: float = 0.6
    least_nucleus: float = 0.12
    whole_nucleus: float = 0.45

    def __post_init__(self) -> None:
        for name in ("contrast", "split_distance", "reach", "least_nucleus", "whole_nucleus"):
            if not getattr(self, name) > 0:
                msg = f"{name} must be greater than 0, found {getattr(self, name)}"
                raise UsageError(msg)
        if self.cell_diameter_px is not None and not self.cell_diameter_px > 0:
            msg = f"cell_diameter_px must be greater than 0, found {self.cell_diameter_px}"
            raise UsageError(msg)

    def calibrate(self, samples: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> FinderCalibration:
        """Learn a slide's background, stain and scale.

        Parameters
        ----------
        samples
            uint8 RGB images of shape ``(h, w, 3)`` from all over the slide, one scale; the image itself for a photo.
        mpp
            Pixel size of the samples in um, if known.

        Raises
        ------
        UsageError
            There is no sample.
        """
        if not samples:
            msg = "a finder needs at least one sample of the slide, found none"
            raise UsageError(msg)
        whole = typical_diameter([_cells(sample) for sample in samples], TRIED_DIAMETERS_PX)
        if whole is None:
            return FinderCalibration(self.contrast, self.contrast, None, self.cell_diameter_px)
        # At the scale where most things are as large as red cells, the coloured fringes of their rims average out.
        first = self.cell_diameter_px or WHITE_OVER_RED * whole
        shrink = max(1.0, first / WORKING_DIAMETER_PX)
        fields = [_Field.of(_shrunk(sample, shrink)) for sample in samples]
        threshold, typical = self._stain(fields)
        levels = np.stack([[field.level.min(), field.level.max()] for field in fields])
        diameter = self.cell_diameter_px or self._diameter(fields, threshold, first / shrink, shrink, mpp)
        even = np.ptp(levels) < self.contrast / 2
        return FinderCalibration(threshold, typical, float(levels.mean()) if even else None, diameter)

    def find(self, image: NDArray[np.uint8], calibration: FinderCalibration) -> FoundCells:
        """Return the white cells of an image at the calibration's scale.

        Parameters
        ----------
        image
            uint8 RGB of shape ``(h, w, 3)``.
        calibration
            What `calibrate` returned.
        """
        if calibration.cell_diameter_px is None:
            return _no_cells()
        shrink = max(1.0, calibration.cell_diameter_px / WORKING_DIAMETER_PX)
        small = _shrunk(image, shrink)
        size, step = small.shape[1::-1], (image.shape[1] / small.shape[1], image.shape[0] / small.shape[0])
        diameter = calibration.cell_diameter_px / shrink
        blobs = self._blobs(small, calibration, diameter)
        disc = np.pi / 4 * diameter**2
        share = blobs.area_px / (disc * _visible(blobs, size, diameter))
        kept = share >= self.least_nucleus
        score = np.minimum(1, share / self.whole_nucleus) * np.minimum(1, blobs.mean / calibration.typical)
        return FoundCells(
            x=(blobs.x[kept] + 0.5) * step[0] - 0.5,
            y=(blobs.y[kept] + 0.5) * step[1] - 0.5,
            radius_px=blobs.spread_px[kept] * CELL_OVER_NUCLEUS * shrink,
            score=score[kept].astype(np.float32),
        )

    def _blobs(self, image: NDArray[np.uint8], calibration: FinderCalibration, diameter: float) -> Blobs:
        signal = _smooth(nuclear_absorbance(image))
        signal -= surface(signal, LEVEL_QUANTILE) if calibration.level is None else calibration.level
        mask = _nuclei(signal, calibration.threshold, diameter)
        disc = np.pi / 4 * diameter**2
        return nuclear_blobs(
            mask, signal, self.split_distance * diameter, self.reach * diameter, self.whole_nucleus * disc
        )

    def _stain(self, fields: Sequence[_Field]) -> tuple[float, float]:
        """Return the threshold half way between red cells and nuclei, and the nuclei's typical absorbance."""
        nuclear = np.concatenate([field.nuclear[field.cells > 0] for field in fields])
        green = np.concatenate([field.green[field.cells > 0] for field in fields])
        if len(nuclear) == 0:
            return self.contrast, self.contrast
        low, red, high = np.quantile(nuclear, [0.05, 0.25, 0.95])
        # A field of blasts alone has no red cells to compare with: all is alike, and its own hue says it is nuclei.
        if red > max(self.contrast, high / 2, NUCLEAR_HUE * np.median(green)):
            red, floor = 0.0, self.contrast
        else:
            spread = max(self.contrast, 3 * (red - low))
            floor = max(red + spread, NUCLEUS_OVER_RED * np.quantile(green, 0.25))
        above = nuclear[nuclear > floor]
        typical = float(np.quantile(above, 0.75)) if len(above) else float(floor)
        return float(max(floor, (red + typical) / 2)), typical

    def _diameter(
        self, fields: Sequence[_Field], threshold: float, first: float, shrink: float, mpp: float | None
    ) -> float | None:
        """Return a white cell's diameter: from the red cells, or from the nuclei where there are hardly any."""
        nuclei = [_nuclei(field.nuclear, threshold, first) for field in fields]
        nucleus = typical_diameter(nuclei, TRIED_DIAMETERS_PX)
        if nucleus is None:
            return None
        grown = [cv2.dilate(mask, np.ones((5, 5), np.uint8)) for mask in nuclei]
        reds = [np.where(mask > 0, 0, field.cells).astype(np.uint8) for field, mask in zip(fields, grown, strict=True)]
        red = typical_diameter(reds, TRIED_DIAMETERS_PX, lost=RED_LOST)
        red_area = sum(np.count_nonzero(mask) for mask in reds)
        if red is not None and red_area > 5 * np.pi / 4 * red**2:
            diameter = max(WHITE_OVER_RED * red, LEAST_OVER_NUCLEUS * nucleus)
        else:
            diameter = CELL_OVER_NUCLEUS * nucleus
        low, high = (0.0, np.inf) if mpp is None else (um / mpp for um in self.cell_diameter_um)
        return float(np.clip(diameter * shrink, low, high))


LEVEL_QUANTILE = 0.25
"""Glass and red cells together cover more of a field than this, even among leukemic blasts."""
GLASS_NOISE = 0.04
"""Absorbance that glass itself may show, natural-log units."""
GLASS_QUANTILE = 0.9
"""Log green below which cells lie; glass is the brightest of a field."""


@dataclass(frozen=True)
class _Field:
    """One sample, measured."""

    nuclear: NDArray[np.float32]
    """Nuclear absorbance above the surroundings."""
    green: NDArray[np.float32]
    """Absorbance of green over the glass."""
    cells: NDArray[np.uint8]
    """Where anything lies."""
    level: NDArray[np.float32]

    @classmethod
    def of(cls, sample: NDArray[np.uint8]) -> _Field:
        nuclear = _smooth(nuclear_absorbance(sample))
        level = surface(nuclear, LEVEL_QUANTILE)
        return cls(nuclear - level, _green(sample), _cells(sample), level)


def _cells(sample: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return where anything lies."""
    return foreground_mask(_green(sample), GLASS_NOISE)


def _green(sample: NDArray[np.uint8]) -> NDArray[np.float32]:
    light = _smooth(log_green(sample))
    return surface(light, GLASS_QUANTILE) - light


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 1.0), np.float32)


def _shrunk(image: NDArray[np.uint8], shrink: float) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _nuclei(signal: NDArray[np.float32], threshold: float, diameter: float) -> NDArray[np.uint8]:
    """Return where nucleus is, 0 or 255, without what is thinner than any lobe, such as the fringes of rims."""
    mask = np.where(signal > threshold, 255, 0).astype(np.uint8)
    side = max(3, round(THINNEST_LOBE * diameter))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc), np.uint8)


def _visible(blobs: Blobs, size: tuple[int, int], diameter: float) -> NDArray[np.float64]:
    """Return the share of each cell that lies inside the image, at least a quarter."""
    shares = [
        np.clip(np.minimum(centre + 0.5, side - 0.5 - centre) / diameter + 0.5, 0.5, 1.0)
        for centre, side in ((blobs.x, size[0]), (blobs.y, size[1]))
    ]
    return np.asarray(shares[0] * shares[1], np.float64)


def _no_cells() -> FoundCells:
    return FoundCells(np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.float32))
