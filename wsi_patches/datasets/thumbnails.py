"""What is compared to find copies: of each image a small grey picture, its hashes, and what tells exact copies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError, needs_extra
from wsi_patches.geometry import Box
from wsi_patches.slide import SlideBase
from wsi_patches.slides import open_slide

__all__ = ["ORIENTATIONS", "Thumbnails", "oriented", "thumbnails_of_arrays", "thumbnails_of_files"]

SIDE_PX = 64
WHOLE_PX = 64_000_000
"""Up to this an image is read whole, so that its pixels can be told equal; of larger ones a small picture is read."""
LARGE_SIDE_PX = 1024
"""Longer side at which a larger image is read."""
MIN_CONTRAST = 2.0
"""Standard deviation in grey levels below which a picture is blank: all blank pictures look alike."""
ORIENTATIONS = (
    "as it is",
    "rotated by 90 degrees",
    "rotated by 180 degrees",
    "rotated by 270 degrees",
    "mirrored",
    "mirrored and rotated by 90 degrees",
    "mirrored and rotated by 180 degrees",
    "mirrored and rotated by 270 degrees",
)
"""What the columns of ``Thumbnails.hashes`` are: augmented copies are the commonest leak."""


@dataclass(frozen=True)
class Thumbnails:
    """Small pictures of ``n`` images; about 4.2 kB each."""

    ids: tuple[str, ...]
    grey: NDArray[np.uint8]
    """Shape ``(n, 64, 64)``: the whole image, stretched to a square."""
    hashes: NDArray[np.uint64]
    """Perceptual hash of 64 bits in each of `ORIENTATIONS`, shape ``(n, 8)``."""
    pixels: tuple[str, ...]
    """Digest of all pixels and their shape; empty where an image is too large to be read whole."""
    files: tuple[str, ...]
    """Fingerprint of the file; empty where there is none."""
    unreadable: tuple[str, ...] = ()
    """Sentences about images that cannot be read, and are in none of the columns."""

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Which pictures show nothing, shape ``(n,)``: they are never called copies."""
        return np.array([grey.std() < MIN_CONTRAST for grey in self.grey], bool)

    def take(self, rows: Sequence[int]) -> Thumbnails:
        """Return the thumbnails at ``rows``."""
        ids, pixels, files = (tuple(column[row] for row in rows) for column in (self.ids, self.pixels, self.files))
        return Thumbnails(ids, self.grey[list(rows)], self.hashes[list(rows)], pixels, files)


class _One(NamedTuple):
    id: str
    grey: NDArray[np.uint8]
    pixels: str
    file: str


def thumbnails_of_files(images: Iterable[tuple[str, str]]) -> Thumbnails:
    """Read images one after another.

    Parameters
    ----------
    images
        Id and path of each; whatever `open_slide` opens.

    Raises
    ------
    MissingExtra
        imagehash is not installed.
    """
    unreadable: list[str] = []
    return _collected(_read(images, unreadable), unreadable)


def thumbnails_of_arrays(images: Iterable[tuple[str, NDArray[np.uint8]]]) -> Thumbnails:
    """Take images that are in memory already, one after another: id and uint8 RGB ``(h, w, 3)`` of each.

    Raises
    ------
    MissingExtra
        imagehash is not installed.
    """
    return _collected((_One(name, _grey(image), _digest(image), "") for name, image in images), [])


def oriented(grey: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a picture in one of `ORIENTATIONS`, shape ``(64, 64)``."""
    mirrored = grey[:, ::-1] if orientation >= 4 else grey
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4))


def _read(images: Iterable[tuple[str, str]], unreadable: list[str]) -> Iterator[_One]:
    for name, path in images:
        try:
            with open_slide(path) as slide:
                yield _of_slide(name, slide)
        except SlideError as error:
            unreadable.append(f"{name} was compared with nothing: {error}")


def _of_slide(name: str, slide: SlideBase) -> _One:
    width, height = slide.info.size
    whole = Box(0, 0, width, height)
    if width * height <= WHOLE_PX:
        image = slide.read(whole)
        return _One(name, _grey(image), _digest(image), slide.info.fingerprint)
    image = slide.read_scaled(whole, max(width, height) / LARGE_SIDE_PX)
    return _One(name, _grey(image), "", slide.info.fingerprint)


def _collected(images: Iterable[_One], unreadable: list[str]) -> Thumbnails:
    found: list[_One] = []
    hashes: list[list[int]] = []
    for one in images:
        found.append(one)
        hashes.append(_hashes(one.grey))
    grey = np.array([one.grey for one in found], np.uint8).reshape(-1, SIDE_PX, SIDE_PX)
    return Thumbnails(
        tuple(one.id for one in found),
        grey,
        np.array(hashes, np.uint64).reshape(-1, len(ORIENTATIONS)),
        tuple(one.pixels for one in found),
        tuple(one.file for one in found),
        tuple(unreadable),
    )


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _digest(image: NDArray[np.uint8]) -> str:
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _hashes(grey: NDArray[np.uint8]) -> list[int]:
    with needs_extra("train", "the search for copies"):
        import imagehash
    from PIL import Image

    pictures = (Image.fromarray(oriented(grey, number)) for number in range(len(ORIENTATIONS)))
    return [int(str(imagehash.phash(picture)), 16) for picture in pictures]
