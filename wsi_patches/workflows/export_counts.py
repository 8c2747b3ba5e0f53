"""``wsi-patches export COUNTS --format leukemia-attri``: fields that ``infer`` counted, with boxes and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsi_patches.annotations import read_geojson
from wsi_patches.annotations.attributes import named_attributes
from wsi_patches.cells import Cells
from wsi_patches.datasets.splits import SplitRow, make_split
from wsi_patches.errors import UsageError
from wsi_patches.export.images import ImageSettings, encode
from wsi_patches.export.leukemia_attri import AttributedField, write_leukemia_attri, write_picture
from wsi_patches.geometry import Box
from wsi_patches.infer.types import TYPE
from wsi_patches.morphology import SEVEN, Attribute
from wsi_patches.outcome import ATTRIBUTES, FAILED, SlideReport
from wsi_patches.pipeline import Progress
from wsi_patches.report import read_report
from wsi_patches.slides import open_slide
from wsi_patches.stores.files import write_json, write_whole
from wsi_patches.workflows.export_settings import LEUKEMIA_ATTRI, ExportSettings
from wsi_patches.workflows.output import Existing, check_output, clear_output
from wsi_patches.workflows.output_lock import lock_output

__all__ = ["CountsExport", "export_counts"]

COUNTS, CELLS, CARD, MANIFEST = "counts.csv", "cells.geojson", "README.md", "export.json"
LARGEST_PX = 16384
CountsExport = tuple[Mapping[str, Mapping[str, int]], int]
"""Cells of each class in each split, and how many fields were written."""
ONE_SPLIT = "train"
TOLD = """# Fields with boxes and attributes
{fields} fields of {source}, written by wsi-patches as LeukemiaAttri is laid out (arXiv 2405.10803): `Images/SPLIT/`,
`Annotations/SPLIT.json` (COCO, attributes as texts), `labels/SPLIT/` (YOLO: class x y w h, and the number of each
attribute's value, -1 where it is not known) and `data.yaml`, which says what the numbers mean. Name the folder as its
domain, such as `H_100x_C1`, to have it read as LeukemiaAttri's.

Boxes and attributes are what a model said unless a person marked them. For research use only.
"""


def export_counts(settings: ExportSettings, progress: Progress | None = None) -> CountsExport:
    """Write counted fields with their boxes and attributes, and their pictures.

    Raises
    ------
    UsageError
        The source holds no counts, cells have no boxes, or a slide is no field.
    OutputExists
        The output is there, and neither resuming nor overwriting was asked for.
    SlideError
        A field cannot be read any more.
    """
    source, out = Path(settings.store), settings.out
    check_output(out, Existing(settings.resume, settings.overwrite), ours=(out / MANIFEST).is_file(), what="an export")
    reports = _reports(source)
    attributes = _attributes(reports)
    splits = _splits(settings, reports)
    with lock_output(out, "export", settings):
        if settings.overwrite:
            clear_output(out)
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / MANIFEST, {"settings": settings.shaping(), "complete": False})
        fields = []
        for done, (report, split) in enumerate(zip(reports, splits, strict=True), start=1):
            fields.append(_field(source, out, report, split, attributes))
            if progress is not None:
                progress(done, len(reports))
        write_leukemia_attri(out, fields, attributes)
        write_whole(out / CARD, TOLD.format(fields=len(fields), source=source.name).encode())
        write_json(out / MANIFEST, {"settings": settings.shaping(), "complete": True})
    return _counted(fields), len(fields)


def _reports(source: Path) -> list[SlideReport]:
    """Return the reports of the slides that were counted."""
    if not (source / COUNTS).is_file():
        msg = f"{source} holds no counts: --format {LEUKEMIA_ATTRI} writes what wsi-patches infer wrote, with its boxes"
        raise UsageError(msg)
    folders = sorted(one for one in source.iterdir() if one.is_dir())
    reports = [one for folder in folders if (one := read_report(folder)) is not None and one.status != FAILED]
    if not reports:
        msg = f"no slide in {source} was counted: there is nothing to write"
        raise UsageError(msg)
    return reports


def _attributes(reports: Sequence[SlideReport]) -> tuple[Attribute, ...]:
    """Return the attributes that the reports tell, or else the seven of `wsi_patches.morphology`."""
    told = {name: tuple(values) for one in reports for name, values in one.extra.get(ATTRIBUTES, {}).items()}
    return tuple(Attribute(name, values) for name, values in told.items()) or SEVEN


def _splits(settings: ExportSettings, reports: Sequence[SlideReport]) -> list[str]:
    """Return the split of each field: patients, else slides, whole; all in one where no shares are asked."""
    if not isinstance(settings.split, Mapping):
        if settings.split not in (None, "none"):
            msg = f"--split {settings.split} is a store's: give shares, such as 0.7/0.3, or none"
            raise UsageError(msg)
        return [ONE_SPLIT] * len(reports)
    rows = [
        SplitRow(one.slide_id, one.path, one.group, one.extra.get("group_kind"), None, one.slide_id) for one in reports
    ]
    return list(make_split(rows, settings.group_by, settings.split, settings.seed).names)


def _field(
    source: Path, out: Path, report: SlideReport, split: str, attributes: Sequence[Attribute]
) -> AttributedField:
    """Write the picture of a field and return what is known of it."""
    with open_slide(report.path) as slide:
        size = slide.info.size
        if max(size) > LARGEST_PX:
            msg = (
                f"{report.slide_id} is a whole slide of {size.width} x {size.height} px: {LEUKEMIA_ATTRI} holds fields"
            )
            raise UsageError(msg)
        if not (out / "Images" / split / f"{report.slide_id}.png").is_file():
            png = encode(slide.read(Box(0, 0, *size), 0), ImageSettings("png"))
            write_picture(out, split, report.slide_id, png)
    cells = read_geojson(source / report.slide_id / CELLS)
    return AttributedField(report.slide_id, split, size, named_attributes(_typed(cells), attributes))


def _typed(cells: Cells) -> Cells:
    """Return the cells under the names of their types, where these are told."""
    types = cells.attributes.get(TYPE)
    if types is None or not len(cells):
        return cells
    said = np.where(types == "", np.array(cells.class_names, str)[cells.class_index], types)
    names, index = np.unique(said, return_inverse=True)
    return replace(cells, class_names=tuple(names.tolist()), class_index=index.astype(np.int32))


def _counted(fields: Sequence[AttributedField]) -> dict[str, dict[str, int]]:
    """Return how many fields are in each split; fields have no class."""
    splits = [one.split for one in fields]
    return {name: {"": splits.count(name)} for name in dict.fromkeys(splits)}
