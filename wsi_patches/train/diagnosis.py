"""Learning the label of patients from counts of their cells' types, with and without the counts' own uncertainty.

After the last step of Hoefener and others (arXiv 2509.15895), who tell the diagnosis of children from predicted counts
of cells. The classifier and the treatment of the counts' uncertainty are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsi_patches.counting.type_shares import draw_shares
from wsi_patches.datasets.splits import make_folds
from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.models.patient_labels import PatientCard, PatientModel, PatientSaid, label_chances

__all__ = ["C_GRID", "DiagnosisSettings", "Patients", "Way", "cross_predicted", "fit_patients", "said_of"]

C_GRID = (0.03, 0.3, 3.0, 30.0)
"""Inverse strengths of the L2 penalty: scikit-learn's ``C``, on features of variance 1."""
MOST_ITERATIONS = 5000
FEWEST_FOLDS = 3
"""With fewer, nothing is left to choose the penalty by within the training folds."""
FIXED_C = 0.3
TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class DiagnosisSettings:
    """What a classifier of patients is, and how it is trained and measured.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - as pydantic wants it

    task: Literal["diagnosis"] = "diagnosis"
    """What the recipe trains."""
    name: str = "diagnosis"
    labels: Path | None = None
    """A CSV file with the columns ``patient`` and ``diagnosis``; needed, here or with --labels."""
    folds: int = 5
    """Each is predicted from the others; a patient is in one."""
    draws: int = 200
    """Of a patient's shares, from which the label's probabilities are averaged."""
    learnt_draws: int = 20
    """Of each patient that is learnt from."""
    uncertainty: bool = True
    """Learn from draws of the shares; without, from the shares as they were counted."""
    agreement: float = 0.8
    """Least share of the draws that must say the same label, or the model abstains."""
    resamples: int = 1000
    """Of the patients, for the intervals of what is measured."""
    unmatched: Literal["refuse", "leave_out"] = "refuse"
    """What becomes of patients without a label, or without counted cells."""
    seed: int = 0
    licence: str = "not stated"

    def __post_init__(self) -> None:
        wrong = [name for name in ("draws", "learnt_draws", "resamples") if getattr(self, name) < 1]
        wrong += ["folds"] if self.folds < 2 else []
        wrong += ["seed"] if self.seed < 0 else []
        wrong += [] if 0 <= self.agreement <= 1 else ["agreement"]
        if wrong:
            msg = "counts are 1 or more, folds 2 or more, the seed 0 or more, agreement lies in 0..1"
            raise UsageError(f"{', '.join(wrong)} out of range: " + msg)


@dataclass(frozen=True)
class Patients:
    """Patients with counts and labels."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    counts: NDArray[np.int64]
    """Shape ``(patients, types)``; each patient has a cell."""
    labels: tuple[str, ...]
    """Two or more."""
    truth: NDArray[np.int32]
    """Index into ``labels``, ``(patients,)``."""
    confusion: NDArray[np.int64] | None = None
    """How often the classifier of cells took each type (row) for each (column); None where unknown."""

    def shares(self) -> NDArray[np.float64]:
        """Return shares as they were counted, ``(patients, types)``."""
        return np.asarray(self.counts / self.counts.sum(axis=1, keepdims=True))

    def drawn(self, draws: int, seed: int) -> NDArray[np.float64]:
        """Return draws of each patient's true shares, ``(patients, draws, types)``."""
        return np.stack([draw_shares(row, self.confusion, draws, seed) for row in self.counts])


@dataclass(frozen=True)
class Way:
    """What is learnt from and asked of in one way: shares of each patient, one or several draws of them."""

    learnt: NDArray[np.float64]
    """Shape ``(patients, draws, features)``."""
    asked: NDArray[np.float64]
    """Shape ``(patients, draws, features)``."""


def cross_predicted(
    ways: Sequence[Way], patients: Patients, settings: DiagnosisSettings
) -> tuple[list[list[PatientSaid]], NDArray[np.int64]]:
    """Return what each way says of each patient, learnt from the folds that the patient is not in, and the folds.

    Raises
    ------
    UsageError
        There are fewer patients than folds, or a label lies in one fold only.
    MissingExtra
        scikit-learn is not installed.
    """
    folds = make_folds([patients.labels[one] for one in patients.truth], patients.names, settings.folds, settings.seed)
    out: list[list[PatientSaid | None]] = [[None] * len(patients.names) for _ in ways]
    for fold in np.unique(folds).tolist():
        held, rest = np.flatnonzero(folds == fold), folds != fold
        for way, told in zip(ways, out, strict=True):
            weights, bias = fit_line(way.learnt[rest], patients.truth[rest], folds[rest], len(patients.labels))
            for row in held.tolist():
                told[row] = PatientSaid.of(label_chances(way.asked[row], weights, bias))
    return [[one for one in told if one is not None] for told in out], folds


def fit_patients(learnt: NDArray[np.float64], patients: Patients, card: PatientCard, seed: int = 0) -> PatientModel:
    """Return a model fitted to all patients, of shares ``(patients, draws, types)``."""
    count = min(FEWEST_FOLDS + 2, len(patients.names))
    folds = make_folds([patients.labels[one] for one in patients.truth], patients.names, count, seed)
    return PatientModel(card, *fit_line(learnt, patients.truth, folds, len(patients.labels)))


def said_of(
    model: PatientModel, counts: NDArray[np.int64], confusion: NDArray[np.int64] | None, draws: int, seed: int
) -> PatientSaid:
    """Return what a model says of one patient with the counts ``(types,)``; other parameters as of `draw_shares`."""
    return PatientSaid.of(model.probabilities(draw_shares(counts, confusion, draws, seed)))


def fit_line(
    learnt: NDArray[np.float64], truth: NDArray[np.int32], folds: NDArray[np.int64], labels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights ``(features, labels)`` and bias ``(labels,)`` of a logistic regression on square roots.

    Parameters
    ----------
    learnt
        Shares ``(patients, draws, features)``; each draw weighs 1 / draws of a patient.
    truth, folds
        Of each patient; the penalty is the one that predicts each fold best from the others.
    labels
        How many there are; one that no patient bears gets no chance.

    Raises
    ------
    MissingExtra
        scikit-learn is not installed.
    """
    numbers = np.unique(folds)
    losses = [0.0] * len(C_GRID)
    for fold in numbers if len(numbers) >= FEWEST_FOLDS else ():
        held = folds == fold
        for row, c in enumerate(C_GRID):
            weights, bias = _fitted(learnt[~held], truth[~held], labels, c)
            chance = np.stack([label_chances(one, weights, bias).mean(axis=0) for one in learnt[held]])
            losses[row] -= float(np.log(np.maximum(chance[np.arange(len(chance)), truth[held]], TINY)).sum())
    chosen = C_GRID[int(np.argmin(losses))] if len(numbers) >= FEWEST_FOLDS else FIXED_C
    return _fitted(learnt, truth, labels, chosen)


def _fitted(
    learnt: NDArray[np.float64], truth: NDArray[np.int32], labels: int, c: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with needs_extra("train", "train"):
        from sklearn.linear_model import LogisticRegression
    _, draws, features = learnt.shape
    rows = np.sqrt(learnt).reshape(-1, features)
    mean, std = rows.mean(axis=0), np.maximum(rows.std(axis=0), TINY)
    known = np.unique(truth)
    weights, bias = np.zeros((features, labels)), np.full(labels, -1e3)
    if len(known) == 1:
        bias[known] = 0
        return weights, bias
    model = LogisticRegression(C=c, max_iter=MOST_ITERATIONS)
    model.fit((rows - mean) / std, np.repeat(truth, draws), sample_weight=np.full(len(rows), 1 / draws))
    line, start = model.coef_, model.intercept_
    if len(known) == 2:  # one line, that of the second label
        line, start = np.concatenate([np.zeros_like(line), line]), np.concatenate([[0.0], start])
    weights[:, known] = line.T / std[:, None]
    bias[known] = start - mean @ weights[:, known]
    return weights, bias
