"""Outlines of nuclei by kind of white cell; lists of polygons in units of the cell's radius, area not yet set."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wsi_patches.synthetic.shapes import Outline, blob, turned

__all__ = ["cleft_nucleus", "kidney_nucleus", "lobed_nucleus", "round_nucleus", "two_lobed_nucleus"]


def round_nucleus(rng: np.random.Generator) -> list[Outline]:
    """Round and smooth: a mature lymphocyte."""
    return [blob(rng, 0.016, abs(rng.normal(0, 0.07)), harmonics=4)]


def cleft_nucleus(rng: np.random.Generator) -> list[Outline]:
    """Uneven, mostly dented or cleft: a lymphoblast."""
    outline = blob(rng, rng.uniform(0.03, 0.075), abs(rng.normal(0, 0.1)), harmonics=7)
    for _ in range(rng.choice([0, 1, 2], p=[0.15, 0.6, 0.25])):
        outline = _dented(outline, rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.55), rng.uniform(0.12, 0.3))
    return [outline]


def kidney_nucleus(rng: np.random.Generator) -> list[Outline]:
    """Bent or folded: a monocyte."""
    outline = blob(rng, 0.04, rng.uniform(0.15, 0.4), harmonics=5)
    towards = np.arctan2(*outline[int(np.argmin(np.hypot(*outline.T)))][::-1])
    return [_dented(outline, float(towards), rng.uniform(0.35, 0.75), rng.uniform(0.35, 0.6))]


def lobed_nucleus(rng: np.random.Generator) -> list[Outline]:
    """Two to five lobes on a strand: a neutrophil."""
    return _lobes(rng, int(rng.choice([2, 3, 4, 5], p=[0.15, 0.45, 0.3, 0.1])), rng.uniform(2.2, 4.4))


def two_lobed_nucleus(rng: np.random.Generator) -> list[Outline]:
    """Two lobes, like spectacles: an eosinophil."""
    return _lobes(rng, int(rng.choice([2, 3], p=[0.85, 0.15])), rng.uniform(1.8, 2.8))


def _dented(outline: Outline, angle: float, depth: float, width: float) -> Outline:
    """Push the outline in around one direction."""
    turn = np.angle(np.exp(1j * (np.arctan2(outline[:, 1], outline[:, 0]) - angle)))
    return np.asarray(outline * (1 - depth * np.exp(-((turn / width) ** 2)))[:, None])


def _lobes(rng: np.random.Generator, count: int, arc: float) -> list[Outline]:
    """Return lobes along an arc of ``arc`` radians and the strands between them."""
    angle = np.linspace(-arc / 2, arc / 2, count) + rng.normal(0, 0.12, count)
    reach = rng.uniform(0.42, 0.6) * rng.normal(1, 0.1, count)
    centres = reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    size = 0.62 / np.sqrt(count) * rng.normal(1, 0.12, count)
    lobes = []
    for centre, radius, along in zip(centres, size, angle + np.pi / 2, strict=True):
        lobe = blob(rng, 0.06, 0, float(radius), harmonics=5) * np.array([1 + rng.uniform(0, 0.45), 1.0])
        lobes.append(turned(lobe, float(along)) + centre)
    strands = [_strand(one, other, rng.uniform(0.03, 0.12)) for one, other in pairwise(centres)]
    middle, turn = centres.mean(axis=0) * rng.uniform(0.5, 1.0), rng.uniform(0, 2 * np.pi)
    return [turned(outline - middle, turn) for outline in (*lobes, *strands)]


def _strand(one: Outline, other: Outline, half_width: float) -> Outline:
    along = other - one
    side = half_width * np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
    return np.stack([one + side, other + side, other - side, one - side])
