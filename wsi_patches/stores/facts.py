"""What a store says of its slides, as JSON lines: beside an export, so that ``import`` makes the same store again.

The first line holds the store's root attributes, and the settings of what was derived; each further line a slide: its
row, and its annotated cells in level-0 pixels. An export is given away, so folders of files on this machine are left
out of it, and so are warnings, which name such files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsi_patches.cells import Cells
from wsi_patches.errors import StoreError
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.derived import derived_settings
from wsi_patches.stores.files import replacing
from wsi_patches.stores.format import StoreSettings
from wsi_patches.stores.reader import Store

__all__ = ["FACTS", "StoreFacts", "read_facts", "write_facts"]

FACTS = "store.jsonl"
KEPT_DERIVED = ("focus",)
"""Derived groups of which exports carry the values."""


@dataclass(frozen=True)
class StoreFacts:
    """What is known of a store without its patches."""

    settings: StoreSettings
    slides: tuple[SlideRecord, ...]
    """A row a slide, of its whole grid, whatever parts it lay in."""
    cells: Mapping[str, Cells]
    """Annotated cells by slide, level-0 pixels; of slides that have any."""
    derived: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What derived groups were made with, by name."""


def write_facts(path: Path, store: Store, slide_ids: Collection[str]) -> None:
    """Write what a store says of some of its slides; the file is whole or absent.

    Raises
    ------
    StoreError
        A part cannot be read.
    """
    root = {**store.settings.to_attributes(), "derived": _derived(store)}
    with replacing(path, durable=True) as beside, beside.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(root) + "\n")
        for record, cells in _slides(store, set(slide_ids)):
            stream.write(json.dumps({**record.to_dict(), "cells": cells}) + "\n")


def _derived(store: Store) -> dict[str, Any]:
    """Return the settings of derived groups that all parts made in the same way."""
    found = {name: [derived_settings(part.folder, name) for part in store.parts] for name in KEPT_DERIVED}
    return {name: all_[0] for name, all_ in found.items() if all_ and all_[0] and all(one == all_[0] for one in all_)}


def _slides(store: Store, wanted: set[str]) -> Iterator[tuple[SlideRecord, dict[str, list[Any]]]]:
    """Yield each wanted slide's row and cells; each part's cells are read once."""
    blanks = dict.fromkeys(wanted, 0)
    for _, record in store.records():
        if record.id in blanks:
            blanks[record.id] += record.blank
    for part in store.parts:
        rows = [row for row, record in enumerate(part.slides) if record.id in wanted]
        if not rows:
            continue
        slide, x, y, classes = (part.column(f"cells/{name}") for name in ("slide", "x", "y", "class"))
        order = np.argsort(slide, kind="stable")
        bounds = np.searchsorted(slide[order], np.arange(len(part.slides) + 1))
        for row in rows:
            record = part.slides[row]
            wanted.remove(record.id)
            mine = order[bounds[row] : bounds[row + 1]]
            cells = {"x": x[mine].tolist(), "y": y[mine].tolist(), "class": classes[mine].tolist()}
            yield _plain(record, blanks[record.id], sorted(store.unreadable[record.id])), cells


def _plain(record: SlideRecord, blank: int, unreadable: list[int]) -> SlideRecord:
    """Return the row of the whole slide, without what names folders of this machine."""
    attributes = {name: Path(text).name if _is_path(text) else text for name, text in record.attributes.items()}
    return replace(
        record,
        path=Path(record.path).name,
        grid_start=0,
        grid_stop=record.grid_total,
        blank=blank,
        unreadable=tuple(unreadable),
        attributes=attributes,
        warnings=(),
    )


def _is_path(text: str) -> bool:
    return "/" in text and bool(Path(text).suffix)


def read_facts(path: Path) -> StoreFacts:
    """Read what `write_facts` wrote.

    Raises
    ------
    StoreError
        It is no such file, or damaged.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            root = json.loads(stream.readline())
            settings = StoreSettings.from_attributes(root, str(path))
            slides, cells = list[SlideRecord](), dict[str, Cells]()
            for line in stream:
                row = json.loads(line)
                marks = row.pop("cells")
                slides.append(SlideRecord.from_dict(row))
                if marks["x"]:
                    xy = np.stack([marks["x"], marks["y"]], axis=1)
                    cells[slides[-1].id] = Cells.at(xy, settings.rule.class_names, marks["class"])
            return StoreFacts(settings, tuple(slides), cells, root.get("derived", {}))
    except StoreError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} cannot be read ({error}): it comes with an export of wsi-patches; copy it again, or export anew"
        raise StoreError(msg) from error
