"""Painted cells of each kind, cut out of smears, and class folders of them by names of one's choice."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from wsi_patches.geometry import Size
from wsi_patches.synthetic import SmearSettings, paint_smear

CELL_PX, CELL_DIAMETERS = 36.0, 1.5
SIDE = round(CELL_PX * CELL_DIAMETERS / 2) * 2


@cache
def cells_of_kinds(kinds, each, side_px=32, seed=0):
    """Return ``each`` patches of some kinds, uint8 RGB ``(kinds, each, s, s, 3)``, from smears of about 28 cells."""
    some = max(28 // len(kinds), 1)
    smears = [_smear(kinds, some, seed + number, side_px) for number in range(-(-each // some))]
    return np.concatenate(smears, axis=1)[:, :each]


def _smear(kinds, each, seed, side_px):
    dealt = tuple((name, each) for name in kinds)
    settings = SmearSettings.random(
        seed, kinds=dealt, cell_diameter_px=CELL_PX, margin_diameters=1.0, touching=0.0, red_coverage=0.1
    )
    pixels, cells = paint_smear(Size(460, 460), settings)
    found, half = {name: [] for name in kinds}, SIDE // 2
    for x, y, kind in zip(cells.x, cells.y, cells.attributes["kind"], strict=True):
        left, top = round(float(x)) - half, round(float(y)) - half
        patch = pixels[top : top + SIDE, left : left + SIDE]
        found[kind].append(cv2.resize(patch, (side_px, side_px), interpolation=cv2.INTER_AREA))
    return np.array([found[name] for name in kinds])


def write_kinds(folder, names, each, side_px=32, seed=0, *, slides=0, shuffled=False):
    """Write class/image, or class/slide/image where a class has several ``slides``.

    ``names`` says what each kind is called; ``each`` is a count, or counts by those names. ``shuffled`` deals the
    labels out by chance.
    """
    counts = [each[name] if isinstance(each, dict) else each for name in names.values()]
    cells = cells_of_kinds(tuple(names), max(counts), side_px, seed)
    images = np.concatenate([some[:count] for some, count in zip(cells, counts, strict=True)])
    labels = np.repeat(list(names.values()), counts)
    if shuffled:
        labels = np.random.default_rng(seed).permutation(labels)
    seen = dict.fromkeys(names.values(), 0)
    for image, name in zip(images, labels.tolist(), strict=True):
        below = f"{name}{seen[name] % slides:02d}" if slides else ""
        path = Path(folder) / name / below / f"{name}_{seen[name]:03d}.png"
        seen[name] += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image[..., ::-1])
    return folder
