"""Pictures with a caption each, as trainers of BLIP and its like read them: ``metadata.jsonl`` beside the pictures.

A line of it holds ``file_name`` and ``text``, which ``datasets.load_dataset("imagefolder")`` reads too, and what a
split needs to know. Captions are made from attributes by `wsi_patches.morphology.in_words`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.sentences import some
from wsi_patches.errors import UsageError
from wsi_patches.export.attributes import AttributeTable
from wsi_patches.export.base import ExportJob
from wsi_patches.export.patches import ExportPatches
from wsi_patches.export.text import spelt_out
from wsi_patches.morphology import SEVEN, in_words
from wsi_patches.stores.files import write_whole

__all__ = ["METADATA", "caption_of", "check", "export_captions", "untold"]

METADATA = "metadata.jsonl"
OURS = {one.name for one in SEVEN}
PICTURES = "images"


def export_captions(job: ExportJob) -> str:
    """Write a picture a patch of which something is known, and a line with its caption.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    texts = _texts(job)
    rows = np.flatnonzero([bool(text) for text in texts])
    told = replace(job, patches=_some(job.patches, rows))
    for code in np.unique(told.patches.split).tolist():
        (job.out / told.patches.split_folders[code] / PICTURES).mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {}

    def path_of(row: int) -> Path:
        folder = told.patches.split_folders[told.patches.split[row]]
        return Path(folder, PICTURES, f"{told.patches.name(row)}{job.image.suffix}")

    def note(row: int) -> None:
        folder, record = told.patches.split_folders[told.patches.split[row]], told.patches.slide(row)
        said = {"file_name": f"{PICTURES}/{path_of(row).name}", "text": texts[int(rows[row])], "slide": record.id,
                "group": record.group or record.id, "split": told.patches.split_of(row) or None}  # fmt: skip
        lines.setdefault(folder, []).append(spelt_out(json.dumps(said, ensure_ascii=False)))

    told.write_pictures(path_of, note)
    for folder, written in lines.items():
        write_whole(job.out / folder / METADATA, ("\n".join(written) + "\n").encode(), durable=False)
    left_out = len(texts) - len(rows)
    more = f" {left_out} patches of which nothing is known are left out." if left_out else ""
    return (
        f"`{METADATA}` has a line a picture: `file_name`, `text`, `slide`, `group`, `split`. Load the folder with "
        f'`datasets.load_dataset("imagefolder", data_dir=FOLDER)`.{more}'
    )


def check(job: ExportJob) -> None:
    """Refuse patches of which nothing can be said.

    Raises
    ------
    UsageError
        There is no caption for any.
    """
    if any(_texts(job)):
        return
    if job.attributes is not None:
        slides = some(slide.id for slide in job.patches.store.slides)
        msg = f"no caption can be made: --attributes says nothing of the slides exported ({slides}), but of "
        raise UsageError(msg + (some(job.attributes.cells) or "none"))
    msg = (
        "no caption can be made: neither attributes nor marked cells nor classes of single cells are known; give "
        "attributes with --attributes FILE.csv"
    )
    raise UsageError(msg)


def untold(job: ExportJob) -> int:
    """Return how many patches are left out, since nothing is known of them."""
    return _texts(job).count("")


def caption_of(patches: ExportPatches, row: int, table: AttributeTable | None) -> str:
    """Return what is known of a patch, in words; an empty text where that is nothing.

    A table's attributes come first, then those that the dataset states of a single cell with its class, then how many
    cells of each class are marked in it.
    """
    slide = patches.slide(row)
    if table is not None:
        found = table.at((slide.id, Path(slide.path).name), patches.box(row))
        return in_words(found.values, found.kind) if found is not None else ""
    if slide.unit == "cell":
        stated = {name: value for name, value in slide.attributes.items() if name in OURS}
        return in_words(stated, slide.label or "")
    if not slide.annotated:
        return ""
    pairs = zip(patches.class_names, patches.counts[row].tolist(), strict=True)
    marked = [f"{count} marked {name.replace('_', ' ')}" for name, count in pairs if count]
    return f"A patch of blood with cells: {', '.join(marked)}." if marked else "A patch of blood without marked cells."


def _texts(job: ExportJob) -> list[str]:
    return [caption_of(job.patches, row, job.attributes) for row in range(len(job.patches))]


def _some(patches: ExportPatches, rows: NDArray[np.int64]) -> ExportPatches:
    return ExportPatches(
        patches.store, patches.positions[rows], patches.label[rows], patches.label_names, patches.split[rows],
        patches.split_names, None if patches.focus is None else patches.focus[rows],
    )  # fmt: skip
