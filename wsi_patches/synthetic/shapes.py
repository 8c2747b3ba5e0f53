"""Outlines, soft masks and smooth noise: what painted cells are made of.

Outlines are closed polygons, float64 of shape ``(n, 2)``, in units of the cell's radius around its centre.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Outline", "blob", "centred", "draw", "place_disc", "smooth_noise", "step", "total_area", "turned"]

Outline = NDArray[np.float64]
SHIFT = 4
POINTS = 72


def blob(
    rng: np.random.Generator, roughness: float, elongation: float = 0.0, radius: float = 1.0, harmonics: int = 6
) -> Outline:
    """Return a roundish outline.

    Parameters
    ----------
    rng
        Where chance comes from.
    roughness
        Standard deviation of the radius around the outline, as a share of the radius.
    elongation
        0 for a round one; 0.3 is 30 % longer than wide.
    radius
        Mean radius.
    harmonics
        The finest wave around the outline.
    """
    angle = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    order = np.arange(2, harmonics + 1)
    weight = rng.normal(0, 1, len(order)) / (order - 1)
    waves = np.cos(order * angle[:, None] + rng.uniform(0, 2 * np.pi, len(order))) @ weight
    # A random sum may come out nearly flat or very rough; the roughness asked for is the one that is given.
    rho = radius * (1 + roughness * waves / max(float(waves.std()), 1e-6) * rng.uniform(0.6, 1.3))
    points = rho[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points[:, 0] *= 1 + elongation
    return turned(points, rng.uniform(0, 2 * np.pi))


def turned(points: Outline, angle: float) -> Outline:
    """Return the outline turned by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def centred(outline: Outline) -> Outline:
    """Move the outline's centre of area to 0, so that what is painted lies where the truth says; set its area to pi."""
    moments = cv2.moments(outline.astype(np.float32))
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    return np.asarray((outline - centre) * np.sqrt(np.pi / moments["m00"]))


def total_area(outlines: Sequence[Outline]) -> float:
    """Return the sum of the areas of outlines that may overlap a little."""
    return float(sum(cv2.contourArea(outline.astype(np.float32)) for outline in outlines))


def draw(outlines: Sequence[Outline], side: int, scale_px: float) -> NDArray[np.float32]:
    """Return the mask of a union of outlines, 0..1 with soft edges, shape ``(side, side)``, centred."""
    mask = np.zeros((side, side), np.uint8)
    for outline in outlines:
        points = np.round((outline * scale_px + (side - 1) / 2) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, SHIFT)
    return mask.astype(np.float32) * np.float32(1 / 255)


def place_disc(mask: NDArray[np.float32], xy_px: Sequence[float] | NDArray[np.float64], radius_px: float) -> None:
    """Draw a filled disc of value 1 into a mask."""
    centre = (round(xy_px[0] * (1 << SHIFT)), round(xy_px[1] * (1 << SHIFT)))
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.circle(canvas, centre, max(1, round(radius_px * (1 << SHIFT))), 255, -1, cv2.LINE_AA, SHIFT)
    np.maximum(mask, canvas.astype(np.float32) * np.float32(1 / 255), out=mask)


def smooth_noise(rng: np.random.Generator, side: int, wavelength_px: float) -> NDArray[np.float32]:
    """Return noise of mean 0 and standard deviation of about 1 that changes over ``wavelength_px``."""
    step_px = max(wavelength_px / 2, 1.0)
    nodes = int(np.ceil(side / step_px)) + 4
    coarse = rng.standard_normal((nodes, nodes), np.float32)
    at = np.float32(1 / step_px)
    move = np.array([[at, 0, rng.uniform(1, 2)], [0, at, rng.uniform(1, 2)]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    noise = cv2.warpAffine(coarse, move, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(noise * np.float32(1.35), np.float32)


def step(values: NDArray[np.float32], at: float, width: float) -> NDArray[np.float32]:
    """Return 0 well below ``at``, 1 well above, a straight ramp of ``width`` between."""
    return np.asarray(np.clip((values - np.float32(at)) * np.float32(1 / width) + np.float32(0.5), 0, 1), np.float32)
