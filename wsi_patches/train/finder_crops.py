"""Crops of fields for training: of any scale, turn, stain, light and focus, with their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.models.finder_network import FINDER_CLASSES, GREY, RED_CELL_PX
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX, FinderField
from wsi_patches.train.finder_targets import FieldCells

__all__ = ["Crop", "CropLook", "cut_crop", "relit"]

OUT_OF_SCALE = (2.2, 4.5)
"""How many times too large or too small red cells are in a crop that has nothing to be found."""
RED = FINDER_CLASSES.index("red_cell")
BARE = 0.1
"""Share of a crop that is at most as dark as its bare parts."""
BLUE_VIOLET = (0.8, 1.0, 0.4)
"""Optical density of a thin layer of stain, red, green and blue."""
NOTHING = np.array([1, 1, 0], np.float32)
"""How sure it is that such a crop has no cell of each class: from far away, cells are as small as platelets."""
NO_CELLS = FieldCells(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True)
class CropLook:
    """How crops differ from the fields that they are cut from."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    scale: float = 1.45
    """A red cell is up to so many times larger or smaller than `RED_CELL_PX`."""
    out_of_scale: float = 0.12
    """Share of the crops at a scale so wrong that nothing is to be found, by which the scale of a slide is told."""
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
    bluish: float = 0.35
    """Share of the crops whose red cells hold more stain than they did, as young, thick and unsharp ones do."""
    hard: float = 0.25
    """Share of the crops whose hue and tint change three times as much."""
    saturation: tuple[float, float] = (0.5, 1.5)
    vignette: float = 0.5
    """Optical density that the light may fall off by, from one side of the crop to the other."""
    blur_px: float = 3.0
    """Largest standard deviation of the blur; small ones are frequent."""
    noise: float = 6.0
    """Standard deviation, grey levels."""
    precipitate: float = 0.15
    """Share of the crops with stain that fell out, which is no cell."""
    coarse: float = 0.4
    """Share of the crops that a camera with larger pixels took, and stored as JPEG."""
    coarsest: float = 2.4
    """How many times larger those pixels are at most."""
    jpeg_quality: int = 60
    """The lowest."""


@dataclass(frozen=True)
class Crop:
    """What one look at a field gives."""

    image: NDArray[np.uint8]
    """RGB ``(side_px, side_px, 3)``."""
    cells: FieldCells
    """In the crop's pixels, those outside of it too."""
    empty_weight: NDArray[np.float32]
    there: NDArray[np.bool_]
    """Both as `paint_targets` takes them."""
    placed: NDArray[np.float64]
    """The affine map from the field's pixels to the crop's, ``(2, 3)``."""


def cut_crop(field: FinderField, side_px: int, look: CropLook, rng: np.random.Generator) -> Crop:
    """Cut a turned and scaled square crop; `GREY` lies outside of the field."""
    wrong = rng.random() < look.out_of_scale
    factor = RED_CELL_PX / HELD_RED_CELL_PX * (_wrong_scale(rng) if wrong else look.scale ** rng.uniform(-1, 1))
    matrix = _placed(field, factor, side_px, look, rng)
    size = (side_px, side_px)
    how = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR
    image = np.asarray(cv2.warpAffine(field.image, matrix, size, flags=how, borderValue=(GREY, GREY, GREY)), np.uint8)
    there = cv2.warpAffine(np.ones(field.image.shape[:2], np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    x, y = matrix[:, :2] @ np.stack([field.cells.x, field.cells.y]) + matrix[:, 2:]
    cells = FieldCells(x, y, field.cells.radius_px * factor, field.cells.class_index)
    if rng.random() < look.bluish:
        image = _more_stain(image, cells, rng)
    image = relit(image, look, rng)
    image[there == 0] = GREY
    return Crop(image, *((NO_CELLS, NOTHING) if wrong else (cells, field.empty_weight)), there == 1, matrix)


def _more_stain(image: NDArray[np.uint8], cells: FieldCells, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a crop whose red cells are bluer and darker, each by its own amount, and less pale in the middle."""
    darker, filled = np.zeros((2, *image.shape[:2]), np.float32)
    most = rng.uniform(0.2, 1)
    for row in np.argsort(-cells.class_index, kind="stable"):  # white cells last: they stay as they are
        centre = (round(cells.x[row]), round(cells.y[row]))
        amount = most * rng.uniform(0.3, 1) if cells.class_index[row] == RED else 0.0
        for plane, reach in ((darker, 1.15), (filled, 0.75)):
            cv2.circle(plane, centre, round(reach * cells.radius_px[row]), amount, cv2.FILLED)
    darker, filled = (cv2.GaussianBlur(plane, (0, 0), 2.0)[..., None] for plane in (darker, filled))
    density = -np.log(np.maximum(image, 1).astype(np.float32) / 255)
    above = np.maximum(density - np.quantile(density, BARE, axis=(0, 1)).astype(np.float32), 0)
    colour = (np.array(BLUE_VIOLET) * rng.uniform(0.7, 1.3, 3)).astype(np.float32)
    stained = density + (1.5 * darker * above + filled / 2) * colour
    return np.asarray(255 * np.exp(-stained), np.uint8)


def _wrong_scale(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(OUT_OF_SCALE))) ** rng.choice([-1, 1]))


def _placed(
    field: FinderField, factor: float, side_px: int, look: CropLook, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the affine map from the field to a crop, ``(2, 3)``: turned, maybe mirrored, aimed at a cell or not."""
    angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    if rng.random() < 0.5:  # upright borders, as photographs have them
        angle = np.pi / 2 * rng.integers(4)
    turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([mirror, 1])
    aimed = side_px / 2 + rng.uniform(-0.42, 0.42, 2) * side_px - turn @ _aim(field, look, rng)
    return np.hstack([turn, _filled(aimed, turn, field.image.shape[1::-1], side_px)[:, None]])


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
        density = cv2.GaussianBlur(density, (0, 0), 0.2 + (look.blur_px - 0.2) * rng.random() ** 2)
    gain = 255 * tints[1] * np.float32(rng.uniform(1 - look.gain, 1 + look.gain))
    return _photographed(np.exp(-density) * gain, look, rng)


def _photographed(light: NDArray[np.float32], look: CropLook, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return what a camera makes of light of 0 to 255: noise, and for some larger pixels and JPEG."""
    coarse, side = rng.random() < look.coarse, light.shape[0]
    if coarse:
        small = round(side / rng.uniform(1, look.coarsest))
        light = np.asarray(cv2.resize(light, (small, small), interpolation=cv2.INTER_AREA), np.float32)
    seen = light + rng.normal(0, rng.uniform(0.5, look.noise), light.shape)
    image = np.asarray(np.clip(seen, 0, 255), np.uint8)
    if not coarse:
        return image
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(look.jpeg_quality, 100))]
    stored = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.resize(stored, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


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
