"""Stains as optical densities: Macenko's normalisation, and how much of each stain a pixel holds.

Light falls off as exp(-density) (Beer and Lambert), so densities of stains add. A smear's Romanowsky stain (Giemsa,
Wright, May-Gruenwald) has azure B, which colours nuclei and basophilic cytoplasm, and eosin Y, which colours
haemoglobin and granules; published matrices for haematoxylin and eosin do not describe it. Fit one on the smear itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.fitted_colour import FittedColour
from wsi_patches.imaging.rgb import rgb_image, sampled_pixels, to_uint8

__all__ = ["FittedMacenko", "Macenko", "StainMatrix", "separate_stains"]

Stains = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
StainMatrix = Literal["hed", "giemsa"]
LEAST_STAINED = 100
"""Stained pixels that two directions of colour can be read from."""
LEAST_DENSITY = 1e-3
"""99th percentile of a stain's density below which there is none of it."""


@dataclass(frozen=True)
class Macenko:
    """Macenko's stain normalisation ("A method for normalizing histology slides", ISBI 2009), fitted by torchstain.

    Two stains are read from a slide as the extreme directions of its pixels' densities in their main plane; each
    pixel's amounts are scaled so that their 99th percentiles meet the reference's, and put together again with the
    reference's stains.

    Parameters
    ----------
    light
        Grey level of empty glass.
    least_density
        Pixels with less optical density than this in any channel are left out of the fit. Red cells hardly absorb red,
        so at the published 0.15 a smear is fitted on its white cells nearly alone.
    percentile
        Share of pixels, percent, beyond the direction that is taken as extreme.
    target_stains
        The reference's two stains, one a column, rows red, green, blue; see `toward`. The defaults are those of usual
        smears (as `Reinhard`'s), not torchstain's haematoxylin and eosin.
    target_most
        The reference's 99th percentiles of their amounts.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    light: float = 240.0
    least_density: float = 0.15
    percentile: float = 1.0
    target_stains: Stains = ((0.632, 0.336), (0.735, 0.872), (0.245, 0.357))
    target_most: tuple[float, float] = (1.08, 1.82)

    def __post_init__(self) -> None:
        if not (1 <= self.light <= 255 and self.least_density >= 0 and 0 <= self.percentile < 50):
            msg = (
                f"light in 1..255, least_density >= 0 and percentile in 0..50 are needed, found "
                f"{self.light}, {self.least_density}, {self.percentile}"
            )
            raise UsageError(msg)

    def toward(self, reference: NDArray[np.uint8]) -> Self:
        """Return the method with the stains of a reference, uint8 RGB ``(h, w, 3)`` or ``(n, h, w, 3)``.

        Raises
        ------
        UsageError
            The reference is blank.
        """
        stains, most = self._stains(reference)
        return replace(self, target_stains=stains, target_most=most)

    def fit(self, images: NDArray[np.uint8]) -> FittedMacenko:
        """Learn a slide's stains from samples of it, uint8 RGB ``(n, h, w, 3)``.

        Raises
        ------
        UsageError
            ``images`` are anything else, or hold too few stained pixels.
        """
        return FittedMacenko(self.light, *self._stains(images), self.target_stains, self.target_most)

    def _stains(self, images: NDArray[np.uint8]) -> tuple[Stains, tuple[float, float]]:
        from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

        pixels = sampled_pixels(images)
        stained = np.count_nonzero(np.all(_density(pixels, self.light) >= self.least_density, axis=-1))
        if stained < LEAST_STAINED:
            msg = (
                f"Macenko's stains need {LEAST_STAINED} stained pixels, found {stained} of {len(pixels)}: "
                f"pass images that hold cells, or lower least_density (now {self.least_density})"
            )
            raise UsageError(msg)
        normalizer = NumpyMacenkoNormalizer()
        normalizer.fit(pixels, Io=self.light, alpha=self.percentile, beta=self.least_density)
        return _tuples(normalizer.HERef), (float(normalizer.maxCRef[0]), float(normalizer.maxCRef[1]))


@dataclass(frozen=True)
class FittedMacenko(FittedColour):
    """The stain normalisation of one slide; the fields are `Macenko`'s, the source being the slide."""

    method: ClassVar[str] = "macenko"
    light: float
    source_stains: Stains
    source_most: tuple[float, float]
    target_stains: Stains
    target_most: tuple[float, float]

    def _normalised(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        gain = np.divide(self.target_most, self.source_most, out=np.ones(2), where=_present(self.source_most))
        # Amounts by least squares, scaled, mixed again: all linear in the density, hence one 3 x 3 matrix.
        change = np.array(self.target_stains) @ np.diag(gain) @ np.linalg.pinv(np.array(self.source_stains))
        density = _density(image, self.light) @ change.T.astype(np.float32)
        return to_uint8(self.light * np.exp(-density))

    def amounts(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return how much of each of the slide's two stains a pixel holds, float32 ``(h, w, 2)``, natural-log units."""
        return _amounts(rgb_image(image), np.array(self.source_stains), self.light)


def separate_stains(
    image: NDArray[np.uint8], matrix: StainMatrix | NDArray[np.floating] = "giemsa"
) -> NDArray[np.float32]:
    """Return how much of each stain a pixel holds, by scikit-image's colour deconvolution.

    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001.

    Parameters
    ----------
    image
        uint8 RGB of shape ``(h, w, 3)``.
    matrix
        "giemsa" (methyl blue, eosin, a third at right angles; `skimage.color.bex_from_rgb`), "hed" (haematoxylin,
        eosin, DAB), or a 3 x 3 matrix that takes optical densities to stains, as scikit-image's.

    Returns
    -------
    float32 of shape ``(h, w, 3)``, not below 0, in scikit-image's units: natural-log density over -ln(1e-6).

    Raises
    ------
    UsageError
        The matrix's name is unknown, or its shape is not ``(3, 3)``.
    """
    from skimage.color import bex_from_rgb, hed_from_rgb
    from skimage.color import separate_stains as deconvolve

    named = {"giemsa": bex_from_rgb, "hed": hed_from_rgb}
    if isinstance(matrix, str) and matrix not in named:
        msg = f"unknown stain matrix {matrix!r}: use one of {', '.join(get_args(StainMatrix))}, or a 3 x 3 matrix"
        raise UsageError(msg)
    values = named[matrix] if isinstance(matrix, str) else np.asarray(matrix)
    if values.shape != (3, 3):
        msg = f"a stain matrix has shape (3, 3), found {values.shape}"
        raise UsageError(msg)
    return np.asarray(deconvolve(rgb_image(image), values), np.float32)


def _density(pixels: NDArray[np.uint8], light: float) -> NDArray[np.float32]:
    """Return the optical density of each channel; one grey level is added, so that black stays finite."""
    table = -np.log((np.arange(256) + 1) / light)
    return np.asarray(table.astype(np.float32)[pixels])


def _amounts(image: NDArray[np.uint8], stains: NDArray[np.float64], light: float) -> NDArray[np.float32]:
    return np.asarray(_density(image, light) @ np.linalg.pinv(stains).T.astype(np.float32), np.float32)


def _present(most: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(np.array(most)) > LEAST_DENSITY)


def _tuples(stains: NDArray[np.float64]) -> Stains:
    red, green, blue = ((float(first), float(second)) for first, second in stains)
    return red, green, blue
