"""``wsi-patches train diagnosis``: counts of types of cells into a model that says which label patients bear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.slide_labels import read_slide_labels
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult, measure_classes
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.models.patient_labels import PatientCard, PatientSaid
from wsi_patches.pipeline import Progress
from wsi_patches.report import TypeCounts, read_types
from wsi_patches.stores.files import write_json
from wsi_patches.train.diagnosis import DiagnosisSettings, Patients, Way, cross_predicted, fit_patients
from wsi_patches.workflows.evaluation_files import write_evaluation
from wsi_patches.workflows.output import Existing, check_output
from wsi_patches.workflows.train_folder import TrainingData, plain

__all__ = ["DiagnosisTraining", "train_diagnosis_on_counts"]

WEIGHTS, CARD, EVALUATION = "weights.safetensors", "card.json", "evaluation.html"
RESULT = "patients"
WITHOUT, MAJORITY, BLASTS = "counts as they are", "majority label", "blast fraction alone"
NAMED = 5
LIMITS = (
    "for research use: it repeats the labels of the patients that it learnt from, knows no others, and is to be "
    "measured anew where cells are counted by another classifier, on other stains or of other patients"
)


@dataclass(frozen=True)
class DiagnosisTraining:
    """What was trained, and how good it is on patients that were left out."""

    results: Mapping[str, ClassificationResult]
    """Predicted by the folds that a patient is not in."""
    baselines: Mapping[str, ClassificationResult]
    """Counts without their uncertainty, the share of blasts alone, the majority label."""
    evaluations: Mapping[str, Path]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    page: Path
    weights: Path


def train_diagnosis_on_counts(
    settings: DiagnosisSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> DiagnosisTraining:
    """Learn the label of patients from counts of types, measured by folds that keep patients whole.

    Parameters
    ----------
    settings
        What is learnt, and the file of labels.
    data
        Output folders of ``infer``, or CSV files of counts.
    out
        The folder to write: ``weights.safetensors``, ``card.json`` and the evaluation.
    existing
        What to do with a training that is there.
    progress
        Told how many ways of learning are measured.

    Raises
    ------
    UsageError
        A patient has no label or no cells, there is one label only, or too few patients bear one.
    OutputExists
        There is a training, and it is not to be replaced.
    """
    ours = (out / WEIGHTS).exists()
    if existing.resume:
        msg = "counts are learnt from in seconds, so there is nothing to go on with: leave --resume out"
        raise UsageError(msg)
    check_output(out, existing, ours=ours, what="a training", resumable=False)
    if settings.labels is None:
        msg = "no labels were given: name a CSV file with the columns patient and diagnosis with --labels"
        raise UsageError(msg)
    counted = _together([read_types(path) for path in data.inputs])
    labels = read_slide_labels(settings.labels)
    patients, notes = _labelled(counted, labels.by_patient or labels.by_slide, settings)
    ways = _ways(patients, counted.blasts, settings)
    if progress is not None:
        progress(0, len(ways) + 1)
    said, folds = cross_predicted(list(ways.values()), patients, settings)
    measured = dict(zip(ways, (_measured(patients, one, settings) for one in said), strict=True))
    measured[MAJORITY] = _measured(patients, _majority(patients, folds), settings)
    own = next(iter(ways))
    learnt = ways[own].learnt
    model = fit_patients(learnt, patients, _card(settings, patients, counted, measured[own]), settings.seed)
    if progress is not None:
        progress(len(ways) + 1, len(ways) + 1)
    baselines = {name: one for name, one in measured.items() if name != own}
    told = (*notes, _abstained(said[0], patients, settings.agreement), *_known(counted))
    details = {"Split": model.card.split, "Limits": LIMITS, **{k: plain(v) for k, v in asdict(settings).items()}}
    title = f"{settings.name}: labels of patients by counts of their cells"
    page = write_evaluation(out, title, measured[own], baselines=baselines, details=details)
    model.save(out / WEIGHTS)
    write_json(out / CARD, model.card.to_dict(), durable=False)
    return DiagnosisTraining({RESULT: measured[own]}, baselines, {RESULT: page}, told, (), page, out / WEIGHTS)


def _together(parts: Sequence[TypeCounts]) -> TypeCounts:
    """Join tables of the same types, counted by one model."""
    first = parts[0]
    for other in parts[1:]:
        both = sorted(set(other.patients) & set(first.patients))
        found = [f"other types: {', '.join(sorted(set(other.types) ^ set(first.types)) or other.types)}"]
        found = found if other.types != first.types else []
        found += [f"counts by the weights {other.model[:12]} and {first.model[:12]}"] * (other.model != first.model)
        found += [f"{len(both)} patients in both: {', '.join(both[:NAMED])}"] if both else []
        if found:
            msg = "counts that are learnt from together are of the same types, of one model, and of different patients"
            raise UsageError("; found ".join([msg, *found]))
        first = replace(
            first, patients=first.patients + other.patients, counts=np.concatenate([first.counts, other.counts])
        )
    return first


def _labelled(
    counted: TypeCounts, labels: Mapping[str, str], settings: DiagnosisSettings
) -> tuple[Patients, tuple[str, ...]]:
    """Return the patients that have both cells and a label, and a sentence on those that were left out."""
    cells = dict(zip(counted.patients, counted.counts, strict=True))
    unlabelled = [one for one in counted.patients if one not in labels]
    empty = [one for one in labels if one not in cells or not cells[one].sum()]
    told = [
        f"{len(names)} patients have {what}: {', '.join(names[:NAMED])}{' ...' if len(names) > NAMED else ''}"
        for names, what in ((unlabelled, "counts and no label"), (empty, "a label and no counted cell"))
        if names
    ]
    if told and settings.unmatched == "refuse":
        msg = f"{'; '.join(told)}. Names must be those of the group column; or set `unmatched: leave_out` in the recipe"
        raise UsageError(msg)
    kept = [one for one in counted.patients if one in labels and one not in empty]
    known = tuple(sorted({labels[one] for one in kept}))
    if len(known) < 2:
        msg = f"two labels or more are told apart, found {', '.join(known) or 'none'} of {len(kept)} patients"
        raise UsageError("; ".join([msg, *(f"left out: {one}" for one in told)]))
    truth = np.array([known.index(labels[one]) for one in kept], np.int32)
    counts = np.array([cells[one] for one in kept])
    return Patients(tuple(kept), counted.types, counts, known, truth, counted.confusion), tuple(
        f"left out: {one}" for one in told
    )


def _ways(patients: Patients, blasts: Sequence[str], settings: DiagnosisSettings) -> dict[str, Way]:
    """Return what is learnt from, the chosen way first, then what it is compared with."""
    drawn = patients.drawn(settings.draws, settings.seed)
    few = drawn[:, :: max(1, settings.draws // settings.learnt_draws)][:, : settings.learnt_draws]
    plainly = patients.shares()[:, None]
    own = Way(few if settings.uncertainty else plainly, drawn)
    ways = {RESULT: own, WITHOUT: Way(plainly, plainly)}
    rows = [patients.types.index(name) for name in blasts]
    if rows:
        share = plainly[:, :, rows].sum(axis=2, keepdims=True)
        ways[BLASTS] = Way(share, share)
    return ways


def _majority(patients: Patients, folds: NDArray[np.int64]) -> list[PatientSaid]:
    """Return what knowing only how frequent the labels of the other folds are says of each patient."""
    said = []
    for fold in folds.tolist():
        counts = np.bincount(patients.truth[folds != fold], minlength=len(patients.labels))
        said.append(PatientSaid.of(counts[None] / counts.sum()))
    return said


def _measured(patients: Patients, said: Sequence[PatientSaid], settings: DiagnosisSettings) -> ClassificationResult:
    names = np.array(patients.names, str)
    chances = np.array([one.probabilities for one in said], np.float32)
    predictions = Predictions(patients.labels, names, names, patients.truth, chances)
    return measure_classes(
        predictions, draws=settings.resamples, seed=settings.seed, group_kind="patient", unit="patient"
    )


def _abstained(said: Sequence[PatientSaid], patients: Patients, agreement: float) -> str:
    sure = np.array([one.agreement >= agreement for one in said])
    right = np.array([one.label for one in said]) == patients.truth
    told = f"fewer than {100 * agreement:.0f} % of the draws agree on {np.count_nonzero(~sure)} of {len(sure)} patients"
    parts = [f"{100 * right[mask].mean():.0f} % of {which} are right" for mask, which in _sides(sure) if mask.any()]
    return f"{told}, of whom the model abstains; {' and '.join(parts)}"


def _sides(sure: NDArray[np.bool_]) -> tuple[tuple[NDArray[np.bool_], str], ...]:
    return (sure, "the others"), (~sure, "those")


def _known(counted: TypeCounts) -> tuple[str, ...]:
    if counted.confusion is not None:
        return ()
    return ("nothing says how often types are taken for each other, so only the chance of the sample is drawn",)


def _card(
    settings: DiagnosisSettings, patients: Patients, counted: TypeCounts, measured: ClassificationResult
) -> PatientCard:
    frequent = zip(patients.labels, np.bincount(patients.truth).tolist(), strict=True)
    scores = {f"folds_{name}": one.value for name, one in measured.metrics.items() if np.isfinite(one.value)}
    return PatientCard(
        name=settings.name,
        title=f"{len(patients.labels)} labels of patients by counts of {len(patients.types)} types of cells",
        architecture="logistic_regression",
        settings={},
        classes=patients.labels,
        types=patients.types,
        trained_on=f"{len(patients.names)} patients: {', '.join(f'{count} {name}' for name, count in frequent)}",
        limits=LIMITS,
        licence=settings.licence,
        paper="H. Hoefener and others, From Data to Diagnosis, 2025",
        doi="10.48550/arXiv.2509.15895",
        changes="logistic regression on draws of the shares of types; theirs is not published here",
        scores=scores,
        split=f"{settings.folds} folds of whole patients, each predicted from the others; then fitted to all patients",
        agreement=settings.agreement,
        counted_by=counted.model,
    )
