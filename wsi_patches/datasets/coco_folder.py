"""COCO folders: images, and one JSON file for all of them, or one for each part of a published split.

What the JSON calls an image is looked up among the files that are there; a name that leads elsewhere is told of and
never followed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wsi_patches.annotations import AnnotationFile, coco_index
from wsi_patches.datasets.class_words import class_word
from wsi_patches.datasets.folders import PICTURES, SPLITS, listing, some, subfolder, suffix, within
from wsi_patches.datasets.image_parts import IMAGE_FOLDERS
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.errors import AnnotationError

__all__ = ["COCO", "is_coco", "read_coco_folder"]

MARKS = ("annotations", "annotation", "json_labels", "wbc_detection")
HEAD = re.compile(rb'^(\xef\xbb\xbf)?\s*\{\s*"(info|licenses|images|annotations|categories|type)"\s*:')
HEAD_BYTES = 256
WORDS = re.compile(r"[^a-z]+")
DEEPEST = 2


def is_coco(folder: Path) -> bool:
    """Say whether a folder has a COCO file, and pictures where those of a COCO set lie."""
    return any(True for _ in _pictures(folder)) and bool(_coco_files(folder))


def _coco_files(folder: Path) -> list[Path]:
    inside = [name for name in listing(folder).folders if name.lower() in MARKS or name.lower() in SPLITS]
    places = [folder, *(folder / name for name in inside)]
    files = [place / name for place in places for name in listing(place).files if suffix(name) == ".json"]
    return [file for file in files if _begins_like_coco(file)]


def _begins_like_coco(path: Path) -> bool:
    with path.open("rb") as stream:
        return bool(HEAD.match(stream.read(HEAD_BYTES)))


def _pictures(folder: Path) -> Iterator[Path]:
    """Yield the pictures in the folder itself, in ``images`` and in the folders of a published split."""
    inside = [name for name in listing(folder).folders if name.lower() in (*IMAGE_FOLDERS, *SPLITS)]
    yield from _below(folder, 0)
    for name in inside:
        yield from _below(folder / name, DEEPEST)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    files, folders = listing(folder)
    yield from (folder / name for name in files if suffix(name) in PICTURES)
    if depth:
        for name in folders:
            yield from _below(folder / name, depth - 1)


@dataclass
class _Images:
    """The pictures of a set, to be found by what COCO files call them, and what those say of each."""

    folder: Path
    paths: set[Path]
    marks: dict[Path, list[AnnotationFile]] = field(default_factory=lambda: defaultdict(list))
    split: dict[Path, str | None] = field(default_factory=dict)
    by_name: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for path in sorted(self.paths):
            self.by_name[path.name].append(path)

    def find(self, name: str, file: Path, part: str | None) -> Path | None:
        """Return the picture that a COCO file means; None if there is none, or no telling which of several."""
        images = subfolder(self.folder, *IMAGE_FOLDERS) or self.folder
        for place in (file.parent, images, images / file.stem, self.folder):
            if place / name in self.paths:
                return place / name
        several = self.by_name.get(name.rpartition("/")[2], [])
        same = [path for path in several if SPLITS.get(path.parent.name.lower()) == part]
        found = several if len(several) == 1 else same
        return found[0] if len(found) == 1 else None


def read_coco_folder(folder: Path, layout: Layout) -> Dataset:
    """Return the images of a COCO folder.

    Parameters
    ----------
    folder
        The dataset's folder.
    layout
        What its items are said to be of.
    """
    images, problems, classes = _Images(folder, set(_pictures(folder))), list[str](), list[str]()
    for file in _coco_files(folder):
        classes += _take(file, images, problems)
    template = tuple(dict.fromkeys(classes))
    items = [
        SlideItem(
            path=str(path),
            annotations=tuple(images.marks.get(path, ())),
            layout=layout.name,
            split=images.split.get(path),
            classes=template,
            licence=layout.licence,
        )
        for path in sorted(images.paths)
    ]
    bare = [path.name for path in sorted(images.paths) if path not in images.marks]
    problems += [f"{len(bare)} images are in no COCO file: {some(bare)}"] if bare else []
    return Dataset(tuple(items), tuple(problems))


def _take(file: Path, images: _Images, problems: list[str]) -> list[str]:
    """Give each image what one COCO file says of it; return the file's classes."""
    try:
        index = coco_index(file)
    except AnnotationError as error:
        problems.append(f"the images keep no annotations: {error}")
        return []
    part = _split(file)
    renames = tuple((name, class_word(name)) for name in index.categories.values())
    outside, lost = list[str](), list[str]()
    for name in index.images:
        plain = within(name)
        path = images.find(plain, file, part) if plain is not None else None
        if path is None:
            (lost if plain is not None else outside).append(name)
            continue
        images.marks[path].append(AnnotationFile(str(file), format="coco", image=name, renames=renames))
        images.split[path] = part
    if outside:
        problems.append(
            f"{len(outside)} names in {file.name} lead out of the dataset's folder, not followed: {some(outside)}"
        )
    if lost:
        problems.append(f"{len(lost)} images of {file.name} are not there, or in several folders: {some(lost)}")
    return [word for _, word in renames if word is not None]


def _split(file: Path) -> str | None:
    """Return the published split that a COCO file is of: ``train.json``, ``instances_val2017.json``, ``test/...``."""
    words = [*WORDS.split(file.stem.lower()), file.parent.name.lower()]
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def _read(folder: Path) -> Dataset:
    return read_coco_folder(folder, COCO)


COCO = Layout("coco", "Images with boxes in COCO files", "slide", None, is_coco, _read)
