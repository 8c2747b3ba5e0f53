"""Labels of slides or patients from a lab's own table, for stores whose slides bear none."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsi_patches.datasets.groups import IMAGE_COLUMNS
from wsi_patches.errors import UsageError

__all__ = ["SlideLabels", "read_slide_labels"]

PATIENT_COLUMNS = ("patient", "patient_id", "case")
LABEL_COLUMNS = ("label", "diagnosis", "class")


@dataclass(frozen=True)
class SlideLabels:
    """What a table says of slides or of patients."""

    by_slide: Mapping[str, str]
    """By a slide's id, its file's name or that name without its suffix."""
    by_patient: Mapping[str, str]
    """By patient, where the table names no slides."""

    def of(self, slide_id: str, path: str, patient: str | None) -> str | None:
        """Return the label of a slide; None where the table does not say."""
        names = (slide_id, Path(path).name, Path(path).stem)
        found = next((self.by_slide[name] for name in names if name in self.by_slide), None)
        return found if found is not None else self.by_patient.get(patient or "")


def read_slide_labels(path: Path) -> SlideLabels:
    """Read a CSV table with a column of slides or of patients, and one of labels.

    Parameters
    ----------
    path
        Slides are in a column called ``slide_id``, ``slide``, ``image`` or ``file``, patients in ``patient``,
        ``patient_id`` or ``case``, labels in ``label``, ``diagnosis`` or ``class``. Rows without a label are passed
        over.

    Raises
    ------
    UsageError
        It cannot be read, lacks a column, or gives one slide or patient two labels.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows, header = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"labels {path} cannot be read as CSV: {error}"
        raise UsageError(msg) from error
    names = {name.strip().lower(): name for name in header}
    slide, patient, label = (_first(names, known) for known in (IMAGE_COLUMNS, PATIENT_COLUMNS, LABEL_COLUMNS))
    key = slide or patient
    if key is None or label is None:
        msg = (
            f"labels {path} has the columns {', '.join(header) or 'none'}: it needs one of slide_id, image, patient or "
            f"case, and one of {', '.join(LABEL_COLUMNS)}"
        )
        raise UsageError(msg)
    said = _by_name(path, [((row[key] or "").strip(), (row[label] or "").strip()) for row in rows])
    return SlideLabels(said, {}) if slide is not None else SlideLabels({}, said)


def _first(names: Mapping[str, str], known: tuple[str, ...]) -> str | None:
    return next((names[name] for name in known if name in names), None)


def _by_name(path: Path, rows: list[tuple[str, str]]) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, label in rows:
        if name and label and said.setdefault(name, label) != label:
            msg = f"labels {path} calls {name} both {said[name]} and {label}: leave one of them"
            raise UsageError(msg)
    return said
