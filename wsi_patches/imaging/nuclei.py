"""Finding white cells by their nuclei: classical, no training, thresholds set once for a whole slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.blobs import Blobs, nuclear_blobs
from wsi_patches.imaging.smear_field import (
    CELL_OVER_NUCLEUS,
    WORKING_DIAMETER_PX,
    SmearField,
    first_diameter,
    nuclear_signal,
    nuclei_mask,
    shrunk,
    stain_threshold,
    surroundings,
    white_cell_diameter,
)

__all__ = ["FinderCalibration", "FoundCells", "WhiteCellFinder"]


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
    cell_diameter_um: tuple[float, float] = (10.0, 15.0)
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

    @property
    def working_mpp(self) -> float:
        """Pixel size in um at which a nucleus is as large as its finding needs."""
        return 0.5

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
        guess = self.cell_diameter_px or first_diameter(samples)
        if guess is None:
            return FinderCalibration(self.contrast, self.contrast, None, None)
        # At the scale where a white cell is as large as a guess says, the coloured fringes of rims average out.
        shrink = max(1.0, guess / WORKING_DIAMETER_PX)
        fields = [SmearField.of(shrunk(sample, shrink)) for sample in samples]
        threshold, typical = stain_threshold(fields, self.contrast)
        diameter = self.cell_diameter_px
        if diameter is None:
            working = white_cell_diameter(fields, threshold, guess / shrink)
            diameter = None if working is None else self._plausible(working * shrink, mpp)
        levels = np.stack([[field.level.min(), field.level.max()] for field in fields])
        level = float(levels.mean()) if np.ptp(levels) < self.contrast / 2 else None
        return FinderCalibration(threshold, typical, level, diameter)

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
        small = shrunk(image, shrink)
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

    def _plausible(self, diameter_px: float, mpp: float | None) -> float:
        low, high = (0.0, np.inf) if mpp is None else (um / mpp for um in self.cell_diameter_um)
        return float(np.clip(diameter_px, low, high))

    def _blobs(self, image: NDArray[np.uint8], calibration: FinderCalibration, diameter: float) -> Blobs:
        signal = nuclear_signal(image)
        signal -= surroundings(signal) if calibration.level is None else calibration.level
        mask = nuclei_mask(signal, calibration.threshold, diameter)
        disc = np.pi / 4 * diameter**2
        return nuclear_blobs(
            mask, signal, self.split_distance * diameter, self.reach * diameter, self.whole_nucleus * disc
        )


def _visible(blobs: Blobs, size: tuple[int, int], diameter: float) -> NDArray[np.float64]:
    """Return the share of each cell that lies inside the image, at least a quarter."""
    shares = [
        np.clip(np.minimum(centre + 0.5, side - 0.5 - centre) / diameter + 0.5, 0.5, 1.0)
        for centre, side in ((blobs.x, size[0]), (blobs.y, size[1]))
    ]
    return np.asarray(shares[0] * shares[1], np.float64)


def _no_cells() -> FoundCells:
    return FoundCells(np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.float32))
