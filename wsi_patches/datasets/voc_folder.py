"""Pascal VOC folders: images, an XML file of boxes for each, and maybe the published split in ``ImageSets/Main``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from wsi_patches.annotations import AnnotationFile, classes_in
from wsi_patches.datasets.class_words import class_word
from wsi_patches.datasets.folders import SPLITS, listing, looked_at_once, stem, subfolder
from wsi_patches.datasets.image_parts import Pair, Part, find_parts, pairs, shared, unpaired
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told
from wsi_patches.errors import AnnotationError
from wsi_patches.locations import path_of

__all__ = ["VOC", "is_voc", "published_split", "read_voc_folder", "voc_parts"]

MARKS = frozenset({"annotations", "annotation", "xml", "xmls"})
# ASAP and ImageScope write XML too, whose root is ASAP_Annotations or Annotations.
ROOT = re.compile(rb"<annotation[\s>]")
NAME = re.compile(rb"<name>(.*?)</name>", re.DOTALL)
HEAD_BYTES = 1024


def voc_parts(folder: Path) -> list[Part]:
    """Return the parts of a VOC set: images beside annotations, or XML files among the images."""
    parts = find_parts(folder, MARKS.__contains__)
    if parts:
        return parts
    splits = [Part(folder / name, folder / name, name) for name in listing(folder).folders if name.lower() in SPLITS]
    mixed = splits or [Part(folder, folder, "")]
    return mixed if all(shared(part, ".xml", 1) for part in mixed) else []


def is_voc(folder: Path) -> bool:
    """Say whether some image has an XML file of its name, and that is one of VOC."""
    files = [file for part in voc_parts(folder) for file in shared(part, ".xml", 1)]
    return bool(files) and all(_is_voc_file(file) for file in files)


def _is_voc_file(path: Path) -> bool:
    with path.open("rb") as stream:
        return bool(ROOT.search(stream.read(HEAD_BYTES)))


def published_split(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return the split of each image stem by ``ImageSets/Main``, and the names that are in two splits."""
    sets = subfolder(folder, "imagesets")
    main = subfolder(sets, "main") if sets is not None else None
    split, twice = dict[str, str](), list[str]()
    for name in listing(main).files if main is not None else ():
        part = SPLITS.get(stem(name).lower())
        if main is None or part is None:
            continue
        for line in (main / name).read_text(encoding="utf-8", errors="replace").splitlines():
            image = line.split()[0] if line.split() else None
            if image is not None and split.setdefault(image, part) != part:
                twice.append(image)
    return split, twice


def read_voc_folder(folder: Path, layout: Layout, classes: dict[str, str] | None = None) -> Dataset:
    """Return the images of a VOC folder.

    Parameters
    ----------
    folder
        The dataset's folder.
    layout
        What its items are said to be of.
    classes
        Class as the files have it -> ours; the files are searched for classes if not given.
    """
    with looked_at_once():
        parts = voc_parts(folder)
        found = pairs(parts, ".xml")
        problems = unpaired(found, parts, ".xml")
        split, twice = published_split(folder)
    if classes is None:
        classes = _classes(found, problems)
    renames, names = tuple(classes.items()), tuple(dict.fromkeys(classes.values()))
    items = [
        SlideItem(
            path=pair.image,
            annotations=(AnnotationFile(pair.marks, format="voc", renames=renames),) if pair.marks else (),
            layout=layout.name,
            split=split.get(pair.stem, pair.part.split),
            classes=names,
            licence=layout.licence,
            attributes=pair.part.attributes,
        )
        for pair in found
    ]
    problems += _split_problems(split, twice, {pair.stem for pair in found})
    return Dataset(tuple(items), tuple(problems))


def _classes(found: Iterable[Pair], problems: list[str]) -> dict[str, str]:
    """Return the classes that occur; a file that cannot be read is told of.

    Parsing 100,000 files takes minutes, so only those are parsed that hold a name which no earlier one held.
    """
    classes, seen, unreadable = set[str](), set[bytes](), list[str]()
    for path in (pair.marks for pair in found if pair.marks):
        names = set(NAME.findall(path_of(path).read_bytes()))
        if names <= seen:
            continue
        seen |= names
        try:
            classes.update(classes_in(AnnotationFile(path, format="voc")))
        except AnnotationError as error:
            unreadable.append(str(error))
    problems += told({"annotation files that cannot be read": unreadable}, limit=2)
    return {name: class_word(name) for name in sorted(classes)}


def _split_problems(split: dict[str, str], twice: list[str], stems: set[str]) -> list[str]:
    found = {
        "images of the published split that are not there": split.keys() - stems,
        "images in two parts of the published split": twice,
        "images in no part of the published split": stems - split.keys() if split else (),
    }
    return told({what: sorted(names) for what, names in found.items()})


def _read(folder: Path) -> Dataset:
    return read_voc_folder(folder, VOC)


VOC = Layout("voc", "Images with boxes in Pascal VOC files", "slide", None, is_voc, _read)
