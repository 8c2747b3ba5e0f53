"""Whatever samples a file holds, as uint8 RGB; and the guard against headers that lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError

__all__ = ["MAX_PIXELS", "SampleRange", "check_dtype", "cmyk_to_rgb", "full_range", "guard_size", "over", "to_8bit"]

MAX_PIXELS = 2_000_000_000
"""Most pixels that are decoded in one piece: 6 GB as RGB."""
SMALL_PIXELS = 100_000_000
"""Up to this a picture is decoded whatever its file's size: an even background compresses to nearly nothing."""
MAX_BITS_PER_BYTE = 10_000
"""Deflate, the strongest of the usual codecs, holds at most 8 256 bits in a byte."""


@dataclass(frozen=True)
class SampleRange:
    """Which sample values are shown as 0 and as 255."""

    low: float
    high: float
    bits: int
    """Of one sample as it is stored."""
    source: str
    """Where the range comes from."""

    @property
    def note(self) -> str:
        """Return a sentence for the user."""
        return (
            f"{self.bits}-bit samples are shown as 8-bit: {self.low:.9g} to {self.high:.9g} became 0 to 255 "
            f"({self.source})"
        )

    @property
    def is_8bit(self) -> bool:
        """Say whether samples are shown as they are."""
        return (self.low, self.high) == (0, 255)


def full_range(bits: int) -> SampleRange:
    """Return the range of all values that unsigned samples of so many bits can have."""
    return SampleRange(0, (1 << bits) - 1, bits, "all that the samples can hold; the file states no less")


def to_8bit(samples: NDArray[np.unsignedinteger[Any]], shown: SampleRange) -> NDArray[np.uint8]:
    """Return samples as ``round((v - low) * 255 / (high - low))``, clipped to 0 to 255.

    Parameters
    ----------
    samples
        uint8 or uint16 of any shape.
    shown
        The values that become 0 and 255.

    Returns
    -------
    uint8 of the same shape.
    """
    if samples.dtype == np.uint8 and shown.is_8bit:
        return samples.astype(np.uint8, copy=False)
    values = np.arange(np.iinfo(samples.dtype).max + 1, dtype=np.float64)
    scaled = np.floor((values - shown.low) * 255 / (shown.high - shown.low) + 0.5)
    table: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    shrunk: NDArray[np.uint8] = table[samples]
    return shrunk


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse samples that have no stated way into 0 to 255.

    Raises
    ------
    SlideError
        They are signed, floating point, or of more than 16 bits.
    """
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return
    kind = {"i": "signed ", "f": "floating point ", "u": "", "c": "complex "}.get(dtype.kind, "unusual ")
    msg = (
        f"{path} holds {kind}{8 * dtype.itemsize}-bit samples, and how bright they are meant is not stated: convert it "
        "to unsigned 8-bit or 16-bit samples"
    )
    raise SlideError(msg)


def guard_size(path: Path, width: int, height: int, encoded_bytes: int, bits: int = 1) -> None:
    """Refuse to decode in one piece what is too large, or larger than its bytes can hold at so many bits a pixel.

    Raises
    ------
    SlideError
        It is empty, over `MAX_PIXELS`, or a decompression bomb.
    """
    pixels = width * height
    if width < 1 or height < 1:
        msg = f"{path} says that it is {width} x {height} pixels: the file is damaged"
        raise SlideError(msg)
    if pixels > MAX_PIXELS:
        msg = (
            f"{path} holds {width} x {height} pixels in one piece, over the limit of {MAX_PIXELS:,}: "
            "convert it to a tiled, pyramidal TIFF"
        )
        raise SlideError(msg)
    if pixels > SMALL_PIXELS and pixels * bits > MAX_BITS_PER_BYTE * encoded_bytes:
        msg = (
            f"{path} says that {width} x {height} pixels lie in {encoded_bytes} bytes, which cannot be: "
            "the file is damaged, or a decompression bomb"
        )
        raise SlideError(msg)


def over(
    colour: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    background: tuple[int, int, int],
    *,
    premultiplied: bool = False,
) -> NDArray[np.uint8]:
    """Lay a picture over an even background.

    Parameters
    ----------
    colour
        uint8 RGB of shape ``(h, w, 3)``.
    alpha
        uint8 of shape ``(h, w)``, 255 being opaque.
    background
        RGB.
    premultiplied
        The colour was already multiplied by alpha.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``.
    """
    if alpha.size == 0 or alpha.min() == 255:
        return np.ascontiguousarray(colour)
    opacity = alpha[..., None].astype(np.uint32)
    front = colour.astype(np.uint32) * (255 if premultiplied else opacity)
    mixed = (front + np.array(background, np.uint32) * (255 - opacity) + 127) // 255
    rgb: NDArray[np.uint8] = np.minimum(mixed, 255).astype(np.uint8)
    return rgb


def cmyk_to_rgb(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB ``(h, w, 3)`` of uint8 CMYK ``(h, w, 4)``, 255 being full ink; no colour profile is applied."""
    light = 255 - inks.astype(np.uint32)
    rgb: NDArray[np.uint8] = ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
    return rgb
