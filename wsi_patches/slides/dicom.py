"""DICOM whole slides: which files belong together and which holds the slide; headers only, OpenSlide reads the pixels.

A slide is a series: one file for each level, label, overview and thumbnail (DICOM PS3.3, A.32.8). From any of these
OpenSlide finds the others beside it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wsi_patches.errors import SlideError

__all__ = [
    "SUFFIX",
    "find_volume",
    "finest_of",
    "instance_of",
    "is_annotations",
    "is_dicom",
    "is_one_series",
    "one_of_each_series",
]

SUFFIX = ".dcm"
PREAMBLE_BYTES, MAGIC = 128, b"DICM"
TRANSFER_SYNTAX, IMAGE_TYPE, SERIES, COLUMNS, ROWS = 0x00020010, 0x00080008, 0x0020000E, 0x00480006, 0x00480007
INSTANCE = 0x00080018
SOP_CLASS, ANNOTATIONS = 0x00080016, b"1.2.840.10008.5.1.4.1.1.91.1"
"""Microscopy Bulk Simple Annotations: cells that somebody marked on a slide, no image."""
IMPLICIT_VR = b"1.2.840.10008.1.2"
LONG_LENGTH = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
MAX_VALUE_BYTES = 1024
"""Longest value that is looked at; longer ones are passed over."""


@dataclass(frozen=True)
class _Image:
    """One file of a series."""

    path: Path
    series: bytes
    is_volume: bool
    """It holds a level, and not the label, overview or thumbnail."""
    pixels: int


def is_dicom(head: bytes) -> bool:
    """Say whether a file's first bytes are those of a DICOM file."""
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC


def is_annotations(path: Path) -> bool:
    """Say whether a DICOM file holds annotations of a slide (Microscopy Bulk Simple Annotations) and no image."""
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            stream.seek(PREAMBLE_BYTES)
            if stream.read(len(MAGIC)) != MAGIC:
                return False
            return next(value for tag, value in _elements(stream) if tag >= SOP_CLASS).rstrip(b"\0 ") == ANNOTATIONS
    except (OSError, EOFError, StopIteration, RecursionError):
        return False


def finest_of(path: Path) -> Path | None:
    """Return the finest level's file of a DICOM slide, named by its folder or by one of its files; None for no DICOM.

    Raises
    ------
    SlideError
        The folder holds several series.
    """
    if path.is_dir():
        return find_volume(path)
    asked = _read(path)
    if asked is None:
        return None
    images = [image for image in map(_read, _files(path.parent)) if image is not None and image.series == asked.series]
    return max(images, key=_rank).path


def instance_of(path: Path) -> str:
    """Return the identifier (SOP Instance UID) of a slide's finest level; empty for no DICOM, or none that can be told.

    Parameters
    ----------
    path
        As `finest_of` takes it.
    """
    try:
        finest = finest_of(path)
        if finest is None:
            return ""
        with finest.open("rb") as stream:
            stream.seek(PREAMBLE_BYTES + len(MAGIC))
            return next(value for tag, value in _elements(stream) if tag == INSTANCE).rstrip(b"\0 ").decode("ascii")
    except (OSError, EOFError, StopIteration, SlideError, UnicodeDecodeError, struct.error, RecursionError):
        return ""  # opening the slide says what is wrong with it


def find_volume(folder: Path) -> Path | None:
    """Return the finest level's file of the one series that a folder holds; None where it holds no DICOM slide.

    Raises
    ------
    SlideError
        It holds several series.
    """
    images = [image for image in map(_read, _files(folder)) if image is not None]
    series = {image.series for image in images}
    if len(series) > 1:
        msg = f"{folder} holds {len(series)} DICOM series, each a slide of its own: name one file of the one meant"
        raise SlideError(msg)
    return max(images, key=_rank).path if images else None


def is_one_series(folder: Path) -> bool:
    """Say whether a folder is one slide: several files of one series, and nothing else."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and not is_annotations(entry)]
    if len(entries) < 2 or any(entry.suffix.lower() != SUFFIX for entry in entries):
        return False
    images = [_read(entry) for entry in entries if entry.is_file()]
    series = {None if image is None else image.series for image in images}
    return len(images) == len(entries) and len(series) == 1 and None not in series


def one_of_each_series(files: Sequence[Path]) -> list[Path]:
    """Return the finest level's file of each series among some files, and every file that is in none.

    Files of annotations are no slides, and left out.
    """
    chosen: dict[bytes, _Image] = {}
    others = []
    for path in files:
        image = _read(path)
        if image is None and is_annotations(path):
            continue
        if image is None:
            others.append(path)
        elif image.series not in chosen or _rank(image) > _rank(chosen[image.series]):
            chosen[image.series] = image
    return sorted([*others, *(image.path for image in chosen.values())])


def _rank(image: _Image) -> tuple[bool, int]:
    return image.is_volume, image.pixels


def _files(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_file())


def _read(path: Path) -> _Image | None:
    """Return what a file's header says; None where it is none of a DICOM slide, which opening it then explains."""
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            stream.seek(PREAMBLE_BYTES)
            if stream.read(len(MAGIC)) != MAGIC:
                return None
            found = dict(_elements(stream))
        columns, rows = (struct.unpack("<I", found[tag])[0] for tag in (COLUMNS, ROWS))
        kind = found[IMAGE_TYPE].split(b"\\")
        return _Image(path, found[SERIES], b"VOLUME" in kind, columns * rows)
    except (OSError, EOFError, KeyError, struct.error, RecursionError):
        return None


def _elements(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value of the short elements of the top level, up to the last that matters."""
    explicit = True
    while True:
        tag, length = _element(stream, explicit)
        if tag > ROWS:
            return
        if length == UNDEFINED:
            _skip(stream, explicit, SEQUENCE_END)
        elif length > MAX_VALUE_BYTES:
            stream.seek(length, 1)
        else:
            value = _exactly(stream, length)
            yield tag, value
            if tag == TRANSFER_SYNTAX:
                explicit = value.rstrip(b"\0 ") != IMPLICIT_VR


def _element(stream: BinaryIO, explicit: bool) -> tuple[int, int]:
    """Return tag and length of the element that begins here; the file's own header is always explicit."""
    group, number = struct.unpack("<HH", _exactly(stream, 4))
    tag = group << 16 | number
    if group == ITEM >> 16 or not (explicit or group == TRANSFER_SYNTAX >> 16):
        return tag, struct.unpack("<I", _exactly(stream, 4))[0]
    if _exactly(stream, 2) in LONG_LENGTH:
        return tag, struct.unpack("<2xI", _exactly(stream, 6))[0]
    return tag, struct.unpack("<H", _exactly(stream, 2))[0]


def _skip(stream: BinaryIO, explicit: bool, end: int) -> None:
    """Pass over a sequence or an item whose length is not stated, up to the mark of its end."""
    while True:
        tag, length = _element(stream, explicit)
        if tag == end:
            return
        if length == UNDEFINED:
            _skip(stream, explicit, ITEM_END if tag == ITEM else SEQUENCE_END)
        else:
            stream.seek(length, 1)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data
