"""Photographs: JPEG, PNG, BMP and WebP through Pillow."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from wsi_patches.errors import SlideError, WsiPatchesError
from wsi_patches.geometry import Box, Size
from wsi_patches.jpeg_tile import GREY, check_not_cut, check_scans
from wsi_patches.locations import path_of, patiently
from wsi_patches.locations.object_store import AddressError
from wsi_patches.slide import AS_IT_IS, Level, ReadOptions, SlideBase, SlideInfo
from wsi_patches.slides.channels import refuse_channels
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.pixels import full_range, guard_size, over, to_8bit
from wsi_patches.slides.png import HEADER_BYTES, checked_pixels, is_16bit
from wsi_patches.slides.quiet import quietly
from wsi_patches.slides.reasons import reason_of
from wsi_patches.slides.resolution import UNSTATED, PixelSize, number

__all__ = ["ImageSlide", "image_format"]

IMAGE_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RuntimeError),
    *(EOFError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow's decoders raise of damaged files; SyntaxError is its own word for a broken header."""
PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
"""Called without ``Image.open``, whose size limit is one for the whole process; `guard_size` is ours."""
GREY_MODES = frozenset({"1", "L", "I;16"})
MODES = GREY_MODES | {"LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
INCHES_PER_UNIT = {2: 1.0, 3: 1 / 2.54}
"""EXIF's numbers for inch and centimetre."""
MODE_BITS = {"1": 1, "P": 1, "L": 8, "I;16": 16, "LA": 16, "PA": 9}
"""Least bits of a pixel in Pillow's modes; all others have three samples of 8 bits, or more."""
BAND_PX = 256
INVENTED = frozenset({GREY, 255 - GREY})
"""Samples of what libjpeg makes up; Pillow inverts those of inks."""
UM_PER_INCH = 25_400.0
_header_lock = threading.Lock()


def image_format(head: bytes) -> str | None:
    """Return JPEG, PNG, BMP or WebP by a file's first bytes, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"BM"):
        return "BMP"
    return "WebP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


class ImageSlide(SlideBase):
    """A photograph: a slide with one level, decoded whole at the first read and kept until it is closed.

    Pixels stay as they are stored: an EXIF orientation is not applied, since annotations are in stored pixels.

    Parameters
    ----------
    path
        The file.
    options
        A resolution that replaces the file's own, and which channels are meant.

    Raises
    ------
    SlideError
        The file is no such photograph, is damaged, or holds several frames.
    UsageError
        A channel was asked for.
    """

    def __init__(self, path: Path | str, options: ReadOptions = AS_IT_IS) -> None:
        self._path, self._options = path_of(path), options
        identity = fingerprint(self._path)
        with _opened(self._path) as image:
            size, own, sixteen = Size(*image.size), _pixel_size(image), is_16bit(_head(self._path))
            if image.mode not in GREY_MODES or options.channels != ("0",):
                refuse_channels(self._path, options.channels)
            levels = (Level(size, 1.0, compression=(image.format or "").lower()),)
        notes = () if options.mpp else own.notes
        info = SlideInfo(str(path), identity, size, levels, options.mpp or own.mpp, reader="image", notes=notes)
        super().__init__(info.with_notes(full_range(16).note) if sixteen else info)
        self._lock = threading.Lock()
        self._pixels: NDArray[np.uint8] | None = None
        self._failure: SlideError | None = None
        self._closed = False

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:  # noqa: ARG002 - one level only
        with self._lock:
            if self._closed:
                msg = f"{self._path} is closed: open it again to read it"
                raise SlideError(msg)
            if self._failure is not None:
                raise self._failure
            if self._pixels is None:
                self._pixels = self._decoded()
            pixels = self._pixels
        return pixels[box_px.y : box_px.bottom, box_px.x : box_px.right].copy()

    def _decoded(self) -> NDArray[np.uint8]:
        """Decode, and remember a failure: each of a photograph's patches would run into it again."""
        try:
            return patiently(lambda: _decode(self._path, self.background))
        except SlideError as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Let the pixels go."""
        with self._lock:
            self._pixels, self._closed = None, True

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageSlide, (str(self._path), self._options)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Open a photograph whose header was found in order; errors inside of the block become SlideErrors."""
    try:
        with quietly(), path.open("rb") as stream, _header(path, _head(path), stream) as image:
            guard_size(path, *image.size, path.stat().st_size, MODE_BITS.get(image.mode, 24))
            _check_samples(path, image)
            yield image
    except WsiPatchesError:
        raise
    except AddressError as error:
        raise SlideError(str(error)) from error
    except (*IMAGE_ERRORS, Warning) as error:
        msg = (
            f"{path} cannot be read as a photograph ({reason_of(error)}): the file is damaged; "
            "copy it again from its source"
        )
        raise SlideError(msg) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEADER_BYTES)


def _header(path: Path, head: bytes, stream: Any) -> ImageFile.ImageFile:
    name = image_format(head)
    if name is None:
        msg = f"{path} is not a JPEG, PNG, BMP or WebP file, all that the image reader reads: leave the reader out"
        raise SlideError(msg)
    # Warning filters belong to the whole process, hence the lock; decoding, the slow part, happens outside of it.
    with _header_lock, warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"PIL\.")
        warnings.filterwarnings("ignore", message="Corrupt EXIF data", module=r"PIL\.")
        image = PLUGINS[name](stream)
        if "exif" in image.info:
            image.getexif()  # parsed here, once, where its warnings are kept
        return image


def _check_samples(path: Path, image: ImageFile.ImageFile) -> None:
    if image.mode not in MODES:
        msg = f"{path} holds samples of Pillow's mode {image.mode}, not supported: convert it to 8-bit RGB"
        raise SlideError(msg)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        msg = f"{path} holds {frames} frames, and a slide is a still picture: save the frame that is meant"
        raise SlideError(msg)


def _pixel_size(image: ImageFile.ImageFile) -> PixelSize:
    """Return the pixel where the print density is a microscope's: 72 or 300 dpi say nothing.

    Pillow puts PNG's and BMP's pixels per metre, JFIF's density and, where there is none, EXIF's in one place.
    """
    stated = _of_density(image.info.get("dpi"), 1.0).if_plausible()
    if stated != UNSTATED or "exif" not in image.info:
        return stated
    exif = image.getexif()  # a camera's JFIF density is mostly 72 dpi
    unit = INCHES_PER_UNIT.get(exif.get(RESOLUTION_UNIT, 2))
    return _of_density((exif.get(X_RESOLUTION), exif.get(Y_RESOLUTION)), unit).if_plausible()


def _of_density(density: Any, inches: float | None) -> PixelSize:
    """Return the pixel of so many dots in a unit of so many inches."""
    if density is None or inches is None:
        return UNSTATED
    dots = [number(str(one)) for one in density]
    return PixelSize(*(UM_PER_INCH * inches / one if one else None for one in dots))


def _decode(path: Path, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return all pixels, uint8 RGB ``(h, w, 3)``; a truncated file is an error, never half a picture."""
    with _opened(path) as image:
        content = path.read_bytes()
        if isinstance(image, PngImagePlugin.PngImageFile):
            content = checked_pixels(content)
        is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
        if is_jpeg:
            check_scans(content)
        image.load()
        if is_16bit(content):  # only now, since libpng fills what is cut off
            return _from_16bit(imagecodecs.png_decode(content), background)
        if is_jpeg and set(image.crop((image.width - 1, image.height - 1, *image.size)).tobytes()) <= INVENTED:
            check_not_cut(content)
        return _as_rgb(image, background)


def _as_rgb(image: Image.Image, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture as RGB, band by band: a copy of the whole in each mode on the way would not fit the memory."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    out = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, BAND_PX):
        bottom = min(top + BAND_PX, image.height)
        band = np.asarray(image.crop((0, top, image.width, bottom)).convert(mode))
        out[top:bottom] = band if mode == "RGB" else over(band[..., :3], band[..., 3], background)
    return out


def _from_16bit(samples: NDArray[np.uint16], background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return RGB of 16-bit grey or RGB, with alpha or without.

    PNG stretches samples to all 16 bits; what its sBIT chunk says of significant bits does not change that.
    """
    shrunk = to_8bit(samples if samples.ndim == 3 else samples[..., None], full_range(16))
    colours = 1 if shrunk.shape[2] <= 2 else 3
    rgb = np.repeat(shrunk[..., :1], 3, axis=2) if colours == 1 else shrunk[..., :3]
    return over(rgb, shrunk[..., -1], background) if shrunk.shape[2] > colours else np.ascontiguousarray(rgb)
