"""How the bytes of a TIFF's tile or strip become RGB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.geometry import Size
from wsi_patches.jpeg_tile import (
    GREY,
    JpegTiles,
    check_jpeg,
    check_jpeg_part,
    check_jpeg_tile,
    check_not_cut,
    decode_jpeg_tile,
)
from wsi_patches.slides.channels import as_rgb
from wsi_patches.slides.jpeg2000 import check_jpeg2000
from wsi_patches.slides.pixels import cmyk_to_rgb, guard_size, over, to_8bit
from wsi_patches.slides.png import checked_pixels
from wsi_patches.slides.tiff_codecs import PNG, segment_samples
from wsi_patches.slides.tiff_samples import SampleView
from wsi_patches.slides.tiff_tags import APERIO_YCBCR, JPEG, JPEG_2000, alpha_kind, in_colours, segment_size

__all__ = ["Decode", "check_of", "decoder_of", "jpeg_tiles_of"]

Pixels = NDArray[np.uint8]
Samples = NDArray[np.unsignedinteger[Any]]
Decode = Callable[[Sequence[bytes], int], Pixels]
"""From the bytes of a segment's planes (mostly one) and its number to RGB ``(h, w, 3)``."""
JPEG_COLOURS = {1: "grey", 2: "rgb", 6: "ycbcr"}
"""How the samples of a JPEG tile are to be read, by the TIFF's photometric interpretation, as OpenSlide reads them:
whatever Adobe's or JFIF's marker within the stream says."""
MIN_IS_WHITE, PALETTE, SEPARATED = 0, 3, 5
PREMULTIPLIED = 1


def decoder_of(page: Any, path: Path, view: SampleView) -> Decode:
    """Return the function that decodes a page's segments.

    Parameters
    ----------
    page
        tifffile's page; the file behind it may be closed by the time of decoding.
    path
        For messages.
    view
        How samples are shown.
    """
    jpeg = jpeg_tiles_of(page)
    if jpeg is not None:
        return _jpeg_decoder(jpeg, page.samplesperpixel)
    page.init_decode()  # here, since it is not safe in several threads
    # Tags are read here too, while the file is open.
    check, tables, palette = check_of(page), page.jpegtables or b"", _palette(page)

    def decode(planes: Sequence[bytes], number: int) -> Pixels:
        guard_size(path, *segment_size(page), max(map(len, planes)))
        for data in planes:
            check(data)
        samples = [segment_samples(page, data, number, tables) for data in planes]
        together = samples[0] if len(samples) == 1 else np.concatenate(samples, axis=2)
        return to_rgb(together, page, palette, view) if in_colours(page) else _channels(together, page, view)

    return decode


def jpeg_tiles_of(page: Any) -> JpegTiles | None:
    """Return what the JPEG tiles of a page share, or None where its segments are not plain JPEG tiles of 8 bits."""
    colour = JPEG_COLOURS.get(int(page.photometric))
    plain = int(page.compression) == JPEG and page.jpegheader is None and page.is_tiled
    in_one = page.samplesperpixel == (1 if colour == "grey" else 3) and (page.planarconfig == 1 or colour == "grey")
    if colour is None or not plain or not in_one or page.bitspersample != 8:
        return None
    return JpegTiles(Size(*segment_size(page)), page.jpegtables or b"", colour)


def _jpeg_decoder(jpeg: JpegTiles, samples: int) -> Decode:
    size, tables, colour = jpeg.size, jpeg.tables, jpeg.colour

    def decode(planes: Sequence[bytes], number: int) -> Pixels:  # noqa: ARG001 - tiles are all of one size
        check_jpeg_tile(planes[0], size, samples, tables)
        pixels = decode_jpeg_tile(planes[0], tables, colour)
        if (pixels[-1, -1] == GREY).all():
            check_not_cut(planes[0], tables)
        return pixels

    return decode


def check_of(page: Any) -> Callable[[bytes], None]:
    """Return what raises ValueError of a segment that was cut off, where its decoder would say nothing."""
    compression = int(page.compression)
    if compression == JPEG:
        return partial(check_jpeg, tables=page.jpegtables or b"") if page.jpegheader is None else check_jpeg_part
    if compression == PNG:
        return _check_png
    return check_jpeg2000 if compression in JPEG_2000 else _no_check


def _check_png(data: bytes) -> None:
    checked_pixels(data)  # libpng tells the terminal what is wrong


def _no_check(data: bytes) -> None:
    """Accept all: the decoders of lossless codecs tell, and the size of what comes out is compared."""


def _channels(samples: Samples, page: Any, view: SampleView) -> Pixels:
    """Return RGB ``(h, w, 3)`` of the channels that are shown."""
    planes = to_8bit(samples[..., list(view.shown)], view.range).transpose(2, 0, 1)
    return as_rgb(255 - planes if int(page.photometric) == MIN_IS_WHITE else planes)


def to_rgb(samples: Samples, page: Any, palette: Pixels | None, view: SampleView) -> Pixels:
    """Return RGB ``(h, w, 3)`` of samples ``(h, w, s)`` as their page means them."""
    alpha, photometric = alpha_kind(page), int(page.photometric)
    stored = samples if alpha is None else samples[..., :-1]
    colour = to_8bit(stored, view.range) if palette is None else palette[stored[..., 0]]
    if photometric == MIN_IS_WHITE:
        colour = 255 - colour
    elif photometric == SEPARATED:
        colour = cmyk_to_rgb(colour)
    elif int(page.compression) == APERIO_YCBCR:
        colour = aperio_rgb(colour)
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    if not alpha:  # none, or a fourth sample of which the file does not say that it is alpha
        return np.ascontiguousarray(colour)
    opacity = to_8bit(samples[..., -1], view.range)
    return over(colour, opacity, view.background, premultiplied=alpha == PREMULTIPLIED)


def _palette(page: Any) -> Pixels | None:
    """Return the colour map, uint8 RGB ``(colours, 3)``; it is 16-bit by the standard, 8-bit in some files."""
    if int(page.photometric) != PALETTE:
        return None
    colours = np.asarray(page.colormap)
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8).T


def aperio_rgb(ycbcr: Pixels) -> Pixels:
    """Return RGB of the YCbCr in Aperio's JPEG 2000, both ``(h, w, 3)``, by the whole-number tables of OpenSlide."""
    red_cr, green_cb, green_cr, blue_cb = _colour_tables()
    luma, cb, cr = (ycbcr[..., i].astype(np.int32) for i in range(3))
    channels = (luma + red_cr[cr], luma + ((green_cb[cb] + green_cr[cr]) >> 16), luma + blue_cb[cb])
    return np.stack(channels, axis=2).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _colour_tables() -> tuple[NDArray[np.int32], ...]:
    """Return what Cr adds to red, Cb and Cr to green (times 2 ** 16, the half for rounding in Cb's), Cb to blue."""
    chroma = np.arange(256) - 128.0
    values = (1.402 * chroma, 65536 * (0.5 - 0.34414 * chroma), -65536 * 0.71414 * chroma, 1.772 * chroma)
    # C's round() takes halves away from 0.
    return tuple((np.sign(value) * np.floor(np.abs(value) + 0.5)).astype(np.int32) for value in values)
