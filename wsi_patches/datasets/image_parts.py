"""Images in one folder and an annotation file for each in another, as VOC and YOLO sets have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from wsi_patches.datasets.folders import SPLITS, listing, pictures, stem, subfolder, suffix
from wsi_patches.datasets.sentences import told

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
    """An image of a part, and its annotation file where there is one."""

    part: Part
    image: str
    """The image's path."""
    stem: str
    marks: str | None
    """The annotation file's path."""


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
    names = listing(folder).folders
    if whole or pictures(folder) or (len(names) == 1 and names[0].lower() not in SPLITS):
        return whole  # an only folder that is no part of a split is the whole set, unpacked
    inside = [_side_by_side(folder / name, name, is_marks) for name in names]
    return [part for parts in inside for part in parts] if all(inside) else []


def _side_by_side(folder: Path, name: str, is_marks: Callable[[str], bool]) -> list[Part]:
    images = subfolder(folder, *IMAGE_FOLDERS)
    marks = next((folder / other for other in listing(folder).folders if is_marks(other.lower())), None)
    if images is None or marks is None:
        return []
    splits = [other for other in listing(images).folders if other.lower() in SPLITS]
    parts = [Part(images / split, subfolder(marks, split) or marks, split) for split in splits]
    return [*parts, Part(images, marks, name)] if pictures(images) or not parts else parts


def shared(part: Part, kind: str, limit: int) -> list[Path]:
    """Return the first annotation files of a part that bear an image's name."""
    marks = [name for name in listing(part.marks).files if suffix(name) == kind]
    stems = {stem(name) for name in pictures(part.images)} if marks else set()
    return [part.marks / name for name in marks if stem(name) in stems][:limit]


def pairs(parts: Iterable[Part], kind: str) -> list[Pair]:
    """Return the images of all parts, those of each in the order of their names, with their annotation files.

    Parameters
    ----------
    parts
        The parts.
    kind
        Suffix of the annotation files, in lower case.
    """
    found = []
    for part in parts:
        marks = {stem(name): f"{part.marks}/{name}" for name in listing(part.marks).files if suffix(name) == kind}
        for name in pictures(part.images):
            own = stem(name)
            found.append(Pair(part, f"{part.images}/{name}", own, marks.get(own)))
    return found


def unpaired(found: Sequence[Pair], parts: Iterable[Part], kind: str, not_marks: Iterable[str] = ()) -> list[str]:
    """Return sentences on images without annotations and annotation files without an image.

    Parameters
    ----------
    found
        What `pairs` found.
    parts
        All parts of the set; two may share a folder of annotation files.
    kind
        Suffix of the annotation files, in lower case.
    not_marks
        Names of files in lower case that are no image's, such as ``classes.txt``.
    """
    stems = {pair.stem for pair in found}
    marks = {name for part in parts for name in listing(part.marks).files if suffix(name) == kind}
    bare = [Path(pair.image).name for pair in found if pair.marks is None]
    lost = sorted(name for name in marks if stem(name) not in stems and name.lower() not in not_marks)
    return told({"images without an annotation file": bare, "annotation files without an image": lost})
