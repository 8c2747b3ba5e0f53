"""Writes a painted smear as a pyramidal TIFF that slide readers take for an Aperio SVS."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.smear import TILE_PX, Smear

__all__ = ["write_slide"]

SHRINK = 4
"""Each level is this much smaller than the one above, as Aperio scanners write them."""
SMALLEST_PX = 1024
BUFFER_BYTES = 16 << 20
"""How many bytes of tiles wait for their JPEG encoder; tifffile would let half a GiB wait."""
Pixels = NDArray[np.uint8]


def write_slide(
    path: str | Path,
    size: Size,
    settings: SmearSettings,
    mpp: float = 0.25,
    *,
    tile_px: int = 256,
    quality: int = 90,
    threads: int = 2,
    overwrite: bool = False,
) -> Cells:
    """Paint a smear band by band into a tiled, pyramidal JPEG TIFF; memory grows with the width, not the height.

    The file says what an Aperio scanner's would: vendor, pixel size and magnification, which is 10 over the pixel size.
    Pixels are those of `paint_smear` before JPEG. The lower levels wait in a temporary folder beside ``path``.

    Parameters
    ----------
    path
        The file to write, ``.svs`` or ``.tif``.
    size
        Width and height at level 0.
    settings
        What is on the smear; ``cell_diameter_px`` should be about 12 over ``mpp``.
    mpp
        Level-0 pixel size in um.
    tile_px
        Side of the TIFF's tiles, a multiple of 16.
    quality
        JPEG quality, 1..100; colours are subsampled 2 x 2.
    threads
        How many tiles are painted at a time; the pixels do not depend on it.
    overwrite
        Replace the file if it exists.

    Returns
    -------
    Cells
        Every white cell: see `Smear.cells`.

    Raises
    ------
    OutputExists
        The file exists and ``overwrite`` is not set.
    UsageError
        A value is out of range, or so many white cells do not fit.
    """
    target = Path(path)
    if tile_px < 16 or tile_px % 16:
        msg = f"a TIFF's tiles have a side that is a multiple of 16, found {tile_px}"
        raise UsageError(msg)
    if not 0 < mpp < float("inf") or threads < 1 or not 1 <= quality <= 100:
        msg = f"mpp > 0, threads >= 1 and quality in 1..100 are needed, found {mpp}, {threads} and {quality}"
        raise UsageError(msg)
    if target.exists() and not overwrite:
        msg = f"{target} exists: choose another name or ask to overwrite"
        raise OutputExists(msg)
    smear = Smear(size, settings)
    levels, form = _level_sizes(smear.size), _Format(smear.size, mpp, tile_px, quality, threads)
    # A run that is killed leaves no half slide under the name that was asked for.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        written = Path(folder) / "slide"
        with tifffile.TiffWriter(written, bigtiff=True) as tiff:
            bands = _painted_bands(smear, threads)
            for level, level_size in enumerate(levels):
                scratch = Path(folder) / f"{level + 1}.raw"
                _write_level(tiff, _shrunk_aside(bands, scratch), level_size, form)
                bands = _bands_of(scratch, Size(level_size.width // SHRINK, level_size.height // SHRINK))
        written.replace(target)
    return smear.cells


def _level_sizes(size: Size) -> list[Size]:
    sizes = [size]
    while max(sizes[-1]) > SMALLEST_PX and min(sizes[-1]) >= SHRINK:
        sizes.append(Size(sizes[-1].width // SHRINK, sizes[-1].height // SHRINK))
    return sizes


def _painted_bands(smear: Smear, threads: int) -> Iterator[Pixels]:
    """Yield the smear from top to bottom in bands of `TILE_PX` rows."""
    width, height = smear.size
    with ThreadPoolExecutor(threads) as pool:
        for y in range(0, height, TILE_PX):
            rows = min(TILE_PX, height - y)
            boxes = [Box(x, y, min(TILE_PX, width - x), rows) for x in range(0, width, TILE_PX)]
            yield np.concatenate(list(pool.map(smear.paint_window, boxes)), axis=1)


def _bands_of(scratch: Path, size: Size) -> Iterator[Pixels]:
    """Yield what `_shrunk_aside` left, in bands of `TILE_PX` rows."""
    row_bytes = 3 * size.width
    with scratch.open("rb") as file:
        while pixels := file.read(TILE_PX * row_bytes):
            yield np.frombuffer(pixels, np.uint8).reshape(-1, size.width, 3)


def _shrunk_aside(bands: Iterator[Pixels], scratch: Path) -> Iterator[Pixels]:
    """Pass bands on, leaving each one's mean over squares of `SHRINK` pixels in a file of rows, without remainders."""
    # Unbuffered, since whoever takes the last tile need not ask whether there is another, which would close the file.
    with scratch.open("wb", buffering=0) as file:
        for band in bands:
            width, height = band.shape[1] // SHRINK, band.shape[0] // SHRINK
            if width and height:
                whole = band[: height * SHRINK, : width * SHRINK]
                file.write(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA).tobytes())
            yield band


def _tiles(bands: Iterator[Pixels], tile_px: int) -> Iterator[Pixels]:
    """Yield whole tiles row by row; the last of a row or column repeat their border to be whole."""
    held = next(bands)
    for band in bands:
        held = np.concatenate([held, band])
        while len(held) >= tile_px:
            yield from _row_of_tiles(held[:tile_px], tile_px)
            held = held[tile_px:]
    for y in range(0, len(held), tile_px):
        yield from _row_of_tiles(held[y : y + tile_px], tile_px)


def _row_of_tiles(rows: Pixels, tile_px: int) -> Iterator[Pixels]:
    for x in range(0, rows.shape[1], tile_px):
        tile = rows[:, x : x + tile_px]
        short = ((0, tile_px - tile.shape[0]), (0, tile_px - tile.shape[1]), (0, 0))
        yield np.pad(tile, short, mode="edge") if any(after for _, after in short) else np.ascontiguousarray(tile)


@dataclass(frozen=True)
class _Format:
    """What all levels of a file share."""

    full: Size
    mpp: float
    tile_px: int
    quality: int
    threads: int


def _write_level(tiff: tifffile.TiffWriter, bands: Iterator[Pixels], size: Size, form: _Format) -> None:
    """Append one level to the file; every level but the first is marked as a reduced image."""
    per_cm = 1e4 / (form.mpp * form.full.width / size.width)
    tiff.write(
        _tiles(bands, form.tile_px),
        shape=(size.height, size.width, 3),
        dtype=np.uint8,
        photometric="rgb",  # tifffile stores YCbCr all the same; asking it for ycbcr gives wrong colours
        compression="jpeg",
        compressionargs={"level": form.quality},
        subsampling=(2, 2),
        tile=(form.tile_px, form.tile_px),
        subfiletype=0 if size == form.full else 1,
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        description=_description(size, form),
        metadata=None,
        software=False,
        maxworkers=form.threads,
        buffersize=BUFFER_BYTES,
    )


def _description(size: Size, form: _Format) -> str:
    """Return the text that readers know an Aperio slide by."""
    width, height = form.full
    smaller = "" if size == form.full else f" -> {size.width}x{size.height}"
    shape = f"{width}x{height} [0,0 {width}x{height}] ({form.tile_px}x{form.tile_px}){smaller}"
    facts = f"AppMag = {10 / form.mpp:g}|MPP = {form.mpp:g}|Title = painted smear"
    return f"Aperio Image Library (painted smear)\n{shape} JPEG/RGB Q={form.quality}|{facts}"
