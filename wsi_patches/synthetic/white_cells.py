"""One white cell, painted from the slide's seed and its own index, whatever lies around it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.synthetic.kinds import KINDS, WhiteKind
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.shapes import blob, centred, draw, place_disc, smooth_noise, step, total_area
from wsi_patches.synthetic.stains import Stains

__all__ = ["WhiteSprite", "white_sprite"]

Mask = NDArray[np.float32]


class WhiteSprite(NamedTuple):
    """A white cell on its own, its centre in the middle of the array."""

    cover: Mask
    """How much of what lies below is hidden, 0..1, shape ``(side, side)``."""
    density: NDArray[np.float32]
    """Natural-log optical density, shape ``(side, side, 3)``."""


def white_sprite(settings: SmearSettings, kind_name: str, radius_px: float, index: int) -> WhiteSprite:
    """Return the white cell ``index`` of a slide."""
    kind = KINDS[kind_name]
    rng = np.random.default_rng([settings.seed, 7302, index])
    stains = Stains.of(settings).jittered(rng)
    side = 2 * int(np.ceil(radius_px * 1.35)) + 3
    body = draw([centred(blob(rng, kind.body_roughness, abs(rng.normal(0, 0.05))))], side, radius_px)
    nucleus = _nucleus_mask(rng, kind, side, radius_px, body)
    blue, pink = (rng.uniform(*amounts) for amounts in (kind.blue, kind.pink))
    cloud = smooth_noise(rng, side, 0.35 * radius_px) + smooth_noise(rng, side, max(0.1 * radius_px, 2.0))
    texture = 1 + np.float32(0.1) * cloud + np.float32(0.5) * _edge(body, radius_px)
    cytoplasm = body * (1 - np.float32(0.7) * nucleus) * texture
    chromatin = nucleus * _chromatin(rng, kind, nucleus, radius_px)
    density = chromatin[..., None] * stains.chromatin + cytoplasm[..., None] * (blue * stains.blue + pink * stains.pink)
    if kind.granules:
        density += _granules(rng, kind, body, nucleus, radius_px)[..., None] * getattr(stains, kind.granules)
    if rng.random() < kind.vacuoles:
        density *= 1 - np.float32(0.7) * _vacuoles(rng, side, radius_px)[..., None]
    return WhiteSprite(np.float32(0.88) * body, np.asarray(np.maximum(density, 0), np.float32))


def _nucleus_mask(rng: np.random.Generator, kind: WhiteKind, side: int, radius_px: float, body: Mask) -> Mask:
    outlines = kind.nucleus(rng)
    share = rng.uniform(*kind.nucleus_area)
    scale = np.sqrt(share * np.pi / total_area(outlines))
    # A nucleus lies off the middle by about as much as there is room.
    off = rng.normal(0, 0.45, 2).clip(-0.8, 0.8) * (1 - np.sqrt(share))
    mask = draw([outline * scale + off for outline in outlines], side, radius_px)
    inner = cv2.erode(body, np.ones((3, 3), np.uint8))
    return np.minimum(mask, inner)


def _edge(mask: Mask, radius_px: float) -> Mask:
    """Return a soft band along the inside of the edge of a mask, 0..1."""
    smooth = cv2.GaussianBlur(mask, (0, 0), max(0.1 * radius_px, 0.8))
    return np.asarray(mask * np.clip(2 * (1 - smooth), 0, 1), np.float32)


def _chromatin(rng: np.random.Generator, kind: WhiteKind, nucleus: Mask, radius_px: float) -> Mask:
    """Return the amount of stain inside the nucleus: blocks or stipples, a darker membrane, pale nucleoli."""
    side = len(nucleus)
    coarse, fine = (smooth_noise(rng, side, wave * radius_px) for wave in (rng.uniform(0.32, 0.5), 0.2))
    blocks = 2 * step(coarse + np.float32(0.45) * fine, 0, 1.5) - 1
    stipple = smooth_noise(rng, side, max(0.13 * radius_px, 2.0)) + smooth_noise(rng, side, max(0.07 * radius_px, 2.0))
    cloud = smooth_noise(rng, side, 0.9 * radius_px)
    amount = 1 + rng.uniform(*kind.clumps) * blocks + rng.uniform(*kind.stipple) * stipple + 0.04 * cloud
    amount += np.float32(rng.uniform(0.05, 0.3)) * _edge(nucleus, 0.6 * radius_px)
    if kind.nucleoli[1]:
        amount *= _nucleoli(rng, kind, nucleus, radius_px)
    return np.asarray(amount * np.float32(rng.uniform(*kind.nucleus_stain)), np.float32)


def _nucleoli(rng: np.random.Generator, kind: WhiteKind, nucleus: Mask, radius_px: float) -> Mask:
    """Return a factor that is below 1 in nucleoli and a little above around them."""
    side = len(nucleus)
    spots = np.zeros((side, side), np.float32)
    room = cv2.distanceTransform((nucleus > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    rows, columns = np.nonzero(room > 0.3 * radius_px)
    for _ in range(rng.integers(kind.nucleoli[0], kind.nucleoli[1] + 1) if len(rows) else 0):
        at = int(rng.integers(len(rows)))
        place_disc(spots, (columns[at], rows[at]), radius_px * rng.uniform(0.12, 0.22))
    ring = cv2.GaussianBlur(spots, (0, 0), max(0.09 * radius_px, 0.8)) * (1 - spots)
    spots = np.asarray(cv2.GaussianBlur(spots, (0, 0), max(0.035 * radius_px, 0.4)), np.float32)
    return np.asarray(1 - np.float32(rng.uniform(0.28, 0.55)) * spots + np.float32(0.5) * ring, np.float32)


def _granules(rng: np.random.Generator, kind: WhiteKind, body: Mask, nucleus: Mask, radius_px: float) -> Mask:
    grains = step(smooth_noise(rng, len(body), max(kind.granule_size * radius_px, 2.0)), 0.1, 0.9)
    where = body * (1 - np.float32(1 - kind.granules_hide_nucleus) * nucleus)
    return np.asarray(where * grains * np.float32(rng.uniform(*kind.granule_stain)), np.float32)


def _vacuoles(rng: np.random.Generator, side: int, radius_px: float) -> Mask:
    bubbles = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(2, 7)):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9) * radius_px
        centre = (side - 1) / 2 + away * np.array([np.cos(angle), np.sin(angle)])
        place_disc(bubbles, centre, radius_px * rng.uniform(0.05, 0.1))
    return bubbles
