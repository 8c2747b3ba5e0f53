"""Where the cells of a painted smear lie; level-0 pixels, 0-based, every centre on a whole pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic.artefacts import Discs
from wsi_patches.synthetic.kinds import deal_kinds, draw_kinds, draw_radius
from wsi_patches.synthetic.red_cells import RED_DIAMETER, RED_SPRITES, SPECK_SPRITES
from wsi_patches.synthetic.settings import SmearSettings

__all__ = [
    "Scatter",
    "WhiteLayout",
    "lay_debris",
    "lay_platelet_clumps",
    "lay_platelets",
    "lay_platelets_on_red",
    "lay_red_cells",
    "lay_white_cells",
]

TRIES = 400
CLOSEST = 0.96
"""Two white cells lie at least this many sums of their radii apart: bodies may touch, nuclei never hide each other."""
SMUDGE_PUSH = 0.6
"""A smudge keeps red cells off its middle, and lies on those around."""


@dataclass(frozen=True)
class WhiteLayout(Discs):
    """The white cells of a smear, in the order of their index."""

    kind: NDArray[np.str_]


@dataclass(frozen=True)
class Scatter:
    """Many small things, sorted by y."""

    xy: NDArray[np.int64]
    """Centres, shape ``(n, 2)``."""
    sprite: NDArray[np.int64]
    """Index into the slide's library of sprites."""
    turn: NDArray[np.int64]
    """Which of the eight views of the sprite, 0..7."""

    @classmethod
    def at(cls, xy: NDArray[np.float64], sprites: int, rng: np.random.Generator) -> Scatter:
        """Give each point a sprite and a turn."""
        whole = np.floor(xy + 0.5).astype(np.int64)
        whole = whole[np.argsort(whole[:, 1], kind="stable")]
        return cls(whole, rng.integers(0, sprites, len(whole)), rng.integers(0, 8, len(whole)))

    def joined(self, other: Scatter) -> Scatter:
        """Return the things of both, which share one library."""
        order = np.argsort(np.concatenate([self.xy[:, 1], other.xy[:, 1]]), kind="stable")
        columns = ((self.xy, other.xy), (self.sprite, other.sprite), (self.turn, other.turn))
        return Scatter(*(np.concatenate(both)[order] for both in columns))

    def near(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.int64]:
        """Return the rows of the things whose centres lie in a window."""
        first, last = np.searchsorted(self.xy[:, 1], [top, bottom])
        x = self.xy[first:last, 0]
        return np.asarray(first + np.flatnonzero((x >= left) & (x < right)), np.int64)


def lay_white_cells(size: Size, settings: SmearSettings) -> WhiteLayout:
    """Draw kinds, sizes and places of the white cells.

    Raises
    ------
    UsageError
        So many white cells do not fit, or there is no such kind.
    """
    rng = np.random.default_rng([settings.seed, 7201])
    mpx = size.width * size.height / 1e6
    drawn = rng.poisson([settings.blasts_per_mpx * mpx, settings.others_per_mpx * mpx])
    blasts = drawn[0] if settings.blasts is None else settings.blasts
    others = drawn[1] if settings.others is None else settings.others
    kind = draw_kinds(rng, int(blasts), int(others)) if settings.kinds is None else deal_kinds(rng, settings.kinds)
    radius_px = np.array([draw_radius(name, settings, index) for index, name in enumerate(kind)], np.float64)
    return WhiteLayout(_places(size, settings, radius_px, rng), radius_px, kind)


def _places(
    size: Size, settings: SmearSettings, radius_px: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    margin = int(settings.margin_diameters * settings.cell_diameter_px)
    span = (size.width - 2 * margin, size.height - 2 * margin)
    step_px = 2 * float(radius_px.max(initial=1.0))
    taken: dict[tuple[int, int], list[int]] = {}
    xy = np.zeros((len(radius_px), 2), np.int64)
    for index in range(len(radius_px)):
        for _ in range(TRIES if min(span) > 0 else 0):
            x, y = _propose(xy[:index], radius_px, margin, span, settings.touching, rng)
            inside = margin <= x < margin + span[0] and margin <= y < margin + span[1]
            if inside and _is_free(x, y, index, xy, radius_px, taken, step_px):
                break
        else:
            msg = (
                f"{len(radius_px)} white cells of about {settings.cell_diameter_px:.0f} px do not fit on "
                f"{size.width} x {size.height} px: place {index + 1} was not found; ask for fewer or a larger smear"
            )
            raise UsageError(msg)
        xy[index] = x, y
        taken.setdefault((int(x // step_px), int(y // step_px)), []).append(index)
    return xy


def _propose(
    xy: NDArray[np.int64],
    radius_px: NDArray[np.float64],
    margin: int,
    span: tuple[int, int],
    touching: float,
    rng: np.random.Generator,
) -> tuple[int, int]:
    if len(xy) and rng.random() < touching:
        beside = int(rng.integers(len(xy)))
        angle, gap = rng.uniform(0, 2 * np.pi), rng.uniform(CLOSEST, 1.06)
        away = gap * (radius_px[beside] + radius_px[len(xy)])
        return int(xy[beside, 0] + away * np.cos(angle)), int(xy[beside, 1] + away * np.sin(angle))
    return margin + int(rng.integers(span[0])), margin + int(rng.integers(span[1]))


def _is_free(
    x: int,
    y: int,
    index: int,
    xy: NDArray[np.int64],
    radius_px: NDArray[np.float64],
    taken: dict[tuple[int, int], list[int]],
    step_px: float,
) -> bool:
    column, row = int(x // step_px), int(y // step_px)
    around = ((column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
    near = [other for place in around for other in taken.get(place, ())]
    away = np.hypot(xy[near, 0] - x, xy[near, 1] - y)
    return bool(np.all(away >= CLOSEST * (radius_px[near] + radius_px[index])))


def lay_red_cells(size: Size, settings: SmearSettings, white: Discs, smudges: Discs) -> Scatter:
    """Draw the places of the red cells: crowded here and sparse there, some in rolls, off white cells and smudges."""
    rng = np.random.default_rng([settings.seed, 7202])
    diameter_px = settings.cell_diameter_px * RED_DIAMETER
    low, span = -diameter_px, np.array(size) + 2 * diameter_px
    count = settings.red_coverage * float(np.prod(span)) / (np.pi * diameter_px**2 / 4)
    rolled = int(rng.poisson(count * settings.rouleaux / 5))
    # Twice as many as asked are drawn, since the uneven film keeps half of them on average.
    points = rng.uniform(low, low + span, (int(2 * count * (1 - settings.rouleaux)), 2))
    points = points[rng.random(len(points)) < _film(points, settings, rng)]
    rolls = _rolls(rng.uniform(low, low + span, (rolled, 2)), diameter_px, rng)
    roll_of = np.concatenate([-1 - np.arange(len(points)), np.repeat(np.arange(len(rolls)), [len(r) for r in rolls])])
    points = np.concatenate([points, *rolls])
    for _ in range(4):
        points = _pushed_apart(points, roll_of, 0.97 * diameter_px)
        points = _pushed_off(points, white, diameter_px / 2)
        points = _pushed_off(points, Discs(smudges.xy, SMUDGE_PUSH * smudges.radius_px), diameter_px / 2)
    return Scatter.at(points, RED_SPRITES, rng)


def _film(points: NDArray[np.float64], settings: SmearSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how thick the film of blood is at each point, 0..1, one half on average."""
    thickness = np.zeros(len(points))
    # Long waves beside short ones, or a large slide looks woven.
    for wavelength_diameters in (8, 11, 16, 25, 45, 90, 200):
        wavelength_px = settings.cell_diameter_px * wavelength_diameters * rng.uniform(0.8, 1.25)
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        along = points @ np.array([np.cos(angle), np.sin(angle)])
        thickness += np.cos(2 * np.pi * along / wavelength_px + phase)
    return np.asarray(0.5 + 0.42 * np.tanh(0.8 * thickness))


def _rolls(starts: NDArray[np.float64], diameter_px: float, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return the centres of the red cells of each roll, which winds like a toppled pile of coins."""
    rolls = []
    for start in starts:
        length = int(rng.integers(3, 9))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.22, length))
        stride = diameter_px * rng.uniform(0.45, 0.8) * rng.normal(1, 0.08, length)
        rolls.append(start + np.cumsum(stride[:, None] * np.stack([np.cos(heading), np.sin(heading)], 1), axis=0))
    return rolls


def _pushed_apart(points: NDArray[np.float64], roll_of: NDArray[np.int64], distance_px: float) -> NDArray[np.float64]:
    pairs = cKDTree(points).query_pairs(distance_px, output_type="ndarray")
    pairs = pairs[roll_of[pairs[:, 0]] != roll_of[pairs[:, 1]]]
    apart = points[pairs[:, 0]] - points[pairs[:, 1]]
    away = np.maximum(np.hypot(*apart.T), 1e-3)
    # Pushing less than all the way leaves a part of the overlaps, as on glass.
    push = apart * (0.28 * (distance_px - away) / away)[:, None]
    moved = points.copy()
    for axis in (0, 1):
        moved[:, axis] += np.bincount(pairs[:, 0], push[:, axis], len(points))
        moved[:, axis] -= np.bincount(pairs[:, 1], push[:, axis], len(points))
    return moved


def _pushed_off(points: NDArray[np.float64], white: Discs, radius_px: float) -> NDArray[np.float64]:
    if not len(white.xy) or not len(points):
        return points
    away, nearest = cKDTree(white.xy).query(points)
    apart = points - white.xy[nearest]
    keep_px = white.radius_px[nearest] + 0.8 * radius_px
    push = np.maximum(keep_px - away, 0) / np.maximum(away, 1e-3)
    return np.asarray(points + 0.75 * push[:, None] * apart)


def lay_platelets(size: Size, settings: SmearSettings, red_cells: int) -> Scatter:
    """Draw the places of the platelets."""
    rng = np.random.default_rng([settings.seed, 7203])
    return Scatter.at(
        rng.uniform(0, size, (rng.poisson(settings.platelets_per_red * red_cells), 2)), SPECK_SPRITES, rng
    )


def lay_platelets_on_red(size: Size, settings: SmearSettings, red: Scatter) -> Scatter:
    """Draw which red cells have a platelet lying on them, and where on them."""
    rng = np.random.default_rng([settings.seed, 7208])
    under = red.xy[rng.random(len(red.xy)) < settings.platelets_on_red]
    xy = under + rng.normal(0, 0.12 * RED_DIAMETER * settings.cell_diameter_px, under.shape)
    return Scatter.at(xy[((xy >= 0) & (xy <= np.array(size) - 1)).all(axis=1)], SPECK_SPRITES, rng)


def lay_platelet_clumps(size: Size, settings: SmearSettings) -> Scatter:
    """Draw the places of the platelets of clumps, each platelet laid against one before it."""
    rng = np.random.default_rng([settings.seed, 7209])
    count = rng.poisson(settings.platelet_clumps_per_mpx * size.width * size.height / 1e6)
    clumps = [np.zeros((0, 2))]
    for middle in rng.uniform(0, size, (count, 2)):
        clump = [middle]
        for _ in range(rng.integers(2, 10)):
            angle, away = rng.uniform(0, 2 * np.pi), settings.cell_diameter_px * rng.uniform(0.13, 0.24)
            clump.append(clump[rng.integers(len(clump))] + away * np.array([np.cos(angle), np.sin(angle)]))
        clumps.append(np.array(clump))
    xy = np.concatenate(clumps)
    return Scatter.at(xy[((xy >= 0) & (xy <= np.array(size) - 1)).all(axis=1)], SPECK_SPRITES, rng)


def lay_debris(size: Size, settings: SmearSettings) -> Scatter:
    """Draw the places of specks of dirt."""
    rng = np.random.default_rng([settings.seed, 7204])
    count = rng.poisson(settings.debris_per_mpx * size.width * size.height / 1e6)
    return Scatter.at(rng.uniform(0, size, (count, 2)), SPECK_SPRITES, rng)
