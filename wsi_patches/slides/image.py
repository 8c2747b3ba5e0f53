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

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import AS_IT_IS, Level, ReadOptions, SlideBase, SlideInfo
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.pixels import guard_size, over
from wsi_patches.slides.resolution import mean_mpp, plausible_mpp

__all__ = ["ImageSlide", "image_format"]

IMAGE_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RuntimeError),
    *(EOFError, MemoryError, struct.error, zlib.error),
)
"""What Pillow's decoders raise of damaged files; SyntaxError is its own word for a broken header."""
PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
"""Called without ``Image.open``, whose size limit is one for the whole process; `guard_size` is ours."""
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
PNG_DEPTH_BYTE = 24
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
        The file is no such photograph, is damaged, or holds 16-bit samples or several frames.
    """

    def __init__(self, path: Path | str, options: ReadOptions = AS_IT_IS) -> None:
        self._path, self._options, mpp = Path(path), options, options.mpp
        identity = fingerprint(self._path)
        with _opened(self._path) as image:
            size, own = Size(*image.size), _mpp(image)
        super().__init__(
            SlideInfo(str(path), identity, size, (Level(size, 1.0),), mpp or own, reader="image"),
        )
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
            return _decode(self._path, self.background)
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
        with path.open("rb") as stream:
            head = stream.read(PNG_DEPTH_BYTE + 1)
            stream.seek(0)
            with _header(path, head, stream) as image:
                guard_size(path, *image.size, path.stat().st_size)
                _check_samples(path, image, head)
                yield image
    except SlideError:
        raise
    except (*IMAGE_ERRORS, Warning) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = (
            f"{path} cannot be read as a photograph ({reason[:200]}): the file is damaged; "
            "copy it again from its source"
        )
        raise SlideError(msg) from error


def _header(path: Path, head: bytes, stream: Any) -> ImageFile.ImageFile:
    name = image_format(head)
    if name is None:
        msg = f"{path} is not a JPEG, PNG, BMP or WebP file, all that the image reader reads: leave the reader out"
        raise SlideError(msg)
    # Warning filters belong to the whole process, hence the lock; decoding, the slow part, happens outside of it.
    with _header_lock, warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"PIL\.")
        warnings.filterwarnings("ignore", message="Corrupt EXIF data", module=r"PIL\.")
        return PLUGINS[name](stream)


def _check_samples(path: Path, image: ImageFile.ImageFile, head: bytes) -> None:
    sixteen = image_format(head) == "PNG" and head[PNG_DEPTH_BYTE] == 16
    if sixteen or image.mode.startswith("I"):
        msg = f"{path} holds 16-bit samples, not supported yet: convert it to 8-bit"
        raise SlideError(msg)
    if image.mode not in MODES:
        msg = f"{path} holds samples of Pillow's mode {image.mode}, not supported: convert it to 8-bit RGB"
        raise SlideError(msg)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        msg = f"{path} holds {frames} frames, and a slide is a still picture: save the frame that is meant"
        raise SlideError(msg)


def _mpp(image: ImageFile.ImageFile) -> float | None:
    """Return the pixel size where the file's print density is a microscope's: 72 or 300 dpi say nothing."""
    density = image.info.get("dpi")
    if density is None:
        return None
    x_mpp, y_mpp = (UM_PER_INCH / float(dots) if dots else None for dots in density)
    return plausible_mpp(mean_mpp(x_mpp, y_mpp))


def _decode(path: Path, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return all pixels, uint8 RGB ``(h, w, 3)``; a truncated file is an error, never half a picture."""
    with _opened(path) as image:
        image.load()
        if not image.has_transparency_data:
            return np.array(image.convert("RGB"))
        rgba = np.asarray(image.convert("RGBA"))
        return over(rgba[..., :3], rgba[..., 3], background)
