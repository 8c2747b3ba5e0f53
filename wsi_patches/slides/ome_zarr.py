"""OME-Zarr through zarr-python, of which only the chunks that a box touches are read and decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError, WsiPatchesError
from wsi_patches.geometry import Box
from wsi_patches.locations import path_of, patiently
from wsi_patches.locations.object_store import AddressError
from wsi_patches.locations.remote import as_remote
from wsi_patches.slide import AS_IT_IS, Level, ReadOptions, SlideBase, SlideInfo
from wsi_patches.slides.channels import Channel, as_rgb, colour_order, shown_channels
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.ome_xml import OmePicture
from wsi_patches.slides.ome_zarr_array import ZARR_ERRORS, ZarrLevel
from wsi_patches.slides.ome_zarr_metadata import (
    Multiscale,
    check_metadata_files,
    find_pictures,
    ome_pictures,
    read_multiscale,
)
from wsi_patches.slides.pixels import SampleRange, full_range, to_8bit
from wsi_patches.slides.segment_cache import CACHE_BYTES, SegmentCache

__all__ = ["OmeZarrSlide"]

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
"""What lies outside of a picture of fluorescence, and of one in colours."""
MOST_ABSENT = 0.999
"""Largest share of chunks that may be left out as empty: tissue that takes less of a slide is none."""
SHAPE_TOLERANCE = 0.05
"""Largest relative difference between a level's two downsamples; beyond it the array is another picture."""
RED_GREEN_BLUE = tuple(Channel(name) for name in ("red", "green", "blue"))


@dataclass(frozen=True)
class _Picture:
    """One series, its arrays open."""

    about: Multiscale
    levels: tuple[ZarrLevel, ...]
    original: OmePicture | None
    """What the file that it was converted from said of it."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that the finest level truly has."""
        count = self.levels[0].channels
        if self.original is not None and self.original.in_colours and count == 3:
            return RED_GREEN_BLUE
        listed = self.about.channels or (self.original.channels if self.original is not None else ())
        return tuple(listed[i] if i < len(listed) else Channel(str(i)) for i in range(count))

    def range_of(self, channel: int) -> SampleRange:
        """Return which values of a channel are shown as 0 and 255."""
        bits = 8 * self.levels[0].dtype.itemsize
        significant = self.original.significant_bits if self.original is not None else None
        if significant is not None and significant < bits:
            return SampleRange(0, (1 << significant) - 1, bits, "SignificantBits")
        window = self.about.windows[channel] if bits > 8 and channel < len(self.about.windows) else None
        return full_range(bits) if window is None else SampleRange(*window, bits, "the window in omero")


class OmeZarrSlide(SlideBase):
    """An OME-Zarr of version 0.1 to 0.5; of several series the largest is the slide.

    A chunk that is not there reads as the array's fill value, as the standard has it; `SlideInfo.notes` counts them.

    Parameters
    ----------
    path
        The folder: of one picture, or as bioformats2raw writes it.
    options
        A resolution that replaces the file's own, and which channels are meant.

    Raises
    ------
    SlideError
        The folder is no OME-Zarr, is damaged, or holds several times or planes, or channels of which none was chosen.
    UsageError
        A channel was asked for that is not there.
    """

    def __init__(self, path: Path | str, options: ReadOptions = AS_IT_IS) -> None:
        self._path, self._options = path_of(path), options
        identity = fingerprint(self._path)
        with _zarr_errors(self._path, "opened"):
            pictures = _open_pictures(self._path)
            picture = max(pictures, key=lambda one: one.levels[0].size.width * one.levels[0].size.height)
            finest = picture.levels[0]
            finest.check()
            self._shown = shown_channels(self._path, picture.channels, options.channels, finest.dtype)
            self._ranges = tuple(picture.range_of(channel) for channel in self._shown)
            self._levels: tuple[ZarrLevel, ...] = tuple(_true_levels(picture))
            info = _describe(self._path, identity, picture, self._levels, options)
            absent, *_ = (_absent(level, self._path) for level in self._levels)  # of the finest; all are looked at
            notes = (*_sample_notes(self._ranges), *absent, *_others(pictures, picture))
        super().__init__(info.with_notes(*notes), BLACK if info.channels else WHITE)
        self._cache: SegmentCache | None = SegmentCache(CACHE_BYTES)

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        cache, of_level = self._cache, self._levels[level]
        if cache is None:
            msg = f"{self._path} is closed: open it again to read it"
            raise SlideError(msg)
        out = np.empty((box_px.height, box_px.width, 3), np.uint8)
        with _zarr_errors(self._path, f"read at {tuple(box_px)} of level {level}"):
            for number in of_level.touching(box_px):
                pixels = cache.get((level, number), partial(patiently, partial(self._decoded, of_level, number)))
                there, here = _overlap(of_level.place(number), box_px)
                out[here] = self.background if pixels is None else pixels[there]
        return out

    def _decoded(self, level: ZarrLevel, number: int) -> NDArray[np.uint8]:
        """Return a chunk as RGB."""
        pairs = zip(level.planes(self._shown, number), self._ranges, strict=True)
        return as_rgb(np.stack([to_8bit(plane, shown) for plane, shown in pairs]))

    def close(self) -> None:
        """Let the decoded chunks go; a read that another thread has begun still ends well."""
        self._cache = None

    def __reduce__(self) -> tuple[Any, ...]:
        return OmeZarrSlide, (str(self._path), self._options)


@contextmanager
def _zarr_errors(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of zarr-python and its codecs into SlideErrors that quote no metadata."""
    try:
        yield
    except WsiPatchesError:
        raise
    except AddressError as error:
        raise SlideError(str(error)) from error
    except ZARR_ERRORS as error:
        msg = (
            f"{path} cannot be {what} as an OME-Zarr ({type(error).__name__}): an array or a chunk is damaged, or "
            "compressed in a way that is not supported; copy it again from its source"
        )
        raise SlideError(msg) from error


def _open_pictures(path: Path) -> list[_Picture]:
    originals = ome_pictures(path)
    pictures = []
    for number, folder in enumerate(find_pictures(path)):
        about = read_multiscale(folder)
        levels = tuple(ZarrLevel(_open_array(folder / name), folder / name, about.axes) for name in about.arrays)
        if any(len(level.array.shape) != len(about.axes) for level in levels):
            msg = f"{folder} has arrays of other dimensions than its axes {about.axes}: the file is damaged"
            raise SlideError(msg)
        pictures.append(_Picture(about, levels, originals[number] if number < len(originals) else None))
    return pictures


def _open_array(folder: Path) -> Any:
    import zarr  # slow to import, and most slides are no Zarr

    check_metadata_files(folder)
    remote = as_remote(folder)
    if remote is not None:
        from wsi_patches.slides.ome_zarr_remote import ObjectsBelow

        return zarr.open_array(ObjectsBelow(remote), mode="r")
    return zarr.open_array(zarr.storage.LocalStore(folder, read_only=True), mode="r")


def _true_levels(picture: _Picture) -> Iterator[ZarrLevel]:
    """Yield the finest level and those that are it shrunk."""
    finest = picture.levels[0]
    for level in picture.levels:
        level.check()
        x, y = (mine / other for mine, other in zip(finest.size, level.size, strict=True))
        rounding = max(x, y) / min(level.size)
        same_shape = abs(x - y) <= SHAPE_TOLERANCE * max(x, y) + rounding and min(x, y) >= 1
        if not same_shape or (level.channels, level.dtype) != (finest.channels, finest.dtype):
            msg = (
                f"{level.folder} is no smaller copy of the finest level ({level.size.width} x {level.size.height} px "
                f"of {finest.size.width} x {finest.size.height} px, {level.channels} of {finest.channels} channels): "
                "the file is damaged"
            )
            raise SlideError(msg)
        yield level


def _describe(
    path: Path, identity: str, picture: _Picture, levels: Sequence[ZarrLevel], options: ReadOptions
) -> SlideInfo:
    size, original, own = levels[0].size, picture.original, picture.about.pixel_size
    sides = [level.size for level in levels]
    downsamples = [(size.width / one.width + size.height / one.height) / 2 for one in sides]
    described = tuple(
        Level(level.size, downsample, level.chunk, level.compression)
        for level, downsample in zip(levels, downsamples, strict=True)
    )
    plain = levels[0].channels == 1 or colour_order(picture.channels, levels[0].dtype) is not None
    return SlideInfo(
        str(path),
        identity,
        size,
        described,
        options.mpp or own.mpp,
        objective_power=None if original is None else original.objective_power,
        reader="ome-zarr",
        channels=() if plain else tuple(channel.name for channel in picture.channels),
        notes=() if options.mpp else own.notes,
    )


def _sample_notes(ranges: Sequence[SampleRange]) -> list[str]:
    return list(dict.fromkeys(one.note for one in ranges if not one.is_8bit))


def _absent(level: ZarrLevel, path: Path) -> list[str]:
    """Return a sentence on chunks that are not there.

    Raises
    ------
    SlideError
        None is.
    """
    found, expected = level.count_chunks()
    if not found:
        msg = f"{level.folder} holds no chunk of its array: the copy is incomplete; copy it again from its source"
        raise SlideError(msg)
    absent = expected - found
    if absent > MOST_ABSENT * expected:
        msg = (
            f"{path} holds {found:,} of the {expected:,} chunks that its size of {level.size.width:,} x "
            f"{level.size.height:,} pixels makes: the copy is incomplete, or the size damaged; copy it again from its "
            "source"
        )
        raise SlideError(msg)
    return [f"{absent} of {expected} chunks were left out and are shown as the fill value"] if absent > 0 else []


def _others(pictures: Sequence[_Picture], shown: _Picture) -> list[str]:
    """Return a sentence on series that are not read: by number and size, since their names may be anything."""
    others = [
        f"{one.about.folder.name} ({one.levels[0].size.width} x {one.levels[0].size.height} px)"
        for one in pictures
        if one is not shown
    ]
    if not others:
        return []
    return [f"the slide is picture {shown.about.folder.name}, the largest; not read: {', '.join(others)}"]


def _overlap(chunk_px: Box, box_px: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the rows and columns that two boxes share, as seen from each of them."""
    left, top = max(chunk_px.x, box_px.x), max(chunk_px.y, box_px.y)
    right, bottom = min(chunk_px.right, box_px.right), min(chunk_px.bottom, box_px.bottom)
    there, here = (
        (slice(top - one.y, bottom - one.y), slice(left - one.x, right - one.x)) for one in (chunk_px, box_px)
    )
    return there, here
