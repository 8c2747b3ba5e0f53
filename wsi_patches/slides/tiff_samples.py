"""What the samples of a TIFF mean: colours or channels, and which values are dark and bright."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsi_patches.errors import SlideError
from wsi_patches.slides.channels import Channel, colour_order, refuse_channels, shown_channels
from wsi_patches.slides.ome_xml import OmePicture, read_ome_xml
from wsi_patches.slides.pixels import SampleRange, full_range
from wsi_patches.slides.tiff_tags import alpha_kind, in_colours

__all__ = ["SampleView", "ome_picture", "view_of"]

MAX_SAMPLE_VALUE = 281
EXTRA = "the sample after the colours is not said to be transparency, and is not shown"
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class SampleView:
    """How the samples of a TIFF are shown."""

    range: SampleRange
    """Which values become 0 and 255."""
    shown: tuple[int, ...] = ()
    """Which channels, as grey or as red, green and blue; empty where a page's samples are colours by its tags."""
    channels: tuple[str, ...] = ()
    """Names of all channels where they are not colours."""
    left_out: str = ""
    """A sentence on samples that are not shown."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return sentences for the user on samples that are not shown as they are."""
        return tuple(filter(None, ("" if self.range.is_8bit else self.range.note, self.left_out)))

    @property
    def background(self) -> tuple[int, int, int]:
        """Return the RGB colour of what lies outside: fluorescence is dark where nothing is."""
        return BLACK if self.channels else WHITE


def ome_picture(tiff: Any, page: Any, path: Path) -> OmePicture | None:
    """Return what OME-XML says of the picture of a page's size; None for a TIFF without.

    Raises
    ------
    SlideError
        It is not well-formed.
    """
    xml = tiff.ome_metadata
    pictures = read_ome_xml(xml, path) if xml is not None else ()
    size = str(page.imagewidth), str(page.imagelength)
    return next((one for one in pictures if one.size == size), None)


def view_of(pages: Sequence[Any], ome: OmePicture | None, asked: Sequence[str], path: Path) -> SampleView:
    """Return how the samples of level 0 are shown.

    Parameters
    ----------
    pages
        tifffile's pages of level 0: one, or one a channel.
    ome
        What its OME-XML says, if it has any.
    asked
        Channels by name or 0-based number.
    path
        For messages.

    Raises
    ------
    SlideError
        There are several channels and none was asked for.
    UsageError
        There is no such channel, or the picture is one of colours.
    """
    page = pages[0]
    limits = _range_of(page, ome)
    if len(pages) == 1 and in_colours(page):
        if page.samplesperpixel > 1 or asked not in ((), ("0",)):
            refuse_channels(path, asked)
        return SampleView(limits, left_out=EXTRA if alpha_kind(page) == 0 else "")
    names = _channels(pages, ome)
    shown = shown_channels(path, names, asked, np.dtype(page.dtype))
    if colour_order(names, np.dtype(page.dtype)) is not None:
        return SampleView(limits, shown)
    return SampleView(limits, shown, tuple(channel.name for channel in names))


def _range_of(page: Any, ome: OmePicture | None) -> SampleRange:
    """Return which values are dark and bright: by OME's significant bits, else by the tag, else all."""
    bits = int(page.bitspersample)
    if ome is not None and ome.significant_bits is not None and 1 < ome.significant_bits < bits:
        return SampleRange(0, (1 << ome.significant_bits) - 1, bits, "SignificantBits")
    stated = page.tags.valueof(MAX_SAMPLE_VALUE)
    highest = max(stated, default=0) if isinstance(stated, tuple) else stated
    if bits > 8 and isinstance(highest, int) and 0 < highest < (1 << bits) - 1:
        return SampleRange(0, highest, bits, "MaxSampleValue")
    return full_range(bits)


def _channels(pages: Sequence[Any], ome: OmePicture | None) -> tuple[Channel, ...]:
    """Return a channel for each page, or for each sample of a single one."""
    count = len(pages) if len(pages) > 1 else int(pages[0].samplesperpixel)
    listed = ome.channels if ome is not None else tuple(_perkin_elmer(page, i) for i, page in enumerate(pages))
    return listed if len(listed) == count else tuple(Channel(str(index)) for index in range(count))


def _perkin_elmer(page: Any, index: int) -> Channel:
    """Return a page's channel as PerkinElmer's description names it."""
    if not page.is_qpi:
        return Channel(str(index))
    try:
        name = ET.fromstring(page.description).findtext("Name")
    except ET.ParseError as error:
        msg = f"a page of {page.parent.filename} has a description that is not well-formed: the file is damaged"
        raise SlideError(msg) from error
    return Channel(" ".join((name or str(index)).split()))
