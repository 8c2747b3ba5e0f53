"""``wsi-patches probe``: what frozen features tell of the classes of a store, beside what colour alone tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_patches.datasets.split_file import read_split
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.gallery import classification_gallery
from wsi_patches.evaluate.predictions_file import write_predictions
from wsi_patches.pipeline import Progress
from wsi_patches.stores import open_store
from wsi_patches.workflows.evaluation_files import PAGE, write_evaluation
from wsi_patches.workflows.folded import COLOUR, Folded, Labelled, colour_alone, fold_patches
from wsi_patches.workflows.labelled import labelled_patches
from wsi_patches.workflows.output import Existing, check_output, make_folder
from wsi_patches.workflows.probe_measures import asked, beside, searched, selected
from wsi_patches.workflows.probe_selection import FEATURES, SELECTION, Selection
from wsi_patches.workflows.probe_settings import ProbeSettings

if TYPE_CHECKING:
    from wsi_patches.models.encoders import FrozenEncoder
    from wsi_patches.train.features import Describe

__all__ = [
    "COLOUR",
    "Folded",
    "Labelled",
    "ProbeResult",
    "ProbeSettings",
    "colour_alone",
    "fold_patches",
    "in_engine",
    "probe_store",
]

TITLES = {"linear": "Linear probe", "knn": "Nearest neighbours", "hosvd": "HOSVD classifier"}
CHOSEN = {
    "linear": "the linear probe's penalty is chosen within the training folds",
    "knn": "scaled by the training folds",
    "hosvd": "the size of the bases, unless it was given, and what makes residuals probabilities are chosen within the "
    "training folds",
}


@dataclass(frozen=True)
class ProbeResult:
    """What was measured."""

    page: Path
    result: ClassificationResult
    """Of the classifier that was asked for."""
    baselines: Mapping[str, ClassificationResult]
    selection: Selection | None = None


def probe_store(settings: ProbeSettings, progress: Progress | None = None) -> ProbeResult:
    """Predict each fold of a store's labelled patches from the others by frozen features, and measure that.

    Raises
    ------
    UsageError
        The store has no two classes, they cannot be put into such folds, or a class has too few patches for the rank.
    ModelError
        The encoder or its weights cannot be used.
    StoreError
        The store cannot be read.
    MissingExtra
        The extra ``train`` is not installed, or ``selection`` where it is needed.
    """
    from wsi_patches.models.encoders import FrozenEncoder
    from wsi_patches.train.features import store_features

    ours = (settings.out / PAGE).is_file()
    existing = Existing(overwrite=settings.overwrite)
    check_output(settings.out, existing, ours=ours, what="an evaluation", resumable=False)
    search = searched(settings)
    encoder = FrozenEncoder.load(settings.encoder, settings.device)
    name = encoder.encoder.name
    patches = labelled_patches(open_store(settings.store), settings.target)
    made = read_split(settings.split) if settings.split is not None else None
    folded = fold_patches(patches, settings.by, settings.folds, settings.seed, made)
    features = store_features(patches.store, encoder, progress, describe=in_engine(encoder))[patches.positions]
    selection = None if search is None else selected(search, folded, features, progress)
    result = asked(settings, folded, features, encoder.encoder.shape, selection)
    baselines = beside(settings, folded, features, selection)
    make_folder(settings.out)
    for name_of_file in (FEATURES, SELECTION):  # an earlier probe may have selected
        (settings.out / name_of_file).unlink(missing_ok=True)
    pictures = () if selection is None else (selection.write(settings.out),)
    for label, baseline in baselines.items():
        file = f"predictions_{label.replace(', ', '_').replace(' ', '_')}.csv"
        write_predictions(settings.out / file, baseline.predictions)
    gallery = classification_gallery(patches, result.predictions)
    title = f"{TITLES[settings.classifier]} on frozen {name} features, {settings.store.name}"
    details = {**_details(settings, name, folded), **({} if selection is None else selection.details)}
    page = write_evaluation(settings.out, title, result, gallery, baselines=baselines, details=details, more=pictures)
    return ProbeResult(page, result, baselines, selection)


def in_engine(encoder: FrozenEncoder) -> Describe:
    """Return what runs an encoder in an engine, which reads ahead; in batches of one size, so that bits repeat."""
    from wsi_patches.infer.engine import Engine, EngineSettings
    from wsi_patches.models.backends import TorchBackend

    backend = TorchBackend(encoder.network, encoder.encoder, encoder.device)
    engine = Engine(backend, EngineSettings(encoder.batch_size))
    return lambda source, rows: (batch.outputs for batch in engine.run(source, rows))


def _details(settings: ProbeSettings, encoder: str, folded: Folded) -> dict[str, str]:
    split = f"file {settings.split}" if settings.split else f"{settings.folds} folds by {settings.by}"
    return {
        "Store": str(settings.store),
        "Classes": ", ".join(folded.patches.class_names),
        "Features": f"{encoder}, frozen; {CHOSEN[settings.classifier]}",
        "Split": f"{split}, seed {settings.seed}: each fold is predicted from the others",
    }
