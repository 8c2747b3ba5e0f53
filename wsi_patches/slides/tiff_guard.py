"""Finds the damaged tiles of a TIFF that another library decodes without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wsi_patches.geometry import Box, Size
from wsi_patches.slides.shared_file import SharedFile
from wsi_patches.slides.tiff_decode import check_of
from wsi_patches.slides.tiff_level import Segments
from wsi_patches.slides.tiff_tags import JPEG, JPEG_2000, opened_tiff, tiff_errors

__all__ = ["TiffGuard"]


class TiffGuard:
    """Checks the JPEG tiles that a read touches: libjpeg fills what is cut off with grey.

    A level that is no page of the file, such as those that OpenSlide makes by decoding less or puts together of
    several areas, is not checked.

    Parameters
    ----------
    path
        A TIFF.
    sizes
        Width and height of each level that is read, in its own pixels.

    Raises
    ------
    SlideError
        The file is damaged.
    """

    def __init__(self, path: Path, sizes: Sequence[Size]) -> None:
        self._path = path
        with opened_tiff(path) as tiff:
            pages = [page.aspage() for page in tiff.pages]
            self._levels = [_guarded(pages, size) for size in sizes]
        self._file = SharedFile(path)
        self._sound: set[tuple[int, int]] = set()

    def check(self, box_px: Box, level: int) -> None:
        """Refuse a box of a level, in the level's own pixels, that touches a damaged tile.

        Raises
        ------
        SlideError
            With what is wrong with it.
        """
        guarded = self._levels[level]
        if guarded is None:
            return
        segments, check = guarded
        with tiff_errors(self._path, f"read at {tuple(box_px)} of level {level}"):
            for number in segments.touching(box_px):
                if (level, number) not in self._sound:
                    for data in segments.read(self._file, number) or ():
                        check(data)
                    self._sound.add((level, number))


def _guarded(pages: Sequence[Any], size: Size) -> tuple[Segments, Callable[[bytes], None]] | None:
    """Return the tiles of the page of a size, and what checks each, if they are JPEGs of either kind."""
    for page in pages:
        is_jpeg = int(page.compression) == JPEG or int(page.compression) in JPEG_2000
        if page.is_tiled and is_jpeg and Size(page.imagewidth, page.imagelength) == size:
            return Segments(page, size), check_of(page)
    return None
