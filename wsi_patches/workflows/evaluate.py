"""``wsi-patches evaluate``: counts against marked cells, or predicted classes against labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.gallery import classification_gallery
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.predictions_file import NO_MORE, read_predictions
from wsi_patches.evaluate.result import Result
from wsi_patches.models.card import ModelCard
from wsi_patches.pipeline import Progress
from wsi_patches.stores import is_store, open_store
from wsi_patches.workflows.ask_committee import Asked, ask, load_members
from wsi_patches.workflows.evaluate_counts import evaluate_counts
from wsi_patches.workflows.evaluate_settings import EvaluateSettings
from wsi_patches.workflows.evaluation_files import write_evaluation
from wsi_patches.workflows.folded import Folded, colour_alone, fold_patches
from wsi_patches.workflows.labelled import LabelledPatches, labelled_patches
from wsi_patches.workflows.levels import write_levels
from wsi_patches.workflows.output import Existing, check_output

__all__ = ["EvaluateSettings", "Evaluation", "evaluate"]

COUNTS = "counts.csv"
NO_MEMBERS: Mapping[str, NDArray[np.float32]] = MappingProxyType({})


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and where it is written down."""

    results: Mapping[str, Result]
    """By what was evaluated: ``white_cells``, ``blasts``, ``slides``, or ``classes``."""
    pages: Mapping[str, Path]
    """The page of each."""
    baselines: Mapping[str, ClassificationResult] = field(default_factory=dict)
    """Of ``classes``: what simpler classifiers reach on the same patches."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""


def evaluate(settings: EvaluateSettings, progress: Progress | None = None) -> Evaluation:
    """Measure what ``infer`` counted, what a model says of a store's patches, or a table of predictions.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    OutputExists
        There is an evaluation, or a calibration, and it is not to be replaced.
    MissingExtra
        The extra ``train`` is not installed.
    """
    if not settings.source.exists():
        msg = f"{settings.source} does not exist: give what wsi-patches infer wrote, a store, or a table of predictions"
        raise UsageError(msg)
    ours = any((settings.out / name).exists() for name in ("evaluation.html", "white_cells", "slides/evaluation.html"))
    existing = Existing(overwrite=settings.overwrite)
    check_output(settings.out, existing, ours=ours, what="an evaluation", resumable=False)
    _check_calibration(settings)
    if settings.source.is_file():
        return _of_table(settings)
    if settings.source.is_dir() and is_store(settings.source):
        return _of_store(settings, progress)
    if (settings.source / COUNTS).is_file():
        results, pages, notes = evaluate_counts(settings)
        return Evaluation(results, pages, notes=notes)
    msg = (
        f"{settings.source} is nothing that can be evaluated: give a folder that wsi-patches infer wrote (with "
        "--annotations), a store (with --model), or a table of predictions"
    )
    raise UsageError(msg)


def _check_calibration(settings: EvaluateSettings) -> None:
    """Refuse to learn a calibration from what is no output of ``infer``, or to write it over another one."""
    path = settings.write_calibration
    if path is not None and not (settings.source / COUNTS).is_file():
        msg = f"--write-calibration learns from what infer counted, and {settings.source} is nothing of the kind"
        raise UsageError(msg)
    if path is not None and path.exists() and not settings.overwrite:
        msg = f"{path} is there already: give another file, or --overwrite to replace it"
        raise OutputExists(msg)


def _of_store(settings: EvaluateSettings, progress: Progress | None) -> Evaluation:
    if settings.model is None:
        msg = f"{settings.source} is a store: say with --model which classifier is to be measured on it"
        raise UsageError(msg)
    committee = load_members((settings.model, *settings.ensemble), settings.tta, settings.device)
    card = committee.card
    patches = _named_as(card.classes, labelled_patches(open_store(settings.source), settings.target))
    asked = ask(committee, patches, progress)
    several = f" and {len(settings.ensemble)} more" if settings.ensemble else ""
    title = f"Model {card.name}{several} on {settings.source.name}"
    named = "; ".join(f"{member.card.name}: {member.card.title}" for member in committee.members)
    details = {"Model": named, "Weights (SHA-256)": ", ".join(member.sha256 for member in committee.members)}
    groups = patches.groups
    predictions = Predictions(patches.class_names, patches.ids, groups, patches.truth, asked.probabilities)
    evaluated = _classes(settings, title, predictions, patches, details, asked)
    return _with_levels(evaluated, settings.out, card, patches, details)


def _with_levels(
    done: Evaluation, out: Path, card: ModelCard, patches: LabelledPatches, details: Mapping[str, str]
) -> Evaluation:
    """Return an evaluation of classes with that of the levels of their tree, where the model knows one."""
    (result,) = done.results.values()
    if not isinstance(result, ClassificationResult):
        return done
    slides = np.array([record.id for record in patches.store.slides], str)[patches.slides]
    several = len(set(slides.tolist())) < len(slides)  # where each slide is one picture, patients vote
    levels = write_levels(out, card, result, slides if several else patches.groups, details)
    results = {**done.results, **{name: one for name, (one, _) in levels.items()}}
    return replace(done, results=results, pages={**done.pages, **{name: page for name, (_, page) in levels.items()}})


def _named_as(classes: tuple[str, ...], patches: LabelledPatches) -> LabelledPatches:
    """Return labelled patches with the classes of a model, in its order.

    Of a target that is one of two classes of the model, what is not of it is of the other.
    """
    names = patches.class_names
    if len(classes) == len(names) == 2 and names[1] in classes and names[0] == f"no {names[1]}":
        names = (next(name for name in classes if name != names[1]), names[1])
    if set(names) != set(classes):
        msg = (
            f"the model tells {', '.join(classes)}, and the patches of {patches.store.path} are {', '.join(names)}: "
            "give another model, or another --target"
        )
        raise UsageError(msg)
    order = np.array([classes.index(name) for name in names], np.int32)
    return replace(patches, class_names=classes, truth=order[patches.truth])


def _of_table(settings: EvaluateSettings) -> Evaluation:
    predictions = read_predictions(settings.source)
    patches = None
    if settings.patches is not None:
        patches = _in_store(predictions, labelled_patches(open_store(settings.patches), settings.target))
    return _classes(settings, f"Predictions of {settings.source.name}", predictions, patches, {})


def _in_store(predictions: Predictions, patches: LabelledPatches) -> LabelledPatches:
    """Return the store's patches that a table names, in its order and with its truth."""
    row_of = {name: row for row, name in enumerate(patches.ids.tolist())}
    strange = [name for name in predictions.ids.tolist() if name not in row_of]
    if strange:
        msg = f"{patches.store.path} has no labelled patch {strange[0]!r}; it has such as {patches.ids[0]!r}"
        raise UsageError(msg)
    rows = np.array([row_of[name] for name in predictions.ids.tolist()], np.int64)
    return replace(
        patches,
        positions=patches.positions[rows],
        class_names=predictions.class_names,
        truth=predictions.truth,
    )


def _classes(
    settings: EvaluateSettings,
    title: str,
    predictions: Predictions,
    patches: LabelledPatches | None,
    details: Mapping[str, str],
    asked: Asked | None = None,
) -> Evaluation:
    """Measure predicted classes, with what colour alone reaches on the same patches where their pixels are known."""
    baselines: dict[str, ClassificationResult] = {}
    gallery: NDArray[np.uint8] | None = None
    notes: list[str] = [] if asked is None else list(asked.notes)
    kind = "group" if patches is None else patches.group_kind
    folded = None
    if patches is None:
        notes.append("Colour alone was not measured beside it: say with --patches in which store the patches are.")
    else:
        gallery = classification_gallery(patches, predictions)
        try:
            folded = fold_patches(patches, settings.by, settings.folds, settings.seed)
            baselines = colour_alone(folded, settings.draws, settings.seed)
        except UsageError as error:
            notes.append(f"Colour alone could not be measured beside it: {error}.")
    result = _measured(settings, predictions, folded, kind)
    members = NO_MEMBERS if asked is None else asked.members
    for name, said in members.items():
        baselines[f"{name} alone"] = _measured(settings, replace(predictions, probabilities=said), folded, kind)
    details = {"Evaluated": str(settings.source), **details, **({"Note": " ".join(notes)} if notes else {})}
    doubts = NO_MORE if asked is None else asked.doubts
    page = write_evaluation(settings.out, title, result, gallery, baselines=baselines, details=details, doubts=doubts)
    return Evaluation({"classes": result}, {"classes": page}, baselines, tuple(notes))


def _measured(
    settings: EvaluateSettings, predictions: Predictions, folded: Folded | None, kind: str
) -> ClassificationResult:
    """Measure with the groups of the baseline where there is one, so that both are drawn alike."""
    from wsi_patches.evaluate.classification import measure_classes

    if folded is not None:
        return folded.measured(predictions.probabilities, settings.draws, settings.seed)
    return measure_classes(predictions, draws=settings.draws, seed=settings.seed, group_kind=kind)
