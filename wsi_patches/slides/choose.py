"""`open_slide`: which reader a file gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.slide import Slide, fingerprint
from wsi_patches.slides import image, openslide_reader, tiff

__all__ = ["READERS", "SUFFIXES", "open_slide"]

READERS: dict[str, Callable[[Path, str, float | None], Slide]] = {
    "openslide": openslide_reader.OpenSlideSlide,
    "tifffile": tiff.TiffSlide,
    "image": image.ImageSlide,
}
"""Name to what opens a path with that reader; a new format adds its line here and its test in `_reader_of`."""

SCANNERS = (".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".bmp")
SUFFIXES = frozenset((*SCANNERS, *PHOTOGRAPHS))
"""What a file is called that a folder is searched for."""

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_slide(path: Path | str, *, mpp: float | None = None, reader: str | None = None) -> Slide:
    """Open a slide with the reader that reads it truly.

    OpenSlide is asked first. tifffile takes the TIFFs that OpenSlide refuses, cannot decode, or of whose levels it sees
    one only; photographs are decoded whole. An orientation in a photograph's EXIF data is not followed: annotations
    are in the pixels as they are stored.

    Parameters
    ----------
    path
        The file.
    mpp
        Level-0 pixel size in um, in the place of what the file says or does not say.
    reader
        One of `READERS`, to force it.

    Raises
    ------
    SlideError
        The file is missing, empty, damaged, or of no known format.
    UsageError
        There is no such reader.
    """
    path = Path(path)
    if reader is not None and reader not in READERS:
        msg = f"no reader {reader!r}: there are {', '.join(READERS)}"
        raise UsageError(msg)
    _check_there(path)
    name = reader or _reader_of(path)
    return READERS[name](path, fingerprint(path), mpp)


def _check_there(path: Path) -> None:
    if not path.exists():
        msg = f"{path} does not exist"
        raise SlideError(msg)
    if path.is_dir():
        msg = f"{path} is a folder, and no reader takes a folder as one slide: give the slide's file"
        raise SlideError(msg)
    if path.stat().st_size == 0:
        msg = f"{path} is empty (0 bytes): copy it again from where it came"
        raise SlideError(msg)


def _reader_of(path: Path) -> str:
    """Return the name of the reader for a file, by its content and not by its suffix.

    Raises
    ------
    SlideError
        No reader knows the content.
    """
    start = _first_bytes(path)
    if start.startswith(TIFF_STARTS):
        return "openslide" if tiff.openslide_reads(path) and openslide_reader.recognises(path) else "tifffile"
    if openslide_reader.recognises(path):
        return "openslide"
    if image.recognises(path):
        return "image"
    kind = "text" if start.isascii() and b"\0" not in start else "neither a TIFF, a known scanner's file nor a picture"
    msg = f"{path} is no slide that any reader knows ({', '.join(READERS)}): its content is {kind}"
    raise SlideError(msg)


def _first_bytes(path: Path, count: int = 64) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise SlideError(msg) from error
