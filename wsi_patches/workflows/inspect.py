"""``wsi-patches inspect``: what a path is, in facts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

from wsi_patches.datasets import find_slides, recognise
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.locations import path_of
from wsi_patches.pipeline import Progress
from wsi_patches.slide import AS_IT_IS, Level, ReadOptions
from wsi_patches.slides import associated_names, is_slide_folder, open_as, read_associated
from wsi_patches.stores import is_store, open_store
from wsi_patches.stores.files import replacing
from wsi_patches.workflows.inspect_dataset import describe_dataset
from wsi_patches.workflows.look import Looked, look_at
from wsi_patches.workflows.output import make_folder

__all__ = ["describe", "write_picture"]

UNKNOWN = "unknown: state it with --slide-mpp"


def describe(path: Path, options: ReadOptions = AS_IT_IS, progress: Progress | None = None) -> dict[str, Any]:
    """Return what a slide, a folder or a store is, as names and plain values.

    Parameters
    ----------
    path
        What to look at.
    options
        How to open a slide.
    progress
        Told how many images of a dataset are done.

    Raises
    ------
    UsageError
        There is nothing at the path.
    SlideError
        The file is no slide that can be opened.
    """
    path = path_of(path)
    if not path.exists():
        msg = f"{path} does not exist: give a slide, a folder of slides, a dataset's folder, or a store"
        raise UsageError(msg)
    if path.is_dir() and is_store(path):
        return _store(path)
    if path.is_file() or is_slide_folder(path):
        return _slide(path, options)
    known = recognise(path)
    return _folder(path) if known is None else describe_dataset(path, *known, progress)


def write_picture(path: Path, name: str, out: Path) -> None:
    """Write a picture that lies beside a slide, such as its macro, as PNG; it may show whose slide it is.

    Raises
    ------
    UsageError
        There is no such picture, or the output is there already.
    SlideError
        The slide or the picture is damaged.
    """
    if out.exists():
        msg = f"-o {out} is there already: name another file"
        raise OutputExists(msg)
    pixels = read_associated(path, name)
    make_folder(out.absolute().parent)
    with replacing(out) as partial:
        Image.fromarray(pixels).save(partial, format="PNG")


def _slide(path: Path, options: ReadOptions) -> dict[str, Any]:
    with open_as(path, options) as slide:
        info = slide.info
    return {
        "kind": "slide",
        "path": str(path),
        "reader": info.reader,
        "vendor": info.vendor or "unknown",
        "size": f"{info.size.width} x {info.size.height} px",
        "levels": [_level(level) for level in info.levels],
        "mpp": f"{info.mpp:g} um per pixel" if info.mpp else UNKNOWN,
        "objective": f"{info.objective_power:g}" if info.objective_power else "unknown",
        "channels": list(info.channels) or "colours",
        "notes": list(info.notes),
        "pictures": list(associated_names(path)),
        "fingerprint": info.fingerprint,
    }


def _level(level: Level) -> str:
    tile = f"tiles of {level.tile.width} x {level.tile.height} px" if level.tile else ""
    stored = ", ".join(part for part in (tile, level.compression) if part)
    size = f"{level.size.width} x {level.size.height} px (1 : {level.downsample:g})"
    return f"{size}, {stored}" if stored else size


def _folder(path: Path) -> dict[str, Any]:
    items = find_slides([path])
    looked = look_at(items)
    readable = [one.info for one in looked if one.info is not None]
    sizes = Counter(f"{info.size.width} x {info.size.height} px" for info in readable)
    wrong = [f"{one.slide_id}: {one.error}" for one in looked if one.error is not None]
    return {
        "kind": "folder of slides",
        "path": str(path),
        "slides": len(items),
        "sizes": [f"{count} of {size}" for size, count in sizes.most_common()],
        "mpp known": f"{sum(info.mpp is not None for info in readable)} of {len(readable)}",
        "copies": _copies(looked),
        "unreadable": wrong,
    }


def _copies(looked: list[Looked]) -> list[str]:
    """Return the slides that are one file under several names."""
    names: dict[str, list[str]] = {}
    for one in looked:
        if one.info is not None:
            names.setdefault(one.info.fingerprint, []).append(one.slide_id)
    return [" = ".join(same) for same in names.values() if len(same) > 1]


def _store(path: Path) -> dict[str, Any]:
    store = open_store(path)
    spec, names = store.settings.spec, store.settings.rule.class_names
    positive = (store.labels > 0).sum(axis=0).tolist()
    return {
        "kind": "store of patches",
        "path": str(path),
        "written by": store.settings.creator,
        "slides": len(store.slides),
        "patches": len(store),
        "patch": f"{spec.size_px} px every {spec.step_px} px, edge {spec.edge}",
        "read at": _resolution(spec.level, spec.mpp, spec.magnification),
        "labels": [f"{count} patches with {name}" for name, count in zip(names, positive, strict=True)],
        "annotated": f"{sum(record.annotated for record in store.slides)} of {len(store.slides)} slides",
        "unreadable": f"{sum(len(record.unreadable) for _, record in store.records())} places",
        "parts": len(store.parts),
        "unfinished": store.unfinished,
    }


def _resolution(level: int | None, mpp: float | None, magnification: float | None) -> str:
    if mpp is not None:
        return f"{mpp:g} um per pixel"
    return f"magnification {magnification:g}" if magnification is not None else f"level {level or 0}"
