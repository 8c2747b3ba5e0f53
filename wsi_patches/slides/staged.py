"""Slides in an object store that are of a format which is not read in pieces: copied to local scratch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.locations import copy_tree, path_of
from wsi_patches.locations.remote import as_remote
from wsi_patches.slide import AS_IT_IS, ReadOptions, SlideBase
from wsi_patches.slides import dicom
from wsi_patches.slides.openslide_reader import OpenSlideSlide

__all__ = ["StagedSlide"]

MIRAX, INDEXED = ".mrxs", frozenset({".vms", ".vmu"})


class StagedSlide(SlideBase):
    """A slide in an object store that OpenSlide reads from a copy on this machine; closing it removes the copy.

    Parameters
    ----------
    path
        The object. What belongs to it (MIRAX's folder, the files that Hamamatsu's index names, a DICOM series) is
        copied too.
    options
        As of `open_slide`.

    Raises
    ------
    SlideError
        It cannot be copied, or OpenSlide does not read it.
    """

    def __init__(self, path: Path | str, options: ReadOptions = AS_IT_IS) -> None:
        self._path, self._options = path_of(path), options
        self._scratch = tempfile.TemporaryDirectory(prefix="wsi-patches-slide-")
        try:
            self._local = _copied(self._path, Path(self._scratch.name))
            with self._named():
                self._slide = OpenSlideSlide(self._local, options)
        except BaseException:
            self._scratch.cleanup()
            raise
        info = replace(self._slide.info, path=str(self._path))
        note = f"{self._path.name} is of a format that is not read in pieces: it was read from a copy in local scratch"
        super().__init__(info.with_notes(note), self._slide.background)

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        with self._named():
            return self._slide._read_level(box_px, level)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let errors speak of the object, not of its copy."""
        try:
            yield
        except SlideError as error:
            raise type(error)(str(error).replace(str(self._local), str(self._path))) from error

    def close(self) -> None:
        """Remove the copy; a read that another thread has begun still ends well."""
        self._slide.close()
        self._scratch.cleanup()

    def __reduce__(self) -> tuple[Any, ...]:
        return StagedSlide, (str(self._path), self._options)


def _copied(path: Path, scratch: Path) -> Path:
    """Copy a slide and what belongs to it, and return the copy."""
    try:
        for one in (path, *_beside(path)):
            if one.is_dir():
                copy_tree(one, scratch / one.name)
            else:
                _fetch(one, scratch / one.name)
    except OSError as error:
        msg = f"{path} cannot be copied to local scratch ({error.strerror or error}): see that TMPDIR has room for it"
        raise SlideError(msg) from error
    return scratch / path.name


def _fetch(path: Path, local: Path) -> None:
    remote = as_remote(path)
    assert remote is not None
    remote.download(local)


def _beside(path: Path) -> list[Path]:
    """Return what belongs to a slide beside its first file."""
    suffix = path.suffix.lower()
    if suffix == MIRAX:
        return [path.with_suffix("")]
    others = [entry for entry in path.parent.iterdir() if entry.is_file() and entry.name != path.name]
    if suffix in INDEXED:
        index = path.read_text(errors="replace")
        return [entry for entry in others if entry.name in index]
    return [entry for entry in others if suffix == dicom.SUFFIX and entry.suffix.lower() == dicom.SUFFIX]
