"""Crops of fields for training: of any scale, turn, stain, light and focus, with their targets."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.models.finder_network import GREY, RED_CELL_PX
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX, FinderField
from wsi_patches.train.finder_targets import FieldCells

__all__ = ["CropLook", "cut_crop", "relit"]


@dataclass(frozen=True)
class CropLook:
    """How crops differ from the fields that they are cut from."""

    scale: float = 1.45
    """A red cell is up to so many times larger or smaller than `RED_CELL_PX`."""
    near_white: float = 0.7
    """Share of the crops that are cut around a white cell, where there is one."""
    density: float = 1.4
    """Optical density is up to so many times more or less."""
    gain: float = 0.2
    """The light is up to this share brighter or darker."""
    tint: float = 1.15
    """Density and light of each channel are up to so many times more or less besides."""
    hue: float = 8.0
    """Of 180."""
    hard: float = 0.25
    """Share of the crops whose hue and tint change three times as much."""
    saturation: tuple[float, float] = (0.5, 1.5)
    vignette: float = 0.5
    """Optical density that the light may fall off by, from one side of the crop to the other."""
    blur_px: float = 1.8
    noise: float = 6.0
    """Standard deviation, grey levels."""
    precipitate: float = 0.15
    """Share of the crops with stain that fell out, which is no cell."""


def cut_crop(
    field: FinderField, side_px: int, look: CropLook, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], FieldCells]:
    """Cut a turned and scaled square crop; `GREY` lies outside of the field.

    Returns
    -------
    uint8 RGB ``(side_px, side_px, 3)``, and the field's cells in the crop's pixels, those outside of it too.
    """
    factor = RED_CELL_PX / HELD_RED_CELL_PX * look.scale ** rng.uniform(-1, 1)
    angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    if rng.random() < 0.5:  # upright borders, as photographs have them
        angle = np.pi / 2 * rng.integers(4)
    turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([mirror, 1])
    aimed = side_px / 2 + rng.uniform(-0.42, 0.42, 2) * side_px - turn @ _aim(field, look, rng)
    move = _filled(aimed, turn, field.image.shape[1::-1], side_px)
    matrix, size = np.hstack([turn, move[:, None]]), (side_px, side_px)
    image = cv2.warpAffine(field.image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(GREY, GREY, GREY))
    there = cv2.warpAffine(np.ones(field.image.shape[:2], np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    image = relit(np.asarray(image, np.uint8), look, rng)
    image[there == 0] = GREY
    cells = field.cells
    x, y = turn @ np.stack([cells.x, cells.y]) + move[:, None]
    return image, FieldCells(x, y, cells.radius_px * factor, cells.class_index)


def _aim(field: FinderField, look: CropLook, rng: np.random.Generator) -> NDArray[np.float64]:
    white = np.flatnonzero(field.cells.class_index == 0)
    if len(white) and rng.random() < look.near_white:
        row = rng.choice(white)
        return np.array([field.cells.x[row], field.cells.y[row]])
    return rng.uniform(0, field.image.shape[1::-1])


def _filled(
    move: NDArray[np.float64], turn: NDArray[np.float64], size: tuple[int, int], side_px: int
) -> NDArray[np.float64]:
    """Return a move that leaves no more of a crop empty than a field of that size must."""
    corners = turn @ (np.array([[0, 1, 0, 1], [0, 0, 1, 1]]) * np.array(size)[:, None])
    flush = np.stack([-corners.min(axis=1), side_px - corners.max(axis=1)])
    return np.asarray(np.clip(move, flush.min(axis=0), flush.max(axis=0)), np.float64)


def relit(image: NDArray[np.uint8], look: CropLook, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a crop as it might have been stained, lit and photographed elsewhere."""
    far = 3 if rng.random() < look.hard else 1
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + far * rng.uniform(-look.hue, look.hue)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(*look.saturation), 0, 255)
    light = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32) / 255
    tints = look.tint ** (far * rng.uniform(-1, 1, (2, 3)).astype(np.float32))
    density = -np.log(np.maximum(light, 1 / 255)) * tints[0] * look.density ** np.float32(rng.uniform(-1, 1))
    if rng.random() < look.precipitate:
        density += _precipitate(image.shape[0], rng)
    density += _falloff(image.shape[0], look.vignette, rng)
    if rng.random() < 0.5:
        density = cv2.GaussianBlur(density, (0, 0), rng.uniform(0.2, look.blur_px))
    gain = 255 * tints[1] * np.float32(rng.uniform(1 - look.gain, 1 + look.gain))
    seen = np.exp(-density) * gain + rng.normal(0, rng.uniform(0.5, look.noise), image.shape)
    return np.asarray(np.clip(seen, 0, 255), np.uint8)


def _falloff(side_px: int, most: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a slope of optical density, a little different for each colour, ``(side, side, 3)``."""
    slope = np.linspace(-0.5, 0.5, side_px, dtype=np.float32)
    along = rng.normal(size=2)
    along *= rng.uniform(0, most) / max(np.abs(along).sum(), 1e-6)
    plane = along[0] * slope[:, None] + along[1] * slope[None, :]
    return np.asarray(plane[..., None] * rng.uniform(0.6, 1.4, 3), np.float32)


def _precipitate(side_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the optical density of a heap of stain granules, ``(side, side, 3)``."""
    plane = np.zeros((side_px, side_px), np.uint8)
    middle, spread = rng.uniform(0, side_px, 2), rng.uniform(3, 24)
    for x, y in rng.normal(middle, spread, (int(rng.integers(5, 80)), 2)):
        cv2.circle(plane, (round(x), round(y)), int(rng.integers(1, 4)), 255, cv2.FILLED)
    grains = cv2.GaussianBlur(plane, (0, 0), 0.7).astype(np.float32) / 255
    colour = rng.uniform(0.5, 1.8) * np.array([0.75, 1.0, 0.35]) * rng.uniform(0.8, 1.2, 3)
    return np.asarray(grains[..., None] * colour, np.float32)
