"""How the picture of a patch becomes a file: PNG, WebP and TIFF without loss, JPEG with a stated quality."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Literal, get_args

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, imwrite

from wsi_patches.errors import UsageError

__all__ = ["ImageKind", "ImageSettings", "encode"]

ImageKind = Literal["png", "jpeg", "webp", "tiff"]
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
QUALITY = 95
"""Of JPEG, if none is asked for."""
PNG_FAST = {"level": 1, "strategy": 3, "filter": 16}
"""The settings that OpenCV writes by: several times faster than the strongest, and a little larger."""

WEBP_FAST = {"method": 1, "level": 0}
"""Seven times faster than libwebp's own settings, for files 1.5 % larger; both are lossless."""


@dataclass(frozen=True)
class ImageSettings:
    """How pictures are encoded."""

    kind: ImageKind = "png"
    """``png``, ``webp`` and ``tiff`` without loss; ``jpeg`` with it."""
    quality: int | None = None
    """Of JPEG, 1 to 100; its colours are not subsampled. If None, patches that the store keeps as the slide's own JPEG
    are taken as they are, since encoding them anew would lose more, and others have `QUALITY`."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(ImageKind):
            msg = f"--image takes one of {', '.join(get_args(ImageKind))}, found {self.kind!r}"
            raise UsageError(msg)
        if self.quality is not None and not 1 <= self.quality <= 100:
            msg = f"--quality of JPEG takes 1 to 100, found {self.quality}"
            raise UsageError(msg)

    @property
    def keeps_own(self) -> bool:
        """Whether the slide's own JPEG is taken, where the store keeps it."""
        return self.kind == "jpeg" and self.quality is None

    @property
    def suffix(self) -> str:
        """The file name's suffix, with its dot."""
        return SUFFIXES[self.kind]

    @property
    def media_type(self) -> str:
        """The media type, such as ``image/png``."""
        return f"image/{self.kind}"

    def __str__(self) -> str:
        if self.kind != "jpeg":
            return f"{self.kind.upper()}, without loss"
        own = ", or the slide's own JPEG where the store keeps that" if self.keeps_own else ""
        return f"JPEG, quality {self.quality or QUALITY}{own}"


def encode(image: NDArray[np.uint8], settings: ImageSettings) -> bytes:
    """Return a picture, uint8 RGB ``(h, w, 3)``, as the bytes of a file."""
    if settings.kind == "jpeg":
        return bytes(imagecodecs.jpeg_encode(image, level=settings.quality or QUALITY, subsampling="444"))
    if settings.kind == "webp":
        return bytes(imagecodecs.webp_encode(image, lossless=True, **WEBP_FAST))
    if settings.kind == "tiff":
        before, after = _tiff_of(image.shape)
        return b"".join((before, image.tobytes(), after))
    return bytes(imagecodecs.png_encode(image, **PNG_FAST))


@cache
def _tiff_of(shape: tuple[int, ...]) -> tuple[bytes, bytes]:
    """Return what stands before and after the pixels in a TIFF without compression: of one shape, they alone differ."""
    stream = BytesIO()
    imwrite(stream, np.zeros(shape, np.uint8), photometric="rgb", metadata=None)
    content = stream.getvalue()
    with TiffFile(BytesIO(content)) as file:
        (start,), (length,) = file.pages.first.dataoffsets, file.pages.first.databytecounts
    return content[:start], content[start + length :]
