"""What a TIFF says of itself, and whether that can be true: tags only, no pixels."""

from __future__ import annotations

import math
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import add
from pathlib import Path
from typing import Any

import tifffile

from wsi_patches.errors import SlideError, WsiPatchesError
from wsi_patches.locations.object_store import AddressError
from wsi_patches.locations.remote import as_remote
from wsi_patches.slides.philips import philips_power
from wsi_patches.slides.pixels import guard_size
from wsi_patches.slides.quiet import quietly
from wsi_patches.slides.reasons import reason_of
from wsi_patches.slides.resolution import number
from wsi_patches.slides.tiff_mpp import aperio_value

__all__ = [
    "APERIO_YCBCR",
    "GENERIC_TIFF",
    "IMAGE_LENGTH",
    "IMAGE_WIDTH",
    "JPEG",
    "JPEG_2000",
    "OLD_JPEG",
    "TIFF_ERRORS",
    "alpha_kind",
    "check_file",
    "check_samples",
    "check_segments",
    "compression_of",
    "in_colours",
    "is_tiff",
    "objective_power",
    "opened_tiff",
    "scanner_of",
    "segment_size",
    "tiff_errors",
    "vendor_of",
]

TIFF_ERRORS = (
    # tifffile trusts what it reads, so a damaged file ends in whatever Python raises of nonsense: wrong types, indices,
    # divisions by a width of 0, sizes beyond memory, XML that does not parse. TiffFileError is a ValueError;
    # imagecodecs' errors are RuntimeErrors, NotImplementedError among them.
    *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, EOFError, struct.error, ET.ParseError),
)
"""What tifffile and imagecodecs raise of damaged or unsupported files."""
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
IMAGE_WIDTH, IMAGE_LENGTH, SOFTWARE = 256, 257, 305
TRESTLE = "MedScan"
"""Begins the name of the software of Trestle's scanners, whose tiles overlap."""
NDPI_SOURCE_LENS = 65421
JPEG, APERIO_YCBCR = 7, 33003
OLD_JPEG = frozenset({6, 33007, 34892})
JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
COMPRESSIONS = {
    **{1: "none", 5: "lzw", 6: "jpeg", 7: "jpeg", 8: "deflate", 32946: "deflate", 32773: "packbits", 34887: "lerc"},
    **dict.fromkeys(JPEG_2000, "jpeg2000"),
    **{34925: "lzma", 34926: "zstd", 50000: "zstd", 34927: "webp", 50001: "webp", 50002: "jpegxl", 52546: "jpegxl"},
}
"""Names of the compressions by the numbers that TIFFs have for them."""
MOST_VALUES = {270: (16 << 20, "bytes of description"), 330: (1000, "SubIFDs")}
"""Most values of some tags, by their numbers; a description becomes twenty times its size when it is parsed."""
CHANNELS = frozenset({0, 1, 2})
"""Photometric interpretations under which further samples are channels: grey, and RGB for want of a better word."""
COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
"""Samples without alpha, by photometric interpretation: white or black is 0, RGB, palette, inks, YCbCr."""
VENDORS = {"svs": "aperio", "ndpi": "hamamatsu", "scn": "leica", "bif": "ventana", "philips": "philips"}
GENERIC_TIFF = "generic-tiff"
"""OpenSlide's word for a tiled TIFF of no maker that it knows."""


@contextmanager
def tiff_errors(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of tifffile and imagecodecs into SlideErrors, and keep their log messages off the terminal."""
    with quietly():
        try:
            yield
        except WsiPatchesError:
            raise
        except AddressError as error:
            raise SlideError(str(error)) from error
        except TIFF_ERRORS as error:
            msg = (
                f"{path} cannot be {what} as a TIFF ({reason_of(error)}): the file is damaged, or stored in a way that "
                "is not supported; copy it again from its source, or convert it to an 8-bit RGB TIFF"
            )
            raise SlideError(msg) from error


@contextmanager
def opened_tiff(path: Path) -> Iterator[Any]:
    """Open a TIFF by tifffile; its errors within the block become SlideErrors, with log messages off the terminal.

    Raises
    ------
    SlideError
        It is damaged, or describes itself at a length that would fill the memory.
    """
    with tiff_errors(path, "opened"), ExitStack() as closing:
        file = path if as_remote(path) is None else closing.enter_context(path.open("rb"))
        tiff = closing.enter_context(tifffile.TiffFile(file))
        if len(tiff.pages):
            _check_first(tiff.pages.first, path)
        yield tiff


def _check_first(page: Any, path: Path) -> None:
    """Refuse tags that are read whole and are of no sensible length."""
    for code, (most, name) in MOST_VALUES.items():
        tag = page.tags.get(code)
        if tag is not None and tag.count > most:
            msg = f"{path} has {tag.count:,} {name}, over the limit of {most:,}: the file is damaged"
            raise SlideError(msg)


def is_tiff(head: bytes) -> bool:
    """Say whether a file's first bytes are those of a TIFF or BigTIFF."""
    return head.startswith(MAGIC)


def check_file(path: Path) -> None:
    """Refuse a TIFF that OpenSlide would read wrongly: of other than 8-bit colours, or with tiles beyond its end.

    Raises
    ------
    SlideError
        With the reason.
    """
    with opened_tiff(path) as tiff:
        first = tiff.pages.first
        check_samples(first, path)
        if first.bitspersample != 8 or not in_colours(first):
            msg = (
                f"{path} holds {first.samplesperpixel} channels of {first.bitspersample}-bit samples, which OpenSlide "
                "cuts to 8-bit colours in silence: leave the reader out"
            )
            raise SlideError(msg)
        for page in tiff.pages:
            whole = page.aspage()
            if whole.is_tiled:
                check_segments(whole, path)


def check_samples(page: Any, path: Path, pages: int = 1) -> None:
    """Refuse samples that have no stated way to 8-bit colours or channels.

    Parameters
    ----------
    page
        tifffile's page.
    path
        For messages.
    pages
        Over how many pages the level's channels are spread.

    Raises
    ------
    SlideError
        With the reason.
    """
    numbers = (page.imagewidth, page.imagelength, page.samplesperpixel)
    if not all(isinstance(value, int) for value in numbers):
        msg = f"{path} states its size in something else than whole numbers: the file is damaged"
        raise SlideError(msg)
    bits, kind = page.bitspersample, {1: "", 2: "signed ", 3: "floating point "}.get(page.sampleformat, "unusual ")
    if page.sampleformat != 1 or not isinstance(bits, int) or not 1 <= bits <= 16:
        msg = (
            f"{path} holds {kind}{bits}-bit samples (channels: {page.samplesperpixel * pages}), and how bright they "
            "are meant is not stated: convert it to unsigned 8-bit or 16-bit samples"
        )
        raise SlideError(msg)
    if not in_colours(page) and int(page.photometric) not in CHANNELS:
        photometric = getattr(page.photometric, "name", page.photometric)
        msg = (
            f"{path} holds {page.samplesperpixel} channels stored as {photometric}: only grey, RGB, palette and CMYK "
            "pictures and channels of grey are supported; export it as 8-bit RGB"
        )
        raise SlideError(msg)
    if page.planarconfig not in (1, 2):
        msg = f"{path} states that its samples lie in no way that TIFF knows ({page.planarconfig}): the file is damaged"
        raise SlideError(msg)
    if page.imagedepth != 1:
        msg = f"{path} holds a volume of {page.imagedepth} planes: export the plane that is meant"
        raise SlideError(msg)


def in_colours(page: Any) -> bool:
    """Say whether a page's samples are grey or colours by its tags, with transparency or without."""
    extra = 1 if alpha_kind(page) is not None else 0
    return bool(page.samplesperpixel - extra == COLOURS.get(int(page.photometric)))


def alpha_kind(page: Any) -> int | None:
    """Return what the sample after the colours is: 0 not said, 1 premultiplied alpha, 2 alpha; None without one."""
    if page.samplesperpixel != COLOURS.get(int(page.photometric), 0) + 1:
        return None
    extra = tuple(page.extrasamples)
    kind = int(extra[0]) if extra else 0
    # A second grey sample of which nothing is said is a second channel.
    return None if kind == 0 and page.samplesperpixel == 2 else kind


def segment_size(page: Any) -> tuple[int, int]:
    """Return width and height of a page's tiles or strips in pixels, those at the border apart."""
    if page.is_tiled:
        return int(page.tilewidth), int(page.tilelength)
    return int(page.imagewidth), min(int(page.rowsperstrip), int(page.imagelength))


def check_segments(page: Any, path: Path) -> None:
    """Refuse a page whose tiles or strips are missing, lie beyond the end of the file, or cannot be as large as said.

    Raises
    ------
    SlideError
        With the reason.
    """
    offsets, counts = page.dataoffsets, page.databytecounts
    kind = "tiles" if page.is_tiled else "strips"
    # OpenSlide asks for a tile's memory by its tags alone, and the whole process dies where there is not so much.
    guard_size(path, *segment_size(page), max(counts, default=0))
    needed, listed = math.prod(page.chunked), min(len(offsets), len(counts))
    if needed < 1 or listed < needed or not any(counts):
        msg = f"{path} lists {listed} of {needed} {kind}: the file is damaged or incomplete"
        raise SlideError(msg)
    end, size = max(map(add, offsets, counts)), page.parent.filehandle.size
    if end > size:
        msg = (
            f"{path} is truncated: its {kind} reach to byte {end:,} and the file ends at {size:,}; "
            "copy it again from its source"
        )
        raise SlideError(msg)
    if not page.is_tiled and not all(counts[:needed]):
        msg = f"{path} has strips without a byte: writing it was broken off; copy it again from its source"
        raise SlideError(msg)


def vendor_of(page: Any) -> str | None:
    """Return the scanner's maker in OpenSlide's words, or None."""
    maker = next((vendor for flag, vendor in VENDORS.items() if getattr(page, f"is_{flag}")), None)
    return maker or (GENERIC_TIFF if page.is_tiled else None)


def scanner_of(page: Any) -> str | None:
    """Return the vendor in whose format OpenSlide would see a TIFF, by its tags, as far as these tell."""
    software = page.tags.valueof(SOFTWARE)
    if isinstance(software, str) and software.startswith(TRESTLE):
        return "trestle"
    return vendor_of(page)


def compression_of(page: Any) -> str:
    """Return the name of a page's compression, in lower case."""
    name = getattr(page.compression, "name", str(page.compression))
    return COMPRESSIONS.get(int(page.compression), name.lower())


def objective_power(page: Any) -> float | None:
    """Return the objective's nominal magnification as Aperio, Hamamatsu and Philips write it, or None."""
    if page.is_philips:
        return philips_power(page.description)
    if page.is_ndpi:
        return number(str(page.tags.valueof(NDPI_SOURCE_LENS)))
    return number(aperio_value(page, "AppMag"))
