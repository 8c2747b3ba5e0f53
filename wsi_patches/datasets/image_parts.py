"""Images in one folder and an annotation file for each in another, as VOC and YOLO sets have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from wsi_patches.datasets.folders import SPLITS, listing, pictures, some, stem, subfolder, suffix

__all__ = ["IMAGE_FOLDERS", "Pair", "Part", "find_parts", "pairs", "shared", "unpaired"]

IMAGE_FOLDERS = ("images", "jpegimages", "imgs")
"""What the folder of images is called, in lower case."""


class Part(NamedTuple):
    """One folder of images and the folder of its annotation files, which may be the same."""

    images: Path
    marks: Path
    name: str
    """The folder that makes it a part, such as ``train``; empty if the whole set is one."""

    @property
    def split(self) -> str | None:
        """The published split that this part is."""
        return SPLITS.get(self.name.lower())

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Its name, where that is no split's."""
        return (("part", self.name),) if self.name and self.split is None else ()


class Pair(NamedTuple):
    """An image, and its annotation file where there is one."""

    image: Path
    marks: Path | None


def find_parts(folder: Path, is_marks: Callable[[str], bool]) -> list[Part]:
    """Return the parts of a set; none if the folder is not laid out like that.

    ``images`` and annotations lie side by side, in the folder itself or in every one of its folders. Below them there
    may be a folder for each published split.

    Parameters
    ----------
    folder
        The dataset's folder.
    is_marks
        Whether a folder of this name, in lower case, is one of annotations.
    """
    whole = _side_by_side(folder, "", is_marks)
    if whole or pictures(folder):
        return whole
    inside = [_side_by_side(folder / name, name, is_marks) for name in listing(folder).folders]
    return [part for parts in inside for part in parts] if all(inside) else []


def _side_by_side(folder: Path, name: str, is_marks: Callable[[str], bool]) -> list[Part]:
    images = subfolder(folder, *IMAGE_FOLDERS)
    marks = next((folder / other for other in listing(folder).folders if is_marks(other.lower())), None)
    if images is None or marks is None:
        return []
    splits = [other for other in listing(images).folders if other.lower() in SPLITS]
    parts = [Part(images / split, subfolder(marks, split) or marks, split) for split in splits]
    return [*parts, Part(images, marks, name)] if pictures(images) or not parts else parts


def shared(part: Part, kind: str) -> list[Path]:
    """Return the annotation files of a part that bear an image's name."""
    stems = {stem(name) for name in pictures(part.images)}
    return [part.marks / name for name in listing(part.marks).files if suffix(name) == kind and stem(name) in stems]


def pairs(part: Part, kind: str) -> list[Pair]:
    """Return the images of a part in the order of their names, each with its annotation file.

    Parameters
    ----------
    part
        The part.
    kind
        Suffix of the annotation files, in lower case.
    """
    marks = {stem(name): part.marks / name for name in listing(part.marks).files if suffix(name) == kind}
    return [Pair(part.images / name, marks.get(stem(name))) for name in pictures(part.images)]


def unpaired(parts: Iterable[Part], kind: str, not_marks: Iterable[str] = ()) -> list[str]:
    """Return sentences on images without annotations and annotation files without an image.

    Parameters
    ----------
    parts
        All parts of the set; two may share a folder of annotation files.
    kind
        Suffix of the annotation files, in lower case.
    not_marks
        Names of files in lower case that are no image's, such as ``classes.txt``.
    """
    parts = list(parts)
    images = [name for part in parts for name in pictures(part.images)]
    marks = {name for part in parts for name in listing(part.marks).files if suffix(name) == kind}
    bare = [pair.image.name for part in parts for pair in pairs(part, kind) if pair.marks is None]
    stems = {stem(name) for name in images}
    lost = sorted(name for name in marks if stem(name) not in stems and name.lower() not in not_marks)
    problems = []
    if bare:
        problems.append(f"{len(bare)} images have no annotation file: {some(bare)}")
    if lost:
        problems.append(f"{len(lost)} annotation files have no image: {some(lost)}")
    return problems
