"""Pictures with captions: a folder whose ``metadata.jsonl`` names them, as ``export --format captions`` writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["METADATA", "CaptionedPictures", "read_captioned", "read_picture"]

METADATA = "metadata.jsonl"


@dataclass(frozen=True)
class CaptionedPictures:
    """``n`` pictures and what is said of each."""

    paths: tuple[Path, ...]
    texts: tuple[str, ...]
    groups: tuple[str, ...]
    """What must be kept on one side: the patient, or else the slide, or else the picture."""
    splits: tuple[str | None, ...]
    """The split of each, where the folder has one."""

    def __len__(self) -> int:
        return len(self.paths)


def read_captioned(folder: Path) -> CaptionedPictures:
    """Read the captions of a folder, or of its splits' folders; pictures are not opened.

    Raises
    ------
    UsageError
        There are no captions, a line cannot be read, or a picture is not there, or lies outside of the folder.
    """
    files = sorted([*folder.glob(METADATA), *folder.glob(f"*/{METADATA}")])
    if not files:
        msg = f"{folder} holds no {METADATA}: give a folder that `wsi-patches export --format captions` wrote"
        raise UsageError(msg)
    rows = [row for file in files for row in _rows(file)]
    if not rows:
        msg = f"{files[0]} names no picture"
        raise UsageError(msg)
    paths, texts, groups, splits = zip(*rows, strict=True)
    return CaptionedPictures(paths, texts, groups, splits)


def _rows(file: Path) -> list[tuple[Path, str, str, str | None]]:
    rows = []
    for number, line in enumerate(_text_of(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            said: Any = json.loads(line)
            path, text = file.parent / said["file_name"], str(said["text"]).strip()
            inside = path.resolve().is_relative_to(file.parent.resolve())  # a ValueError of a name with a NUL
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{file}, line {number}: expected an object with file_name and text, found {line[:60]!r}"
            raise UsageError(msg) from error
        if not inside or not path.is_file() or not text:
            msg = f"{file}, line {number}: {said['file_name']} is not a picture beside it, or has no text"
            raise UsageError(msg)
        rows.append((path, text, str(said.get("group") or said.get("slide") or path.stem), said.get("split")))
    return rows


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file} cannot be read as text in UTF-8: {error}"
        raise UsageError(msg) from error


def read_picture(path: Path, side_px: int) -> NDArray[np.uint8]:
    """Return a picture, resized to a square, uint8 RGB ``(side_px, side_px, 3)``.

    Raises
    ------
    UsageError
        It cannot be read as a picture.
    """
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        msg = f"{path} cannot be read as a picture"
        raise UsageError(msg)
    way = cv2.INTER_AREA if max(pixels.shape[:2]) > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (side_px, side_px), interpolation=way)[..., ::-1], np.uint8)
