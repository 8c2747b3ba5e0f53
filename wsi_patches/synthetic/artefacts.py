"""What lies on a smear and is no cell to be counted: smudged nuclei, stain that fell out, dirt."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wsi_patches.geometry import Size
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.shapes import SHIFT, blob, centred, draw, smooth_noise, step, turned
from wsi_patches.synthetic.stains import Stains
from wsi_patches.synthetic.white_cells import WhiteSprite

__all__ = ["Discs", "dirt_sprite", "lay_dirt", "lay_precipitate", "lay_smudges", "precipitate_sprite", "smudge_sprite"]

SMUDGE_RADIUS = (0.5, 1.25)
"""In white cell diameters, as all lengths here."""
HEAP_RADIUS = (0.08, 0.7)
GRANULE_RADIUS = (0.008, 0.042)
"""Granules of 0.2 to 1 um, a white cell measuring 12 um."""
DIRT_RADIUS = (0.08, 0.6)
DIRT_COLOURS = np.array([[0.55, 0.58, 0.55], [0.30, 0.50, 0.75], [0.75, 0.50, 0.30], [0.10, 0.55, 0.25]])
"""Grey dust, brown rust and fibres, blue-green and pink dye. No purple: that would be a white cell out of focus."""


@dataclass(frozen=True)
class Discs:
    """Things of one's own size each, in the order of their index."""

    xy: NDArray[np.int64]
    """Centres in level-0 pixels, shape ``(n, 2)``."""
    radius_px: NDArray[np.float64]

    @classmethod
    def drawn(
        cls, size: Size, settings: SmearSettings, per_mpx: float, radius: tuple[float, float], stream: int
    ) -> Discs:
        """Draw places and sizes by chance; small ones are the more frequent."""
        rng = np.random.default_rng([settings.seed, stream])
        count = rng.poisson(per_mpx * size.width * size.height / 1e6)
        xy = rng.integers((0, 0), size, (count, 2))
        return cls(xy, settings.cell_diameter_px * np.exp(rng.uniform(np.log(radius[0]), np.log(radius[1]), count)))


def lay_smudges(size: Size, settings: SmearSettings, white: Discs) -> Discs:
    """Draw the places of smudged nuclei; those that would lie on a white cell are left out."""
    smudges = Discs.drawn(size, settings, settings.smudges_per_mpx, SMUDGE_RADIUS, 7205)
    if not len(smudges.xy) or not len(white.xy):
        return smudges
    neighbours = min(4, len(white.xy))
    away, nearest = cKDTree(white.xy).query(smudges.xy, np.arange(1, neighbours + 1))
    free = (away > white.radius_px[nearest] + smudges.radius_px[:, None]).all(axis=1)
    return Discs(smudges.xy[free], smudges.radius_px[free])


def lay_precipitate(size: Size, settings: SmearSettings) -> Discs:
    """Draw the places of heaps of stain granules."""
    return Discs.drawn(size, settings, settings.precipitate_per_mpx, HEAP_RADIUS, 7206)


def lay_dirt(size: Size, settings: SmearSettings) -> Discs:
    """Draw the places of grains, fibres and spots out of focus."""
    return Discs.drawn(size, settings, settings.dirt_per_mpx, DIRT_RADIUS, 7207)


def smudge_sprite(settings: SmearSettings, radius_px: float, index: int) -> WhiteSprite:
    """Return the nucleus ``index`` that burst when the film was drawn: pale, cloudy, frayed, no cell around it."""
    rng = np.random.default_rng([settings.seed, 7305, index])
    stains = Stains.of(settings).jittered(rng)
    side = 2 * int(np.ceil(2.4 * radius_px)) + 3
    outline = centred(blob(rng, rng.uniform(0.1, 0.28), rng.uniform(0, 0.7), harmonics=8))
    along = np.arctan2(*outline[int(np.argmax(np.hypot(*outline.T)))][::-1])
    soft = cv2.GaussianBlur(draw([outline], side, radius_px), (0, 0), radius_px * rng.uniform(0.12, 0.3))
    drawn_out = 1 + rng.gamma(1.2, 0.8)
    coarse, fine = (
        _streaks(smooth_noise(rng, side, max(wave * radius_px, 2.0)), float(along), drawn_out) for wave in (0.45, 0.14)
    )
    frayed = step(soft + np.float32(0.1) * coarse + np.float32(0.05) * fine, 0.42, rng.uniform(0.5, 0.9))
    frayed *= np.clip(4 * soft, 0, 1)
    if rng.random() < 0.6:
        frayed *= 1 - _holes(rng, side, radius_px)
    amount = 1 + rng.uniform(0.1, 0.3) * coarse + rng.uniform(0.04, 0.16) * fine
    colour = rng.uniform(0.2, 0.5) * stains.chromatin + rng.uniform(0, 0.2) * stains.pink
    density = (np.clip(amount, 0.3, 1.7) * frayed)[..., None] * colour
    return WhiteSprite(np.float32(0.45) * frayed, np.asarray(density, np.float32))


def _streaks(noise: NDArray[np.float32], angle: float, length: float) -> NDArray[np.float32]:
    """Draw noise out along a direction, ``length`` times."""
    middle = (len(noise) - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), float(np.degrees(angle)), 1.0)
    turn[0] = [*(turn[0, :2] / length), middle + (turn[0, 2] - middle) / length]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(noise, turn, noise.shape, flags=flags, borderMode=cv2.BORDER_REFLECT), np.float32)


def _holes(rng: np.random.Generator, side: int, radius_px: float) -> NDArray[np.float32]:
    """Return soft holes, 0..1."""
    holes = [blob(rng, 0.2, 0.3, rng.uniform(0.08, 0.24)) + rng.normal(0, 0.5, 2) for _ in range(rng.integers(1, 8))]
    soft = cv2.GaussianBlur(draw(holes, side, radius_px), (0, 0), 0.07 * radius_px + 0.3)
    return np.asarray(np.float32(rng.uniform(0.4, 0.95)) * soft, np.float32)


def precipitate_sprite(settings: SmearSettings, radius_px: float, index: int) -> NDArray[np.float32]:
    """Return the optical density of the heap ``index``: dark purple-red granules, dense in the middle."""
    rng = np.random.default_rng([settings.seed, 7306, index])
    side = 2 * int(np.ceil(2.4 * radius_px)) + 3
    granule_px = settings.cell_diameter_px * np.array(GRANULE_RADIUS)
    filled = rng.uniform(0.1, 0.8)
    count = int(np.clip(filled * (radius_px / granule_px.mean()) ** 2, 4, 400))
    places = rng.normal(0, 0.6 * radius_px, (count, 2)) * np.array([1, rng.uniform(0.4, 1)])
    places = turned(places, rng.uniform(0, np.pi))
    sizes = np.exp(rng.uniform(np.log(granule_px[0]), np.log(granule_px[1]), count))
    grains = cv2.GaussianBlur(_grains(places, sizes, side, rng), (0, 0), 0.3 + 0.1 * granule_px[1])
    colour = rng.uniform(0.9, 2.2) * (Stains.of(settings).chromatin + rng.uniform(0, 0.3, 3) * (0, 1, 1))
    return np.asarray(grains[..., None] * colour, np.float32)


def _grains(
    places: NDArray[np.float64], sizes: NDArray[np.float64], side: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the amount of granules over a plane, 0..1; those that lie outside are lost."""
    canvas = np.zeros((side, side), np.uint8)
    for (x, y), radius in zip(places + (side - 1) / 2, sizes, strict=True):
        # A granule smaller than a pixel darkens that pixel by its area only.
        amount = 255 * rng.uniform(0.6, 1) * min(1.0, (radius / 0.6) ** 2)
        centre = (round(x * (1 << SHIFT)), round(y * (1 << SHIFT)))
        cv2.circle(canvas, centre, round(max(radius, 0.6) * (1 << SHIFT)), amount, -1, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) * np.float32(1 / 255)


def dirt_sprite(settings: SmearSettings, radius_px: float, index: int) -> NDArray[np.float32]:
    """Return the optical density of the piece of dirt ``index``: a sharp grain, a fibre, or a spot out of focus."""
    rng = np.random.default_rng([settings.seed, 7307, index])
    side = 2 * int(np.ceil(2.4 * radius_px)) + 3
    what = rng.choice(["grain", "fibre", "spot"], p=[0.3, 0.2, 0.5])
    if what == "fibre":
        body, amount = _fibre(rng, side, radius_px), rng.uniform(0.2, 1.2)
    else:
        body = draw([centred(blob(rng, 0.22 if what == "grain" else 0.08, rng.uniform(0, 0.6)))], side, radius_px)
        amount = rng.uniform(0.4, 2.0) if what == "grain" else rng.uniform(0.1, 0.7)
    if what == "spot":
        body = np.asarray(cv2.GaussianBlur(body, (0, 0), radius_px * rng.uniform(0.2, 0.45)), np.float32)
    texture = 1 + np.float32(0.15) * smooth_noise(rng, side, max(0.4 * radius_px, 2.0))
    colour = amount * DIRT_COLOURS[rng.choice(len(DIRT_COLOURS), p=[0.4, 0.3, 0.2, 0.1])] * rng.normal(1, 0.1, 3)
    return np.asarray((np.clip(texture, 0, 2) * body)[..., None] * colour, np.float32)


def _fibre(rng: np.random.Generator, side: int, radius_px: float) -> NDArray[np.float32]:
    """Return the mask of a thin winding line, 0..1."""
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, 24))
    line = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    line = (line - line.mean(axis=0)) * 3.6 * radius_px / len(line) + (side - 1) / 2
    points = np.round(line * (1 << SHIFT)).astype(np.int32)
    canvas = np.zeros((side, side), np.uint8)
    cv2.polylines(canvas, [points], False, 255, max(1, round(0.08 * radius_px)), cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) * np.float32(1 / 255)
