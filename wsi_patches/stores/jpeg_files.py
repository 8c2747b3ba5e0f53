"""A slide's own JPEG tiles, as a store keeps them, made into files: nothing is encoded anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wsi_patches.jpeg_tile import JpegTiles, first_scan, segments
from wsi_patches.stores.codecs import JPEG_START
from wsi_patches.stores.reader import Store

__all__ = ["jpeg_file", "own_jpegs"]

APP0, APP14 = 0xE0, 0xEE
ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
"""Adobe's marker without its last byte, which says whether three samples are RGB (0) or YCbCr (1)."""


def own_jpegs(store: Store, positions: ArrayLike) -> list[bytes | None]:
    """Return patches as JPEG files, where the store keeps the slide's own JPEG tile of them; others are None.

    Parameters
    ----------
    store
        The store.
    positions
        Ascending.

    Raises
    ------
    StoreError
        A chunk is damaged.
    """
    wanted = np.atleast_1d(np.asarray(positions, np.int64))
    part_of = np.searchsorted(store.offsets, wanted, side="right") - 1
    found: list[bytes | None] = []
    for part_row in np.unique(part_of).tolist():
        images, rows = store.parts[part_row].images, wanted[part_of == part_row] - store.offsets[part_row]
        tiles = images.metadata.codec.tiles
        if tiles is None:
            found += [None] * len(rows)
        else:
            bodies = images.bodies(rows.tolist())
            found += [jpeg_file(body, tiles) if body.startswith(JPEG_START) else None for body in bodies]
    return found


def jpeg_file(data: bytes, tiles: JpegTiles) -> bytes | None:
    """Return a tile as a JPEG file, which any reader decodes to the pixels of `jpeg_tile.decode_jpeg_tile`.

    The shared tables are put before the tile's own headers, and Adobe's marker says which colours it has, in place of
    what the stream says of them (ITU-T T.872, 6.5.3).

    Parameters
    ----------
    data
        The tile as it lies in the slide.
    tiles
        What the level's tiles share.

    Returns
    -------
    The file's bytes, or None for a tile of grey samples, which readers do not give as RGB.

    Raises
    ------
    ValueError
        It holds no picture.
    """
    if tiles.colour == "grey":
        return None
    scan, _ = first_scan(data, tiles.tables)
    own = (
        bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2) + body
        for marker, body in segments(data[:scan])
        if marker not in (APP0, APP14)
    )
    return b"".join((JPEG_START, ADOBE, bytes((tiles.colour == "ycbcr",)), tiles.tables[2:-2], *own, data[scan:]))
