"""Red cells, platelets and specks: a slide's library of sprites.

A red cell's sprite is its thickness, float32 ``(side, side)``, in units of the slide's red stain; a speck's is optical
density, float32 ``(side, side, 3)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.shapes import blob, draw, smooth_noise, step
from wsi_patches.synthetic.stains import Stains

__all__ = [
    "RED_DIAMETER",
    "RED_SPRITES",
    "SPECK_SPRITES",
    "debris_sprite",
    "dihedral",
    "halo_sprite",
    "platelet_sprite",
    "red_sprite",
]

RED_DIAMETER = 0.62
"""Diameter of a red cell in white cell diameters: 7.5 um over 12 um."""
RED_SPRITES = 96
SPECK_SPRITES = 32


def red_sprite(settings: SmearSettings, index: int) -> NDArray[np.float32]:
    """Return the thickness of the red cell ``index`` of the library."""
    rng = np.random.default_rng([settings.seed, 7101, index])
    radius_px = settings.cell_diameter_px * RED_DIAMETER / 2 * rng.normal(1, 0.07)
    side = 2 * int(np.ceil(radius_px * 1.45)) + 3
    y, x = np.mgrid[:side, :side].astype(np.float32) - np.float32((side - 1) / 2)
    angle = np.arctan2(y, x)
    edge = _edge(rng, angle)
    u = np.hypot(x, y) / (edge * np.float32(radius_px))
    inside = step(-u, -1, max(1.4 / radius_px, 0.05))
    thickness = inside * _profile(rng, settings, u, x / radius_px, y / radius_px)
    halo = np.exp(-(((u - np.float32(1.09)) / np.float32(0.05)) ** 2))
    thickness -= np.float32(0.22 * settings.rim) * halo * (1 - inside)
    return np.asarray(thickness * np.float32(rng.normal(1, 0.08)), np.float32)


def _edge(rng: np.random.Generator, angle: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the radius over the angle, 1 on average: oval, a little dented, at times crenated or drop shaped."""
    oval = abs(rng.normal(0, 0.07)) + (0.25 if rng.random() < 0.05 else 0.0)
    edge = 1 + oval * np.cos(2 * angle + rng.uniform(0, 6.3))
    for order in (3, 4, 5):
        edge += rng.normal(0, 0.02) * np.cos(order * angle + rng.uniform(0, 6.3))
    shape = rng.random()
    if shape < 0.03:
        edge += 0.05 * np.cos(rng.integers(9, 14) * angle + rng.uniform(0, 6.3))
    elif shape < 0.05:
        edge += 0.45 * np.exp(8 * (np.cos(angle - rng.uniform(0, 6.3)) - 1))
    return np.asarray(edge, np.float32)


def _profile(
    rng: np.random.Generator,
    settings: SmearSettings,
    u: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the thickness over the place: a dimpled disc with a darker rim."""
    width = np.float32(_pallor_width(settings) * rng.normal(1, 0.12))
    off = rng.normal(0, 0.10, 2)
    dimple = np.exp(-((((x - off[0]) ** 2 + (y - off[1]) ** 2) / width**2) ** rng.uniform(0.9, 1.8)))
    pallor = np.clip(settings.pallor * rng.normal(1, 0.25), 0, 0.95)
    rim = np.exp(-(((u - np.float32(0.93)) / np.float32(0.07)) ** 2))
    tilt = 1 + rng.normal(0, 0.08) * x + rng.normal(0, 0.08) * y
    return np.asarray((1 - pallor * dimple + 1.1 * settings.rim * rim) * tilt, np.float32)


def _pallor_width(settings: SmearSettings) -> float:
    """Return how wide the pale middle is on this slide, as a share of the radius: thin films have rings."""
    return float(np.random.default_rng([settings.seed, 7104]).uniform(0.34, 0.62))


def platelet_sprite(settings: SmearSettings, index: int) -> NDArray[np.float32]:
    """Return the optical density of the platelet ``index`` of the library."""
    rng = np.random.default_rng([settings.seed, 7102, index])
    radius_px = settings.cell_diameter_px * rng.lognormal(np.log(0.105), 0.25)
    side = 2 * int(np.ceil(radius_px * 1.7)) + 3
    stains = Stains.of(settings).jittered(rng)
    body = draw([blob(rng, 0.10, rng.uniform(0, 0.35))], side, radius_px)
    core = draw([blob(rng, 0.12, rng.uniform(0, 0.3), 0.65)], side, radius_px)
    granules = step(smooth_noise(rng, side, max(0.45 * radius_px, 2.0)), 0.1, 1.2)
    azure = core * (0.18 + 0.3 * granules) + 0.12 * body * granules
    return np.asarray(azure[..., None] * stains.chromatin + (0.16 * body)[..., None] * stains.blue, np.float32)


def halo_sprite(settings: SmearSettings, index: int) -> NDArray[np.float32]:
    """Return how much of a red cell the platelet ``index`` lifts away around it, 0..1, shape ``(side, side)``."""
    rng = np.random.default_rng([settings.seed, 7105, index])
    radius_px = settings.cell_diameter_px * rng.uniform(0.12, 0.2)
    side = 2 * int(np.ceil(radius_px * 1.7)) + 3
    body = draw([blob(rng, 0.08, rng.uniform(0, 0.2))], side, radius_px)
    return np.asarray(np.float32(rng.uniform(0.3, 0.9)) * body, np.float32)


def debris_sprite(settings: SmearSettings, index: int) -> NDArray[np.float32]:
    """Return the optical density of the speck of dirt ``index`` of the library."""
    rng = np.random.default_rng([settings.seed, 7103, index])
    radius_px = settings.cell_diameter_px * rng.lognormal(np.log(0.05), 0.4)
    side = 2 * int(np.ceil(radius_px * 2.2)) + 3
    body = draw([blob(rng, 0.2, rng.uniform(0, 0.6))], side, radius_px)
    colour = rng.uniform(0.15, 0.7) * np.array([0.6, 0.75, 0.7]) * rng.normal(1, 0.15, 3)
    return np.asarray(body[..., None] * colour, np.float32)


def dihedral(sprite: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Return one of the eight views of a sprite, ``turn`` in 0..7; no pixel is copied."""
    view = np.rot90(sprite, turn % 4)
    return view.swapaxes(0, 1) if turn >= 4 else view
