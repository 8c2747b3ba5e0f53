"""COCO folders: images, and one JSON file for all of them, or one for each part of a published split.

What the JSON calls an image is looked up among the files that are there; a name that leads elsewhere is told of and
never followed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from wsi_patches.annotations import AnnotationFile, coco_index
from wsi_patches.annotations.coco import is_ignored
from wsi_patches.annotations.words import IGNORE
from wsi_patches.datasets.class_words import class_word
from wsi_patches.datasets.folders import SPLITS, listing, looked_at_once, subfolder, suffix, within
from wsi_patches.datasets.image_parts import IMAGE_FOLDERS
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told
from wsi_patches.errors import AnnotationError

__all__ = ["COCO", "is_coco", "read_coco_folder"]

MARKS = ("annotations", "annotation", "json_labels", "wbc_detection")
HEAD = re.compile(rb'^(\xef\xbb\xbf)?\s*\{\s*"(info|licenses|images|annotations|categories)"\s*:')
HEAD_BYTES = 256
WORDS = re.compile(r"[^a-z]+")
DEEPEST = 2


def is_coco(folder: Path) -> bool:
    """Say whether a folder has a COCO file, and pictures where those of a COCO set lie."""
    return bool(_coco_files(folder)) and any(True for _ in _pictures(folder))


def _coco_files(folder: Path) -> list[Path]:
    inside = [name for name in listing(folder).folders if name.lower() in MARKS or name.lower() in SPLITS]
    places = [folder, *(folder / name for name in inside)]
    files = [place / name for place in places for name in listing(place).files if suffix(name) == ".json"]
    return [file for file in files if _begins_like_coco(file)]


def _begins_like_coco(path: Path) -> bool:
    with path.open("rb") as stream:
        return bool(HEAD.match(stream.read(HEAD_BYTES)))


def _pictures(folder: Path) -> Iterator[str]:
    """Yield the paths of pictures in the folder itself, in ``images`` and in the folders of a published split."""
    yield from _below(folder, 0)
    for name in listing(folder).folders:
        if name.lower() in (*IMAGE_FOLDERS, *SPLITS):
            yield from _below(folder / name, DEEPEST)


def _below(folder: Path, depth: int) -> Iterator[str]:
    there = listing(folder)
    yield from (f"{folder}/{name}" for name in there.pictures)
    if depth:
        for name in there.folders:
            yield from _below(folder / name, depth - 1)


class _Images:
    """The pictures of a set, to be found by what COCO files call them, and what those say of each."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(_pictures(folder))
        self.marks: dict[str, list[AnnotationFile]] = {path: [] for path in self.paths}
        self.split: dict[str, str | None] = {}
        self._folder = folder
        self._images = subfolder(folder, *IMAGE_FOLDERS) or folder
        self._by_name = defaultdict[str, list[str]](list)
        for path in self.paths:
            self._by_name[path.rpartition("/")[2]].append(path)

    def places(self, file: Path) -> list[str]:
        """Return the folders in which the images of a COCO file may lie, the likeliest first."""
        places = (file.parent, self._images / file.stem, self._images, self._folder)
        return [str(place) for place in places]

    def find(self, name: str, places: list[str], split: str | None) -> str | None:
        """Return the picture that a COCO file means; None if there is none, or no telling which of several."""
        for place in places:
            if f"{place}/{name}" in self.marks:
                return f"{place}/{name}"
        several = (path for path in self._by_name.get(name.rpartition("/")[2], ()) if path.endswith(f"/{name}"))
        same = [path for path in several if split is None or _split_word(Path(path).parent.name) in (split, None)]
        return same[0] if len(same) == 1 else None


def read_coco_folder(folder: Path, layout: Layout) -> Dataset:
    """Return the images of a COCO folder.

    Parameters
    ----------
    folder
        The dataset's folder.
    layout
        What its items are said to be of.
    """
    problems, words = list[str](), list[str]()
    with looked_at_once():
        images, files = _Images(folder), _coco_files(folder)
    for file in files:
        words += _take(file, images, problems)
    classes = tuple(dict.fromkeys(words))
    items = tuple(
        SlideItem(
            path=path,
            annotations=tuple(marks),
            layout=layout.name,
            split=images.split.get(path),
            classes=classes,
            licence=layout.licence,
        )
        for path, marks in images.marks.items()
    )
    bare = [Path(path).name for path, marks in images.marks.items() if not marks]
    return Dataset(items, (*problems, *told({"images that no COCO file names": bare})))


def _take(file: Path, images: _Images, problems: list[str]) -> list[str]:
    """Give each image what one COCO file says of it; return the file's classes."""
    try:
        index = coco_index(file)
    except AnnotationError as error:
        problems.append(f"a COCO file is left out: {error}")
        return []
    split, places = _split(file), images.places(file)
    renames = tuple((name, class_word(name)) for name in index.categories.values())
    outside, lost = list[str](), list[str]()
    for name in index.images:
        plain = within(name)
        path = images.find(plain, places, split) if plain is not None else None
        if path is None:
            (lost if plain is not None else outside).append(name)
            continue
        images.marks[path].append(AnnotationFile(str(file), format="coco", image=name, renames=renames))
        images.split[path] = split
    problems += told(
        {
            f"names in {file.name} that lead out of the dataset's folder, not followed": outside,
            f"images of {file.name} that are not there, or in several folders": lost,
        }
    )
    ignored = any(is_ignored(row) for rows in index.annotations.values() for row in rows)
    return [*(word for _, word in renames), *([IGNORE] if ignored else [])]


def _split(file: Path) -> str | None:
    """Return the published split that a COCO file is of: ``train.json``, ``instances_val2017.json``, ``test/...``."""
    return _split_word(file.stem) or _split_word(file.parent.name)


def _split_word(name: str) -> str | None:
    return next((SPLITS[word] for word in WORDS.split(name.lower()) if word in SPLITS), None)


def _read(folder: Path) -> Dataset:
    return read_coco_folder(folder, COCO)


COCO = Layout("coco", "Images with boxes in COCO files", "slide", None, is_coco, _read)
