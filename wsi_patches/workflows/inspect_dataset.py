"""What a dataset's folder holds, and what is wrong with it, in facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsi_patches.annotations import read_annotations
from wsi_patches.datasets import Layout, SlideItem
from wsi_patches.datasets.check import check_items
from wsi_patches.datasets.pictures import picture_size
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.pipeline import Progress

__all__ = ["describe_dataset"]

SIZES_SHOWN = 10
VALUES_SHOWN = 8


def describe_dataset(path: Path, layout: Layout, root: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Return which dataset a folder is, how many of what it holds, and what is wrong with it.

    Every annotation file is read, and of each picture the header; of pictures of equal size also the bytes.

    Parameters
    ----------
    path
        What the user named.
    layout, root
        What was recognised, and where.
    progress
        Told how many images are done.
    """
    dataset = layout.read(root)
    items = dataset.items
    sizes, cells = _sizes_and_cells(items, progress)
    return {
        "kind": layout.name,
        "path": str(path),
        **({"found in": str(root)} if root != path else {}),
        "dataset": layout.title,
        "licence": layout.licence or "not stated in the folder",
        "images": f"{len(items)}, each a {items[0].unit if items else layout.unit}",
        "sizes": _most_common(sizes, "of"),
        "labels": _most_common(Counter(item.label for item in items if item.label)),
        "cells": _most_common(cells),
        "annotated": f"{sum(bool(item.annotations) for item in items)} of {len(items)}",
        "groups": _groups(items),
        "published": _most_common(Counter(item.split for item in items if item.split), "in"),
        "more": _attributes(items),
        "warnings": _warnings(items),
        "problems": [*dataset.problems, *check_items(items)],
    }


def _sizes_and_cells(items: Sequence[SlideItem], progress: Progress | None) -> tuple[Counter[str], Counter[str]]:
    sizes: Counter[str] = Counter()
    cells: Counter[str] = Counter()
    for done, item in enumerate(items, start=1):
        size = picture_size(item.path)
        sizes["a size that its header does not tell" if size is None else f"{size.width} x {size.height} px"] += 1
        try:
            marked = read_annotations(item.annotations, None, size)
        except (AnnotationError, UsageError):  # which the problems tell
            continue
        cells.update({name: marked.count(name) for name in marked.class_names if marked.count(name)})
        if progress is not None:
            progress(done, len(items))
    return sizes, cells


def _most_common(counts: Counter[Any], word: str = "") -> list[str]:
    named = [" ".join(filter(None, (str(count), word, str(name)))) for name, count in counts.most_common()]
    rest = len(named) - SIZES_SHOWN * 3
    return named if rest <= 0 else [*named[: SIZES_SHOWN * 3], f"and {rest} more"]


def _groups(items: Sequence[SlideItem]) -> list[str]:
    named = Counter(item.group_kind or "group" for item in items if item.group)
    distinct = {kind: len({item.group for item in items if item.group and item.group_kind == kind}) for kind in named}
    told = [f"{distinct[kind]} {kind}s of {count} images" for kind, count in named.items()]
    unknown = sum(item.group is None for item in items)
    if unknown:
        told.append(f"unknown for {unknown} images: a split cannot keep their patients apart")
    return told


def _attributes(items: Sequence[SlideItem]) -> list[str]:
    """Return what else is known of the images: values where they are few, else how many there are."""
    values: dict[str, Counter[str]] = {}
    for item in items:
        for name, value in item.attributes:
            values.setdefault(name, Counter())[value] += 1
    return [f"{name}: {_values(found)}" for name, found in values.items()]


def _values(found: Counter[str]) -> str:
    if len(found) > VALUES_SHOWN:
        return f"{len(found)} values for {found.total()} images"
    return ", ".join(f"{value} ({count})" for value, count in found.most_common())


def _warnings(items: Sequence[SlideItem]) -> list[str]:
    """Return each different warning with the images that it is of."""
    images: dict[str, list[str]] = {}
    for item in items:
        for warning in item.warnings:
            images.setdefault(warning, []).append(Path(item.path).name)
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} images'}: {warning}" for warning, names in images.items()
    ]
