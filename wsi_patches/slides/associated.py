"""The pictures that scanners keep beside a slide: label, macro, thumbnail.

They often show a patient's name or number. Nothing reads them but `read_associated`, for one that is asked for by name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
from numpy.typing import NDArray

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.locations import is_remote, path_of
from wsi_patches.slides import dicom
from wsi_patches.slides.openslide_reader import OPENSLIDE_ERRORS, detect_vendor
from wsi_patches.slides.pixels import guard_size, over
from wsi_patches.slides.reasons import reason_of

__all__ = ["associated_names", "read_associated"]

WHITE = (255, 255, 255)


def associated_names(path: Path | str) -> tuple[str, ...]:
    """Return the names of the pictures beside a slide, as OpenSlide has them; none where it does not read the file.

    Of a slide in an object store none are listed: that would take a copy of it.

    Parameters
    ----------
    path
        A slide's file, or the folder of one DICOM series.

    Raises
    ------
    SlideError
        The file is missing or damaged.
    """
    file = _file_of(path_of(path))
    if file is None or is_remote(file) or detect_vendor(file) is None:  # OpenSlide looks at local files alone
        return ()
    try:
        with openslide.OpenSlide(str(file)) as handle:
            return tuple(sorted(handle.associated_images))
    except OPENSLIDE_ERRORS as error:
        raise _unreadable(file, "the pictures beside the slide", error) from error


def read_associated(path: Path | str, name: str) -> NDArray[np.uint8]:
    """Return one of the pictures beside a slide.

    Parameters
    ----------
    path
        A slide's file, or the folder of one DICOM series.
    name
        One of `associated_names`.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``, transparency over white.

    Raises
    ------
    UsageError
        There is no picture of that name.
    SlideError
        The file or the picture is damaged.
    """
    if is_remote(path_of(path)):
        msg = (
            f"picture {name!r} was asked of {path_of(path)}: such pictures are read from files of this machine alone; "
            "copy the slide here"
        )
        raise UsageError(msg)
    names, file = associated_names(path), _file_of(Path(path))
    if file is None or name not in names:
        msg = f"picture {name!r} was asked of {path}, which has {', '.join(names) or 'none beside the slide'}"
        raise UsageError(msg)
    try:
        with openslide.OpenSlide(str(file)) as handle:
            guard_size(file, *_stated_size(handle, name), file.stat().st_size)
            rgba = np.asarray(handle.associated_images[name].convert("RGBA"))
    except OPENSLIDE_ERRORS as error:
        raise _unreadable(file, f"picture {name!r}", error) from error
    return over(rgba[..., :3], rgba[..., 3], WHITE)


def _file_of(path: Path) -> Path | None:
    """Return the file that OpenSlide is given; None for a folder without DICOM."""
    if not path.exists():
        msg = f"{path} does not exist: check the path"
        raise SlideError(msg)
    return dicom.find_volume(path) if path.is_dir() else path


def _stated_size(handle: openslide.OpenSlide, name: str) -> tuple[int, int]:
    width, height = (int(handle.properties[f"openslide.associated.{name}.{side}"]) for side in ("width", "height"))
    return width, height


def _unreadable(file: Path, what: str, error: Exception) -> SlideError:
    return SlideError(f"{what} of {file} cannot be read ({reason_of(error)}): copy the file again from its source")
