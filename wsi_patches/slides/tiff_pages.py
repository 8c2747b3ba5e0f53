"""Which pages of a TIFF are the levels of its slide, and which reader reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Size
from wsi_patches.slides.jpeg2000 import is_subsampled
from wsi_patches.slides.ome_xml import read_ome_xml
from wsi_patches.slides.philips import philips_downsamples, philips_size
from wsi_patches.slides.tiff_tags import (
    APERIO_YCBCR,
    GENERIC_TIFF,
    IMAGE_LENGTH,
    IMAGE_WIDTH,
    alpha_kind,
    check_samples,
    check_segments,
    in_colours,
    opened_tiff,
    segment_size,
)

__all__ = ["check_page", "level_pages", "level_sizes", "needs_openslide"]

JPEG_FAMILY = frozenset({6, 7, 33007, 34892})
"""Compressions whose YCbCr their decoder turns into RGB."""
SEPARATED, YCBCR = 5, 6
MOST_PLANES = 10_000
SHAPE_TOLERANCE = 0.05
"""Largest relative difference between a level's two downsamples; beyond it the page is another picture."""
OWN_VENDORS = frozenset({"aperio", "philips", GENERIC_TIFF})
"""Formats, in OpenSlide's words, whose levels are pages as they lie in the file. Others place their tiles by rules of
their own (Leica, Ventana, Trestle), or have levels that OpenSlide makes by decoding less (Hamamatsu)."""
READABLE_COMPRESSIONS = frozenset({1, 5, 7, 8, 32773, 32946, 33003, 33005, 50000})
"""TIFF compressions that OpenSlide reads: none, LZW, JPEG, deflate (two codes), PackBits, Aperio's two JPEG 2000, zstd.
It opens files with others (JPEG 2000 34712, WebP, LZMA, JPEG XL) and then fails at the first read."""


def needs_openslide(path: Path, vendor: str) -> bool:
    """Say whether a TIFF in which OpenSlide sees ``vendor``'s format is better read by it.

    Raises
    ------
    SlideError
        The TIFF's structure is damaged.
    """
    with opened_tiff(path) as tiff:
        page = tiff.pages.first
        # Of a pyramid in SubIFDs, as OME-TIFF has it, OpenSlide sees level 0 only, and no OME metadata.
        hides_levels = vendor == GENERIC_TIFF and bool(page.is_ome or page.subifds)
        more_than_colours = page.bitspersample != 8 or not in_colours(page)
        if int(page.compression) not in READABLE_COMPRESSIONS or hides_levels or more_than_colours:
            return False
        if vendor not in OWN_VENDORS or (vendor == "philips" and not page.is_philips):
            return True
        # Inks and transparency OpenSlide rounds in its own way, which is then the one that people know.
        if _is_raw_ycbcr(page) or alpha_kind(page) is not None or int(page.photometric) == SEPARATED:
            return True
        return vendor == "aperio" and (_is_subsampled(tiff, page) or _lacks_tiles(tiff))


def _is_raw_ycbcr(page: Any) -> bool:
    return int(page.photometric) == YCBCR and int(page.compression) not in JPEG_FAMILY


def _is_subsampled(tiff: Any, page: Any) -> bool:
    """Say whether JPEG 2000 tiles hold colours at half the size, which our decoder does not read."""
    if int(page.compression) != APERIO_YCBCR:
        return False
    offset, _ = next(piece for piece in zip(page.dataoffsets, page.databytecounts, strict=True) if piece[1])
    tiff.filehandle.seek(offset)
    return is_subsampled(tiff.filehandle.read(64))


def _lacks_tiles(tiff: Any) -> bool:
    """Say whether a pyramid leaves out tiles, which OpenSlide paints from the level above in Aperio's files."""
    tiled = [page for page in (page.aspage() for page in tiff.pages) if page.is_tiled]
    return len(tiled) > 1 and any(0 in page.databytecounts for page in tiled)


def level_pages(tiff: Any, path: Path) -> list[list[Any]]:
    """Return the pages of each level, finest first, of the largest picture in the file: labels and thumbnails are less.

    A level is one page, or one for each channel.

    Raises
    ------
    SlideError
        There is no picture, or several times, planes or pictures of one size.
    """
    if not len(tiff.pages):
        msg = f"{path} holds no page: it is truncated or damaged; copy it again from its source"
        raise SlideError(msg)
    _check_planes(tiff, path)
    if tiff.pages.first.is_svs and tiff.pages.first.is_tiled:
        return _aperio_levels(tiff)
    pictures = [series for series in tiff.series if series.keyframe is not None and 0 not in series.shape]
    if not pictures:
        msg = f"{path} holds no picture that can be read: the file is damaged or incomplete"
        raise SlideError(msg)
    series = max(pictures, key=lambda one: one.keyframe.imagewidth * one.keyframe.imagelength)
    _check_axes(series, path)
    if any(page is None or page.parent.filehandle is not tiff.filehandle for page in series.pages):
        msg = f"{path} is one of a set: parts of its picture lie in other files; export it as one OME-TIFF"
        raise SlideError(msg)
    levels = [[page.aspage() for page in level.pages] for level in series.levels]
    finest = levels[0]
    if finest[0].is_philips:
        return levels
    return [pages for pages in levels if _has_shape_of(pages[0], finest[0]) and len(pages) == len(finest)]


def _check_planes(tiff: Any, path: Path) -> None:
    """Refuse OME-XML that claims more planes than tifffile, which takes its word, has memory for."""
    xml = tiff.ome_metadata
    planes = sum(picture.planes for picture in read_ome_xml(xml, path)) if xml is not None else 0
    if planes > MOST_PLANES:
        msg = f"{path} describes {planes:,} planes, times and channels, and a slide is one picture: export it alone"
        raise SlideError(msg)


def _aperio_levels(tiff: Any) -> list[list[Any]]:
    """Return every tiled page of Aperio's: the thumbnail, the label and the macro picture are in strips.

    tifffile takes the second page for the thumbnail whatever it is, and some programs write none. Of several pages of
    one size, which are focal planes, the first is taken.
    """
    by_size: dict[tuple[int, ...], Any] = {}
    for page in (page.aspage() for page in tiff.pages):
        if page.is_tiled:
            by_size.setdefault(page.shape, page)
    return [[page] for page in by_size.values()]


def _check_axes(series: Any, path: Path) -> None:
    """Refuse a series that is more than one picture of some channels."""
    others = {
        axis: side for axis, side in zip(series.axes, series.shape, strict=True) if axis not in "CSYX" and side > 1
    }
    samples = series.keyframe.samplesperpixel
    channels = dict(zip(series.axes, series.shape, strict=True)).get("C", 1)
    pages = len(series.pages)
    if others or pages not in (1, channels) or (pages > 1 and samples > 1):
        msg = (
            f"{path} holds {pages} pictures of one size (axes {series.axes}, {series.shape}: planes, times or parts), "
            "and a slide is one picture of some channels: export the one that is meant"
        )
        raise SlideError(msg)
    if pages == 1 and channels not in (1, samples):  # ImageJ keeps one page for a whole stack over 4 GB
        msg = f"{path} describes one page for {channels} channels, not supported: export it as OME-TIFF"
        raise SlideError(msg)


def level_sizes(pages: Sequence[Any]) -> list[tuple[Size, float]]:
    """Return size, in the level's own pixels, and downsample of each level."""
    sizes = [Size(page.imagewidth, page.imagelength) for page in pages]
    full = sizes[0]
    if pages[0].is_philips:
        downsamples = philips_downsamples(pages[0].description)
        return [(philips_size(full, by), float(by)) for _, by in zip(pages, downsamples, strict=True)]
    return [(size, (full.width / size.width + full.height / size.height) / 2) for size in sizes]


def _has_shape_of(page: Any, finest: Any) -> bool:
    """Say whether a page is the finest one shrunk; a macro picture that calls itself a level is not."""
    x, y = finest.imagewidth / page.imagewidth, finest.imagelength / page.imagelength
    # The sides of a level of a few pixels are rounded by up to one of them.
    rounding = max(x, y) / min(page.imagewidth, page.imagelength)
    return bool(abs(x - y) <= SHAPE_TOLERANCE * max(x, y) + rounding)


def _check_number(page: Any, path: Path) -> None:
    """Refuse a page that lists more tiles than its size makes: then its size is wrong, and each tile's place."""
    if not page.is_tiled:
        return
    width, height = (int(page.tags.valueof(tag)) for tag in (IMAGE_WIDTH, IMAGE_LENGTH))
    across, down = segment_size(page)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    needed = -(-width // across) * -(-height // down) * planes
    if len(page.dataoffsets) > needed:
        msg = (
            f"{path} lists {len(page.dataoffsets)} tiles for a picture of {width} x {height} pixels, which makes "
            f"{needed}: the file is damaged"
        )
        raise SlideError(msg)


def check_page(page: Any, path: Path, pages: int = 1) -> None:
    """Refuse a page, one of so many of its level, whose samples or segments cannot be read.

    Raises
    ------
    SlideError
        With the reason.
    """
    check_samples(page, path, pages)
    check_segments(page, path)
    _check_number(page, path)
    if _is_raw_ycbcr(page):
        msg = f"{path} holds YCbCr samples in {page.compression!r}, which the tifffile reader does not turn into RGB"
        raise SlideError(msg)
