"""Attributes of counted cells, and figures by domain, where the model and the data tell them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wsi_patches.annotations.attributes import attribute_numbers, named_attributes, numbered_columns
from wsi_patches.cells import Cells
from wsi_patches.evaluate.attributes import AttributesResult, ToldCells, measure_attributes
from wsi_patches.evaluate.detection import FieldDetections, measure_detection
from wsi_patches.evaluate.domains import DomainFigures
from wsi_patches.morphology import Attribute
from wsi_patches.outcome import ATTRIBUTES, LEARNT_DOMAINS
from wsi_patches.workflows.counted import WHITE_CELLS, Counted, CountedSlide, of_target
from wsi_patches.workflows.evaluate_settings import EvaluateSettings

__all__ = ["attributes_of", "check_columns", "domains_of", "measured_attributes"]

DOMAIN = "domain"


def attributes_of(counted: Counted) -> tuple[Attribute, ...]:
    """Return the attributes that the cells of counted slides have, with their values, as the reports say it."""
    told = {
        name: tuple(values) for one in counted.slides for name, values in one.report.extra.get(ATTRIBUTES, {}).items()
    }
    return tuple(Attribute(name, values) for name, values in told.items())


def check_columns(settings: EvaluateSettings, counted: Counted) -> None:
    """Refuse names of columns that are no attributes of the counted cells, before anything is measured.

    Raises
    ------
    UsageError
        There is one.
    """
    none = Cells.at(np.empty((0, 2)), ())
    named_attributes(none, attributes_of(counted), numbered_columns(settings.attribute_columns))


def measured_attributes(
    settings: EvaluateSettings, counted: Counted, rows: Sequence[int], fields: Sequence[FieldDetections]
) -> AttributesResult | None:
    """Measure the attributes of the white cells of some slides that were found and are marked.

    Parameters
    ----------
    settings
        What is asked; it may say which attribute each number behind a YOLO box is.
    counted
        The slides.
    rows
        Which of them.
    fields
        What was found on all of them.

    Returns
    -------
    None where no attribute was told, or none is known of a cell that was found.
    """
    attributes = attributes_of(counted)
    none = np.empty((0, len(attributes)), np.int64)
    true, said, groups = [none], [none], list[str]()
    for row in rows:
        slide, field = counted.slides[row], fields[row]
        found = np.flatnonzero(field.assigned >= 0)
        columns = numbered_columns(settings.attribute_columns)
        marked = named_attributes(of_target(slide.marked, WHITE_CELLS), attributes, columns)
        true.append(attribute_numbers(marked, attributes)[field.assigned[found]])
        said.append(attribute_numbers(of_target(slide.known, WHITE_CELLS), attributes)[found])
        groups += [slide.group] * len(found)
    names = [one.name for one in attributes]
    known, told = (dict(zip(names, np.concatenate(table).T, strict=True)) for table in (true, said))
    if not any(((column >= 0) & (told[name] >= 0)).any() for name, column in known.items()):
        return None
    # What a model left open is neither right nor wrong.
    known = {name: np.where(told[name] >= 0, column, -1) for name, column in known.items()}
    cells = ToldCells(np.array(groups, str), known, told, {})
    values = {one.name: len(one.values) for one in attributes}
    return measure_attributes(cells, values, draws=settings.draws, seed=settings.seed, group_kind=counted.group_kind)


def domains_of(settings: EvaluateSettings, counted: Counted, fields: Sequence[FieldDetections]) -> list[DomainFigures]:
    """Return the figures of each domain, by name; none where the data set names no domain."""
    of = [_domain(slide) for slide in counted.slides]
    learnt = {name for slide in counted.slides for name in slide.report.extra.get(LEARNT_DOMAINS, ())}
    figures = []
    for domain in sorted(set(of)) if any(of) else ():
        rows = [row for row, name in enumerate(of) if name == domain]
        cells = measure_detection(
            [fields[row] for row in rows],
            settings.threshold,
            draws=settings.draws,
            seed=settings.seed,
            group_kind=counted.group_kind,
        )
        attributes = measured_attributes(settings, counted, rows, fields)
        figures.append(DomainFigures(domain, domain in learnt, cells, attributes))
    return figures


def _domain(slide: CountedSlide) -> str:
    return dict(slide.item.attributes).get(DOMAIN, "")
