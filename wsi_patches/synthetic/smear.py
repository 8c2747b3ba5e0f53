"""A painted smear: any window of it, always the same pixels, and the exact truth.

Every stained thing adds optical density (Beer and Lambert), the lens blurs it, lamp and uneven light multiply, the
camera adds noise. Pixels are painted in tiles that lie at multiples of `TILE_PX` whatever window is asked, so a window
painted in bands of any height is the same to the last bit as painted whole.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.synthetic.artefacts import (
    Discs,
    dirt_sprite,
    lay_dirt,
    lay_precipitate,
    lay_smudges,
    precipitate_sprite,
    smudge_sprite,
)
from wsi_patches.synthetic.kinds import BLAST_KINDS
from wsi_patches.synthetic.layout import (
    Scatter,
    WhiteLayout,
    lay_debris,
    lay_platelet_clumps,
    lay_platelets,
    lay_platelets_on_red,
    lay_red_cells,
    lay_white_cells,
)
from wsi_patches.synthetic.red_cells import debris_sprite, dihedral, halo_sprite, platelet_sprite, red_sprite
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.stains import Stains
from wsi_patches.synthetic.white_cells import WhiteSprite, white_sprite

__all__ = ["TILE_PX", "Smear", "paint_smear"]

TILE_PX = 512
"""Side of the tiles that are painted; not a TIFF's tiles."""
NOISE_PX = 1024
WHITE_REACH, ARTEFACT_REACH = 1.5, 2.5
"""No sprite reaches farther, in radii."""
Plane = NDArray[np.float32]


def paint_smear(size: Size, settings: SmearSettings) -> tuple[NDArray[np.uint8], Cells]:
    """Paint a whole smear.

    Parameters
    ----------
    size
        Width and height in pixels.
    settings
        What is on it and how it looks.

    Returns
    -------
    pixels
        RGB uint8, shape ``(height, width, 3)``.
    cells
        Every white cell: see `Smear.cells`.

    Raises
    ------
    UsageError
        The size is not positive, or so many white cells do not fit.
    """
    smear = Smear(size, settings)
    return smear.paint_window(Box(0, 0, *size)), smear.cells


class Smear:
    """A smear that is painted window by window.

    Parameters
    ----------
    size
        Width and height in pixels.
    settings
        What is on it and how it looks.

    Raises
    ------
    UsageError
        The size is not positive, or so many white cells do not fit.
    """

    def __init__(self, size: Size, settings: SmearSettings) -> None:
        if min(size) < 1:
            msg = f"a smear must be at least 1 x 1 px, found {size[0]} x {size[1]}"
            raise UsageError(msg)
        self.size, self.settings = Size(*size), settings
        self.white = lay_white_cells(self.size, settings)
        self.smudges = lay_smudges(self.size, settings, self.white)
        """Burst nuclei, which are not among `cells`: centres ``xy``, whole level-0 pixels, and ``radius_px``."""
        self.red = lay_red_cells(self.size, settings, self.white, self.smudges)
        self.halos = lay_platelets_on_red(self.size, settings, self.red)
        alone = lay_platelets(self.size, settings, len(self.red.xy))
        self.platelets = alone.joined(self.halos).joined(lay_platelet_clumps(self.size, settings))
        self.debris, self.dirt = lay_debris(self.size, settings), lay_dirt(self.size, settings)
        self.precipitate = lay_precipitate(self.size, settings)
        self.stains = Stains.of(settings)
        self._red_sprite = lru_cache(None)(lambda index: red_sprite(settings, index))
        self._platelet_sprite = lru_cache(None)(lambda index: platelet_sprite(settings, index))
        self._halo_sprite = lru_cache(None)(lambda index: halo_sprite(settings, index))
        self._debris_sprite = lru_cache(None)(lambda index: debris_sprite(settings, index))
        # What is kept does not name the smear: its memory is given back as soon as nobody has it.
        self._white_sprite = lru_cache(64)(partial(_paint_white, settings, self.white))
        self._smudge_sprite = lru_cache(64)(partial(_paint_smudge, settings, self.smudges))
        self._heap_sprite = lru_cache(64)(partial(_paint_heap, settings, self.precipitate))
        self._dirt_sprite = lru_cache(64)(partial(_paint_dirt, settings, self.dirt))
        self._noise = _noise_bank(settings) if settings.noise_sigma else None

    @property
    def cells(self) -> Cells:
        """The truth: centres in level-0 pixels, 0-based, on whole pixels; classes "blast" and "other".

        The attributes are ``radius_px`` (float64) and ``kind`` (str, a key of `KINDS`). Rows are in the order of the
        cells' index.
        """
        is_blast = np.isin(self.white.kind, BLAST_KINDS)
        class_index = np.where(is_blast, ALL_IDB_CLASSES.index("blast"), ALL_IDB_CLASSES.index("other"))
        return Cells.at(
            self.white.xy, ALL_IDB_CLASSES, class_index, radius_px=self.white.radius_px, kind=self.white.kind
        )

    def paint_window(self, box: Box) -> NDArray[np.uint8]:
        """Paint the part of the smear inside ``box``, level-0 pixels; RGB uint8 ``(height, width, 3)``.

        Raises
        ------
        UsageError
            The box sticks out of the smear.
        """
        if box.clipped(self.size) != box:
            msg = f"{box} was asked of a smear of {self.size.width} x {self.size.height} px: ask inside it"
            raise UsageError(msg)
        window = np.empty((box.height, box.width, 3), np.uint8)
        for row in range(box.y // TILE_PX, -(-box.bottom // TILE_PX)):
            for column in range(box.x // TILE_PX, -(-box.right // TILE_PX)):
                self._copy_tile(column, row, box, window)
        return window

    def _copy_tile(self, column: int, row: int, box: Box, window: NDArray[np.uint8]) -> None:
        tile = Box(column * TILE_PX, row * TILE_PX, TILE_PX, TILE_PX)
        left, top = max(tile.x, box.x), max(tile.y, box.y)
        right, bottom = min(tile.right, box.right), min(tile.bottom, box.bottom)
        pixels = self._paint_tile(tile)[top - tile.y : bottom - tile.y, left - tile.x : right - tile.x]
        window[top - box.y : bottom - box.y, left - box.x : right - box.x] = pixels

    def _paint_tile(self, tile: Box) -> NDArray[np.uint8]:
        margin = int(np.ceil(4 * self.settings.blur_px))
        density = self._density(tile.grown(margin))
        if self.settings.blur_px:
            kernel = (2 * margin + 1, 2 * margin + 1)
            density = np.asarray(cv2.GaussianBlur(density, kernel, self.settings.blur_px), np.float32)
        density = density[margin : margin + TILE_PX, margin : margin + TILE_PX]
        light = np.asarray(cv2.exp(self._light(tile) - density), np.float32)
        if self._noise is not None:
            x, y = np.random.default_rng([self.settings.seed, 7401, tile.x, tile.y]).integers(0, NOISE_PX - TILE_PX, 2)
            light += self._noise[y : y + TILE_PX, x : x + TILE_PX]
        # Noise can take black below 0, which convertScaleAbs would fold back.
        return np.asarray(cv2.convertScaleAbs(np.maximum(light, 0, out=light)), np.uint8)

    def _light(self, tile: Box) -> Plane:
        """Return the log of the light that empty glass lets through, brightest near the middle, per colour."""
        rng = np.random.default_rng([self.settings.seed, 7402])
        tint = rng.normal(1, 0.25, 3)
        middle = rng.uniform(0.35, 0.65, 2)
        half = max(self.size) / 2
        x = ((np.arange(tile.x, tile.right) - middle[0] * self.size.width) / half) ** 2
        y = ((np.arange(tile.y, tile.bottom) - middle[1] * self.size.height) / half) ** 2
        fall = (self.settings.uneven_light * tint).astype(np.float32)
        dark = (x[None, :] + y[:, None]).astype(np.float32)[..., None] * fall
        return np.asarray(np.log(np.array(self.settings.lamp_rgb, np.float32)) - dark, np.float32)

    def _density(self, box: Box) -> Plane:
        """Return the optical density of everything that lies in ``box``, not yet blurred, ``(h, w, 3)``."""
        red = np.zeros((box.height, box.width), np.float32)
        self._add(red, box, self.red, self._red_sprite)
        if len(self.halos.xy):
            lifted = np.zeros_like(red)
            self._add(lifted, box, self.halos, self._halo_sprite)
            red *= 1 - np.minimum(lifted, 1)
        # Cells that lie on each other are squeezed: two take less light than twice one.
        red *= np.float32(1.3) / (1 + np.float32(0.3) * np.maximum(red, 0))
        density = np.asarray(cv2.merge([red * np.float32(stain) for stain in self.stains.red]), np.float32)
        self._add(density, box, self.platelets, self._platelet_sprite)
        self._lay_over(density, box, self.smudges, self._smudge_sprite, ARTEFACT_REACH)
        self._lay_over(density, box, self.white, self._white_sprite, WHITE_REACH)
        self._add(density, box, self.debris, self._debris_sprite)
        for things, sprite_of in ((self.precipitate, self._heap_sprite), (self.dirt, self._dirt_sprite)):
            for row in _near(things, box, ARTEFACT_REACH):
                sprite = sprite_of(row)
                here, there = _overlap(density.shape, sprite.shape, things.xy[row] - (box.x, box.y))
                density[here] += sprite[there]
        return density

    def _lay_over(
        self, density: Plane, box: Box, things: Discs, sprite_of: Callable[[int], WhiteSprite], reach: float
    ) -> None:
        for row in _near(things, box, reach):
            sprite = sprite_of(row)
            here, there = _overlap(density.shape, sprite.cover.shape, things.xy[row] - (box.x, box.y))
            density[here] *= 1 - sprite.cover[there][..., None]
            density[here] += sprite.density[there]

    def _add(self, plane: Plane, box: Box, things: Scatter, sprite_of: Callable[[int], Plane]) -> None:
        reach = int(self.settings.cell_diameter_px)
        for row in things.near(box.x - reach, box.y - reach, box.right + reach, box.bottom + reach):
            sprite = dihedral(sprite_of(int(things.sprite[row])), int(things.turn[row]))
            here, there = _overlap(plane.shape, sprite.shape, things.xy[row] - (box.x, box.y))
            plane[here] += sprite[there]


def _paint_white(settings: SmearSettings, cells: WhiteLayout, index: int) -> WhiteSprite:
    return white_sprite(settings, str(cells.kind[index]), float(cells.radius_px[index]), index)


def _paint_smudge(settings: SmearSettings, smudges: Discs, index: int) -> WhiteSprite:
    return smudge_sprite(settings, float(smudges.radius_px[index]), index)


def _paint_heap(settings: SmearSettings, precipitate: Discs, index: int) -> Plane:
    return precipitate_sprite(settings, float(precipitate.radius_px[index]), index)


def _paint_dirt(settings: SmearSettings, dirt: Discs, index: int) -> Plane:
    return dirt_sprite(settings, float(dirt.radius_px[index]), index)


def _near(things: Discs, box: Box, reach: float) -> list[int]:
    """Return the rows of the things whose sprites may reach into a box."""
    away = np.maximum(np.maximum((box.x, box.y) - things.xy, things.xy - (box.right, box.bottom)).max(axis=1), 0)
    return [int(row) for row in np.flatnonzero(away <= reach * things.radius_px + 3)]


def _overlap(
    plane: tuple[int, ...], sprite: tuple[int, ...], centre: NDArray[np.int64]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a sprite lies on a plane and which part of it, as slices of rows and columns."""
    here, there = [], []
    for length, side, middle in ((plane[0], sprite[0], int(centre[1])), (plane[1], sprite[1], int(centre[0]))):
        start = middle - side // 2
        first, last = max(start, 0), max(min(start + side, length), 0)
        here.append(slice(first, max(last, first)))
        there.append(slice(first - start, max(last, first) - start))
    return (here[0], here[1]), (there[0], there[1])


def _noise_bank(settings: SmearSettings) -> Plane:
    """Return camera noise, ``(NOISE_PX, NOISE_PX, 3)``; each tile takes its own part of it."""
    rng = np.random.default_rng([settings.seed, 7403])
    raw = rng.standard_normal((NOISE_PX, NOISE_PX, 3), np.float32)
    grainy = cv2.GaussianBlur(raw, (0, 0), 0.6)
    return np.asarray(grainy * np.float32(settings.noise_sigma / grainy.std()), np.float32)
