"""`open_slide`: which reader reads which file.

The tifffile reader reads the TIFFs whose levels are pages as they lie in the file (Aperio, Philips, OME, generic), with
OpenSlide's pixels and in a fraction of its time; OpenSlide reads the formats with rules of their own; Pillow reads
photographs. A reader that was chosen and fails is an error: nothing is tried behind the user's back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.locations import RemotePath, path_of, patiently
from wsi_patches.locations.held import HeldObject
from wsi_patches.locations.remote import ObjectStat, as_remote
from wsi_patches.slide import ReadOptions, SlideBase
from wsi_patches.slides import dicom
from wsi_patches.slides.image import ImageSlide, image_format
from wsi_patches.slides.ome_zarr import OmeZarrSlide
from wsi_patches.slides.ome_zarr_metadata import is_ome_zarr
from wsi_patches.slides.openslide_reader import OpenSlideSlide, detect_vendor
from wsi_patches.slides.staged import StagedSlide
from wsi_patches.slides.tiff import TiffSlide
from wsi_patches.slides.tiff_pages import needs_openslide
from wsi_patches.slides.tiff_tags import is_tiff, opened_tiff, scanner_of

__all__ = ["READERS", "SUFFIXES", "is_slide_folder", "open_as", "open_slide"]

READERS: dict[str, type[OpenSlideSlide] | type[TiffSlide] | type[ImageSlide] | type[OmeZarrSlide]] = {
    "openslide": OpenSlideSlide,
    "tifffile": TiffSlide,
    "image": ImageSlide,
    "ome-zarr": OmeZarrSlide,
}
"""Every reader by its name."""

SUFFIXES = frozenset(
    {".svs", ".tif", ".tiff", ".btf", ".tf8", ".qptiff", ".ndpi", ".scn", ".bif", ".svslide"}
    | {".mrxs", ".vms", ".vmu", ".czi", ".dcm"}
    | {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
)
"""Last suffixes, in lower case, of the files that count as slides when a folder is searched (OME-TIFF ends in .tif)."""

STAGED_SUFFIXES = frozenset({".mrxs", ".vms", ".vmu", ".czi", ".svslide"})
"""Of the formats that OpenSlide reads and that are neither TIFF nor DICOM."""
HELD_BYTES = 8 << 20
"""An object up to this size is fetched whole."""
HEAD_BYTES = 512
SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"GIF8": "a GIF picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\x00\x00\x00\x0cjP": "a JPEG 2000 picture",
}


def open_slide(
    path: Path | str, *, mpp: float | None = None, reader: str | None = None, channels: Sequence[str] = ()
) -> SlideBase:
    """Open a slide: a scanner's file, a TIFF, a photograph, an OME-Zarr, or a folder of one DICOM series.

    Pixels are in the frame in which the file stores them: an EXIF orientation is not applied, since annotations are in
    stored pixels; nor is an ICC profile.

    Parameters
    ----------
    path
        The file, or the folder of an OME-Zarr or of one DICOM series, of which the finest level's file is opened.
    mpp
        Level-0 pixel size in um, where the file does not state it or states it wrongly; it replaces the file's own.
    reader
        One of `READERS`; chosen by the file's content if not given.
    channels
        Of a picture of several channels, the one to three that are meant, by name or 0-based number.

    Returns
    -------
    SlideBase
        An open slide: uint8 RGB, level-0 frame, safe to read from several threads, picklable, a context manager.

    Raises
    ------
    SlideError
        The file is missing, empty, damaged, or of a kind that no reader reads.
    UsageError
        There is no such reader, or ``mpp`` is not greater than 0.
    """
    return open_as(path, ReadOptions(mpp, reader, tuple(channels)))


def open_as(path: Path | str, options: ReadOptions) -> SlideBase:
    """Open a slide as `open_slide` does, with the options in one; a file server that is gone is waited for."""
    where = path_of(path)
    if options.reader is not None and options.reader not in READERS:
        msg = f"reader {options.reader!r} was asked for {where}: readers are {', '.join(READERS)}"
        raise UsageError(msg)
    return patiently(lambda: _open(where, options))


def _open(path: Path, options: ReadOptions) -> SlideBase:
    state = _state(path)
    if stat.S_ISDIR(state.st_mode):
        return _open_folder(path, options)
    remote = as_remote(path)
    if remote is not None:
        return _open_remote(remote, state, options)
    if not stat.S_ISREG(state.st_mode):  # reading a pipe or a device may never end
        msg = f"{path} is no file but a pipe, a socket or a device: give a slide's file"
        raise SlideError(msg)
    head = _head(path)
    return READERS[options.reader or _choose(path, head)](path, options)


def is_slide_folder(folder: Path) -> bool:
    """Say whether a folder is itself one slide: an OME-Zarr, or several files of one DICOM series alone."""
    return is_ome_zarr(folder) or dicom.is_one_series(folder)


def _state(path: Path) -> os.stat_result:
    """Return what a path is, in the way of `os.stat`."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a ValueError is a null byte in the name
        msg = f"{path} does not exist: check the path"
        raise SlideError(msg) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _open_remote(path: RemotePath, state: os.stat_result, options: ReadOptions) -> SlideBase:
    """Open an object: in pieces where our own readers do, else from a copy on this machine."""
    # A photograph is read whole, and of a small TIFF a dozen requests would cost more than all of its bytes.
    where = cast(Path, _held(path, cast(ObjectStat, state)) if state.st_size <= HELD_BYTES else path)
    head = _head(where)
    reader = options.reader or _choose_remote(where, head)
    if reader == "openslide":
        return StagedSlide(where, options)
    return READERS[reader](where, options)


def _held(path: RemotePath, state: ObjectStat) -> RemotePath:
    try:
        return HeldObject(path, state)
    except OSError as error:
        raise SlideError(str(error)) from error


def _choose_remote(path: Path, head: bytes) -> str:
    """Choose as `_choose` does, by tags and names: OpenSlide looks at local files alone."""
    if is_tiff(head):
        with opened_tiff(path) as tiff:
            vendor = scanner_of(tiff.pages.first)
        return "openslide" if vendor is not None and needs_openslide(path, vendor) else "tifffile"
    if path.suffix.lower() in STAGED_SUFFIXES or dicom.is_dicom(head):
        return "openslide"
    if image_format(head) is None:
        raise _unrecognised(path, head)
    return "image"


def _unreadable(path: Path, error: OSError) -> SlideError:
    return SlideError(f"{path} cannot be read: {error.strerror or error}")


def _open_folder(folder: Path, options: ReadOptions) -> SlideBase:
    try:
        as_zarr = options.reader == "ome-zarr" or (options.reader is None and is_ome_zarr(folder))
        volume = None if as_zarr else dicom.find_volume(folder)
    except PermissionError as error:
        raise _unreadable(folder, error) from error
    if as_zarr:
        return OmeZarrSlide(folder, options)
    if volume is None:
        msg = f"{folder} is a folder, and neither an OME-Zarr nor one of DICOM files: name a file inside it"
        raise SlideError(msg)
    return open_as(volume, options)


def _head(path: Path) -> bytes:
    """Return the first bytes of a file that is not empty."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not head:
        msg = f"{path} is empty (0 bytes): copy it again from its source"
        raise SlideError(msg)
    return head


def _choose(path: Path, head: bytes) -> str:
    vendor = detect_vendor(path)
    if is_tiff(head):
        return "openslide" if vendor is not None and needs_openslide(path, vendor) else "tifffile"
    # OpenSlide goes before photographs: the index file of a MIRAX slide is itself a JPEG.
    if vendor is not None:
        return "openslide"
    if image_format(head) is not None:
        return "image"
    raise _unrecognised(path, head)


def _unrecognised(path: Path, head: bytes) -> SlideError:
    return SlideError(
        f"{path} is recognised by no reader ({', '.join(READERS)}): it looks like {_looks_like(head)}. "
        "Give a scanner's file, a TIFF, or a JPEG, PNG, BMP or WebP photograph"
    )


def _looks_like(head: bytes) -> str:
    for signature, name in SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head.startswith((b"II*", b"MM\0")):
        return "a TIFF whose header is damaged"
    if dicom.is_dicom(head):
        return "a DICOM file that is no whole slide, or a damaged one"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "text"
    return f"data of an unknown kind (first bytes {head[:8].hex(' ')})"
