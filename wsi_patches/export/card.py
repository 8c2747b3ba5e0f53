"""The card of an exported data set, ``README.md``: what it is, from where, how many, how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsi_patches._version import __version__
from wsi_patches.export.patches import UNKNOWN, ExportPatches
from wsi_patches.html_page import RESEARCH_USE
from wsi_patches.patch import SlideRecord

__all__ = ["CARD", "CardNotes", "dataset_card"]

CARD = "README.md"
SLIDES_SHOWN = 200
UNSTATED = "not stated"
FRONT = """---
license: other
license_name: see-below
task_categories:
- image-classification
tags:
- hematology
- microscopy
---
"""
"""What the Hugging Face hub reads of a card; the licences of the slides are in its text."""


@dataclass(frozen=True)
class CardNotes:
    """What the patches themselves do not say."""

    command: str
    """How the export was made, as a command line."""
    files: str
    """What the files are and how they are loaded: what the format returned."""
    labels: str
    """What a patch's class means."""
    splits: str
    """How the splits were made."""
    image: str
    """How the pictures are encoded."""
    left_out: Sequence[tuple[int, str]] = ()
    """How many patches were left out, and why."""
    warnings: Sequence[str] = ()


def dataset_card(patches: ExportPatches, notes: CardNotes) -> str:
    """Return the card, Markdown."""
    slides = [patches.store.slides[row] for row in np.unique(patches.slide_rows).tolist()]
    sections = [
        f"{FRONT}\n# {len(patches)} patches of {len(slides)} slides\n\n{RESEARCH_USE}",
        *(f"> {warning}" for warning in notes.warnings),
        f"## Files\n{notes.files}",
        f"## What it holds\n{_facts(patches, slides, notes)}",
        f"## Patches of each class\n{notes.labels}\n\n{_label_table(patches)}\n\n{notes.splits}",
        f"## Marked cells\n{_cell_table(patches, slides)}",
        f"## Licences\n{_licences(slides)}",
        f"## How it was made\n`{notes.command}`\n\nwsi-patches {__version__}; the store was written by "
        f"{patches.store.settings.creator or 'an unknown version'}.",
        f"## Slides\n{_slides(patches, slides)}",
    ]
    return "\n\n".join(sections) + "\n"


def _facts(patches: ExportPatches, slides: Sequence[SlideRecord], notes: CardNotes) -> str:
    spec, side = patches.store.settings.spec, patches.side_px
    sizes = {None if one.mpp is None else one.mpp * one.downsample for one in slides}
    mpp = ", ".join(sorted(UNSTATED if one is None else f"{one:.4g} um" for one in sizes))
    groups = Counter(one.group_kind for one in slides if one.group is not None)
    patients = len({one.group for one in slides if one.group_kind == "patient"})
    lines = [
        f"Patches: {side} x {side} px, a step of {spec.step_px} px, edge `{spec.edge}`, uint8 RGB, {notes.image}.",
        f"Size of a pixel: {mpp}.",
        f"Patients: {patients if patients else UNSTATED} (named for {groups['patient']} of {len(slides)} slides).",
        *(f"Left out: {count} patches, {why}." for count, why in notes.left_out if count),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _label_table(patches: ExportPatches) -> str:
    names = [*patches.label_names, *([UNKNOWN] if np.any(patches.label < 0) else [])]
    splits = list(enumerate(patches.split_names)) or [(-1, "all")]
    rows = []
    for code, split in splits:
        labels = patches.label[patches.split == code]
        counts = [int(np.count_nonzero(labels == number)) for number in range(len(patches.label_names))]
        unknown = [int(np.count_nonzero(labels < 0))] if len(names) > len(patches.label_names) else []
        rows.append([split, *counts, *unknown, len(labels)])
    return _table(["split", *names, "patches"], rows)


def _cell_table(patches: ExportPatches, slides: Sequence[SlideRecord]) -> str:
    annotated = sum(one.annotated for one in slides)
    if not annotated:
        return "Nobody marked the cells of these slides."
    splits = list(enumerate(patches.split_names)) or [(-1, "all")]
    rows = [
        [name, *patches.counts[patches.split == code].sum(axis=0, dtype=np.int64).tolist()] for code, name in splits
    ]
    table = _table(["split", *patches.class_names], rows)
    rule = patches.store.settings.rule
    return (
        f"Cells were marked on {annotated} of {len(slides)} slides. A cell belongs to every patch that its centre lies "
        f"in, or up to {rule.tolerance_px} px beside, so patches that overlap count it several times.\n\n{table}"
    )


def _licences(slides: Sequence[SlideRecord]) -> str:
    found = Counter(one.licence or f"{UNSTATED}: ask whoever gave you the slides" for one in slides)
    return "\n".join(f"- {_plain(licence)} ({count} slides)" for licence, count in sorted(found.items()))


def _slides(patches: ExportPatches, slides: Sequence[SlideRecord]) -> str:
    counts = Counter(patches.slide_rows.tolist())
    row_of = patches.store.row_of
    shown = [
        [one.id, one.label or "", one.size[0], one.size[1], counts[row_of[one.id]], one.fingerprint]
        for one in slides[:SLIDES_SHOWN]
    ]
    more = f"\n\nand {len(slides) - SLIDES_SHOWN} more." if len(slides) > SLIDES_SHOWN else ""
    return _table(["slide", "label", "width", "height", "patches", "fingerprint"], shown) + more


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(_plain(str(cell)) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Return a text that stays in its cell of a table and makes no mark-up, whatever a file is called."""
    return " ".join(text.replace("|", "/").replace("<", "(").replace(">", ")").replace("`", "'").split())
