"""``wsi-patches patients``: counts of types of cells into the label that patients with such cells bore."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from wsi_patches.counting.type_shares import draw_shares
from wsi_patches.errors import UsageError
from wsi_patches.models.patient_labels import PatientModel, PatientSaid
from wsi_patches.report import TypeCounts, read_types
from wsi_patches.stores.files import replacing
from wsi_patches.workflows.output import Existing, check_output, make_folder

__all__ = ["PatientsResult", "PatientsSettings", "SaidOfPatient", "say_of_patients"]

TABLE = "patients.csv"
COLUMNS = (
    "patient",
    "cells",
    "label",
    "probability",
    "probability_low",
    "probability_high",
    "entropy",
    "agreement",
    "abstains",
    "model",
    "weights_sha256",
    "note",
)
"""Scripts rely on these names; ``p_LABEL``, ``p_LABEL_low`` and ``p_LABEL_high`` of each label follow."""
NOTE = "for research use"
OTHER_MODEL = (
    "the cells were counted by another model than the one that the labels were learnt with (weights {}, not {}): its "
    "counts may mean something else"
)
UNKNOWN = "nothing says how often types are taken for each other, so the intervals hold only the chance of the sample"
NO_CELLS = "no cell of patient {} was counted, so nothing is said"


@dataclass(frozen=True, kw_only=True)
class PatientsSettings:
    """What ``patients`` is asked to do.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    source: Path
    """An output folder of ``infer``, or a CSV file of counts."""
    model: Path
    """What ``train diagnosis`` wrote."""
    out: Path
    draws: int = 200
    """Of a patient's shares of types."""
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.draws < 1 or self.seed < 0:
            msg = f"draws is a count of 1 or more and the seed 0 or more, found {self.draws} and {self.seed}"
            raise UsageError(msg)


@dataclass(frozen=True)
class SaidOfPatient:
    """What was said of one patient."""

    patient: str
    cells: int
    said: PatientSaid
    label: str
    """The most probable one, whether or not the model abstains."""
    abstains: bool


@dataclass(frozen=True)
class PatientsResult:
    """What was done."""

    table: Path
    patients: tuple[SaidOfPatient, ...]
    """Those with a counted cell, in the order of the counts."""
    notes: tuple[str, ...]


def say_of_patients(settings: PatientsSettings) -> PatientsResult:
    """Say which label patients with such counts bore among those that a model learnt from, and how sure that is.

    Raises
    ------
    UsageError
        The counts cannot be read, are of other types than the model's, or the output is there.
    ModelError
        The model cannot be used.
    """
    ours = (settings.out / TABLE).is_file()
    check_output(settings.out, Existing(overwrite=settings.overwrite), ours=ours, what="a table", resumable=False)
    model, counted = PatientModel.load(settings.model), read_types(settings.source)
    counted = _in_order(counted, model.card.types)
    empty = [name for name, row in zip(counted.patients, counted.counts, strict=True) if not row.sum()]
    notes = [NO_CELLS.format(name) for name in empty]
    if model.card.counted_by and counted.model and counted.model != model.card.counted_by:
        notes.append(OTHER_MODEL.format(counted.model[:12], model.card.counted_by[:12]))
    if counted.confusion is None:
        notes.append(UNKNOWN)
    said = tuple(_said(model, counted, row, settings) for row, name in enumerate(counted.patients) if name not in empty)
    make_folder(settings.out)
    _write(settings.out / TABLE, said, model)
    return PatientsResult(settings.out / TABLE, said, tuple(notes))


def _in_order(counted: TypeCounts, types: Sequence[str]) -> TypeCounts:
    """Return counts with the types in the model's order."""
    unknown, missing = sorted(set(counted.types) - set(types)), sorted(set(types) - set(counted.types))
    if unknown or missing:
        told = [f"the model does not know {', '.join(unknown)}"] if unknown else []
        told += [f"the counts lack {', '.join(missing)}"] if missing else []
        msg = f"{' and '.join(told)}: it learnt from counts of {', '.join(types)}; count cells by the same classifier"
        raise UsageError(msg)
    rows = [counted.types.index(name) for name in types]
    confusion = None if counted.confusion is None else counted.confusion[np.ix_(rows, rows)]
    return TypeCounts(counted.patients, tuple(types), counted.counts[:, rows], counted.blasts, confusion, counted.model)


def _said(model: PatientModel, counted: TypeCounts, row: int, settings: PatientsSettings) -> SaidOfPatient:
    shares = draw_shares(counted.counts[row], counted.confusion, settings.draws, settings.seed)
    said = PatientSaid.of(model.probabilities(shares))
    label, cells = model.card.classes[said.label], int(counted.counts[row].sum())
    return SaidOfPatient(counted.patients[row], cells, said, label, model.abstains(said))


def _write(path: Path, patients: Sequence[SaidOfPatient], model: PatientModel) -> None:
    labels = [f"p_{label}{end}" for label in model.card.classes for end in ("", "_low", "_high")]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow((*COLUMNS, *labels))
        writer.writerows(_row(one, model) for one in patients)


def _row(one: SaidOfPatient, model: PatientModel) -> list[str | int]:
    said, best = one.said, one.said.label
    each = np.stack([said.probabilities, said.low, said.high], axis=1)
    return [
        one.patient,
        one.cells,
        "" if one.abstains else one.label,
        *(f"{value:.4f}" for value in each[best]),
        f"{said.entropy:.4f}",
        f"{said.agreement:.4f}",
        "yes" if one.abstains else "no",
        model.card.name,
        model.sha256,
        NOTE,
        *(f"{value:.4f}" for value in each.ravel()),
    ]
