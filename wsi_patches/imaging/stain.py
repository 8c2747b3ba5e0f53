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

StainMatrix = Literal["hed", "giemsa"]
Triple = tuple[float, float, float]
Stains = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
GLASS_SHARE = 0.1
"""The brightest tenth of a slide's samples stands for glass."""
LEAST_STAINED = 100
"""Stained pixels that two directions of colour can be read from."""
LEAST_DENSITY = 1e-3
"""99th percentile of a stain's amount below which there is none of it."""


@dataclass(frozen=True)
class Macenko:
    """Macenko's stain normalisation ("A method for normalizing histology slides", ISBI 2009), fitted by torchstain.

    Two stains are read from a slide as the extreme directions of its pixels' densities in their main plane; each
    pixel's amounts are scaled so that their 99th percentiles meet the reference's, and put together again with the
    reference's stains and light.

    Parameters
    ----------
    light
        Grey level of empty glass in every channel (240 when published), or None to read it from each slide: the median
        of its brightest tenth.
    least_density
        Pixels with less mean optical density than this are left out of the fit. The published rule asks it of every
        channel, which leaves out red cells, as they hardly absorb red.
    percentile
        Share of pixels, percent, beyond the direction that is taken as extreme.
    target_stains
        The reference's two stains, one a column, rows red, green, blue; see `toward`. The defaults are those of usual
        smears (as `Reinhard`'s), not torchstain's haematoxylin and eosin.
    target_most
        The reference's 99th percentiles of their amounts in stained pixels.
    target_light
        Empty glass of the reference.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    light: float | None = None
    least_density: float = 0.15
    percentile: float = 1.0
    target_stains: Stains = ((0.672, 0.343), (0.718, 0.859), (0.181, 0.379))
    target_most: tuple[float, float] = (0.94, 1.88)
    target_light: Triple = (240.0, 240.0, 240.0)

    def __post_init__(self) -> None:
        light = 240.0 if self.light is None else self.light
        if not (1 <= light <= 255 and self.least_density >= 0 and 0 <= self.percentile < 50):
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
        light, stains, most = self._look(reference)
        return replace(self, target_stains=stains, target_most=most, target_light=light)

    def fit(self, images: NDArray[np.uint8]) -> FittedMacenko:
        """Learn a slide's stains from samples of it, uint8 RGB ``(n, h, w, 3)``.

        Raises
        ------
        UsageError
            ``images`` are anything else, or hold too few stained pixels.
        """
        return FittedMacenko(*self._look(images), self.target_light, self.target_stains, self.target_most)

    def _look(self, images: NDArray[np.uint8]) -> tuple[Triple, Stains, tuple[float, float]]:
        from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

        pixels = sampled_pixels(images)
        light = _glass(pixels) if self.light is None else (self.light, self.light, self.light)
        stained = pixels[_density(pixels, light).mean(axis=-1) >= self.least_density]
        if len(stained) < LEAST_STAINED:
            msg = (
                f"Macenko's stains need {LEAST_STAINED} stained pixels, found {len(stained)} of {len(pixels)}: "
                f"pass images that hold cells, or lower least_density (now {self.least_density})"
            )
            raise UsageError(msg)
        normalizer = NumpyMacenkoNormalizer()
        normalizer.fit(stained, Io=np.array(light), alpha=self.percentile, beta=-np.inf)
        return light, _tuples(normalizer.HERef), (float(normalizer.maxCRef[0]), float(normalizer.maxCRef[1]))


@dataclass(frozen=True)
class FittedMacenko(FittedColour):
    """The stain normalisation of one slide; the fields are `Macenko`'s, the source being the slide."""

    method: ClassVar[str] = "macenko"
    source_light: Triple
    source_stains: Stains
    source_most: tuple[float, float]
    target_light: Triple
    target_stains: Stains
    target_most: tuple[float, float]

    def _normalised(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        gain = np.divide(self.target_most, self.source_most, out=np.ones(2), where=_present(self.source_most))
        # Amounts by least squares, scaled, mixed again: all linear in the density, hence one 3 x 3 matrix.
        change = np.array(self.target_stains) @ np.diag(gain) @ np.linalg.pinv(np.array(self.source_stains))
        density = _density(image, self.source_light) @ change.T.astype(np.float32)
        return to_uint8(np.array(self.target_light, np.float32) * np.exp(-density))

    def amounts(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return how much of each of the slide's two stains a pixel holds, float32 ``(h, w, 2)``, natural-log units."""
        unmix = np.linalg.pinv(np.array(self.source_stains)).T.astype(np.float32)
        return np.asarray(_density(rgb_image(image), self.source_light) @ unmix, np.float32)


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


def _glass(pixels: NDArray[np.uint8]) -> Triple:
    """Return the colour of empty glass, the brightest of a smear."""
    green = pixels[:, 1]
    red, green, blue = np.median(pixels[green >= np.quantile(green, 1 - GLASS_SHARE)], axis=0)
    return max(1.0, float(red)), max(1.0, float(green)), max(1.0, float(blue))


def _density(pixels: NDArray[np.uint8], light: Triple) -> NDArray[np.float32]:
    """Return the optical density of each channel; one grey level is added, so that black stays finite."""
    levels = (np.log(light) - np.log(np.arange(1.0, 257.0))[:, None]).astype(np.float32)
    return np.stack([levels[pixels[..., channel], channel] for channel in range(3)], axis=-1)


def _present(most: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(np.array(most)) > LEAST_DENSITY)


def _tuples(stains: NDArray[np.float64]) -> Stains:
    red, green, blue = ((float(first), float(second)) for first, second in stains)
    return red, green, blue
