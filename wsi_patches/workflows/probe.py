"""``wsi-patches probe``: what frozen features tell of the classes of a store, beside what colour alone tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.datasets.split_file import read_split
from wsi_patches.datasets.splits import By, Split, SplitRow, keep_together, make_split
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult, measure_classes
from wsi_patches.evaluate.gallery import classification_gallery
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.predictions_file import write_predictions
from wsi_patches.locations import Location
from wsi_patches.pipeline import Progress
from wsi_patches.stores import Store, open_store
from wsi_patches.workflows.evaluation_files import PAGE, write_evaluation
from wsi_patches.workflows.labelled import LabelledPatches, labelled_patches
from wsi_patches.workflows.output import Existing, check_output, make_folder
from wsi_patches.workflows.split import slide_rows

if TYPE_CHECKING:
    from wsi_patches.models.encoders import FrozenEncoder
    from wsi_patches.train.features import Describe
    from wsi_patches.train.probe import ProbeKind

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

COLOUR = "colour alone"
NEIGHBOURS = "nearest neighbours"
FEW_FOLDS, FIXED_PENALTY = 3, (0.1,)
"""With fewer folds than the first there is none left to choose the linear probe's penalty by: it is the second."""
SIDES = ("train", "validation", "test")
"""Names of the parts of a split that are not each predicted from the others."""


@dataclass(frozen=True)
class ProbeSettings:
    """What ``probe`` is asked to do."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    store: Location
    out: Path
    target: str | None = None
    """``label``, or an annotated class; see `labelled_patches`."""
    encoder: str = "lite0"
    """Its name, or a YAML file that describes it; see `wsi_patches.models.encoder_file`."""
    device: str = "auto"
    folds: int = 5
    by: By = "patient"
    """What is kept together in a fold."""
    split: Path | None = None
    """Folds that are there already: the ``split.csv`` of ``wsi-patches split``."""
    draws: int = 1000
    seed: int = 0
    overwrite: bool = False


class Labelled(Protocol):
    """``n`` patches whose class is known: `LabelledPatches` of a store, or those that a training held back."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """All classes."""

    @property
    def ids(self) -> NDArray[np.str_]:
        """A name for each patch, shape ``(n,)``."""

    @property
    def truth(self) -> NDArray[np.int32]:
        """Index into ``class_names``, shape ``(n,)``."""

    def __len__(self) -> int: ...

    def read(self, rows: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``rows``, uint8 RGB of shape ``(n, h, w, 3)``."""


@dataclass(frozen=True)
class Folded:
    """Labelled patches and the fold that each is predicted in; what ``split`` keeps together is in one."""

    patches: Labelled
    folds: NDArray[np.int64]
    """Shape ``(n,)``."""
    groups: NDArray[np.str_]
    """What was kept together, shape ``(n,)``."""
    group_kind: str
    warnings: tuple[str, ...]

    def probed(self, features: NDArray[np.float32], kind: ProbeKind, draws: int, seed: int) -> ClassificationResult:
        """Return how well a probe on features of shape ``(n, dim)`` predicts each fold from the others."""
        from wsi_patches.train.probe import probe

        patches = self.patches
        grid = FIXED_PENALTY if kind == "linear" and len(np.unique(self.folds)) < FEW_FOLDS else None
        probabilities = probe(features, patches.truth, self.groups, self.folds, patches.class_names, kind, grid)
        return self.measured(probabilities, draws, seed)

    def measured(self, probabilities: NDArray[np.float32], draws: int, seed: int) -> ClassificationResult:
        """Return how good probabilities of shape ``(n, classes)`` are."""
        patches = self.patches
        predictions = Predictions(patches.class_names, patches.ids, self.groups, patches.truth, probabilities)
        result = measure_classes(predictions, draws=draws, seed=seed, group_kind=self.group_kind)
        return replace(result, warnings=(*self.warnings, *result.warnings))


@dataclass(frozen=True)
class ProbeResult:
    """What was measured."""

    page: Path
    result: ClassificationResult
    """The linear probe."""
    baselines: Mapping[str, ClassificationResult]


def probe_store(settings: ProbeSettings, progress: Progress | None = None) -> ProbeResult:
    """Predict each fold of a store's labelled patches from the others by frozen features, and measure that.

    Raises
    ------
    UsageError
        The store has no two classes, or they cannot be put into such folds.
    ModelError
        The encoder or its weights cannot be used.
    StoreError
        The store cannot be read.
    MissingExtra
        The extra ``train`` is not installed.
    """
    from wsi_patches.models.encoders import FrozenEncoder
    from wsi_patches.train.features import store_features

    ours = (settings.out / PAGE).is_file()
    existing = Existing(overwrite=settings.overwrite)
    check_output(settings.out, existing, ours=ours, what="an evaluation", resumable=False)
    encoder = FrozenEncoder.load(settings.encoder, settings.device)
    name = encoder.encoder.name
    patches = labelled_patches(open_store(settings.store), settings.target)
    made = read_split(settings.split) if settings.split is not None else None
    folded = fold_patches(patches, settings.by, settings.folds, settings.seed, made)
    features = store_features(patches.store, encoder, progress, describe=in_engine(encoder))[patches.positions]
    result = folded.probed(features, "linear", settings.draws, settings.seed)
    neighbours = folded.probed(features, "knn", settings.draws, settings.seed)
    baselines = {NEIGHBOURS: neighbours, **colour_alone(folded, settings.draws, settings.seed)}
    make_folder(settings.out)
    for label, baseline in baselines.items():
        file = f"predictions_{label.replace(', ', '_').replace(' ', '_')}.csv"
        write_predictions(settings.out / file, baseline.predictions)
    gallery = classification_gallery(patches, result.predictions)
    title = f"Linear probe on frozen {name} features, {settings.store.name}"
    details = _details(settings, name, folded)
    page = write_evaluation(settings.out, title, result, gallery, baselines=baselines, details=details)
    return ProbeResult(page, result, baselines)


def in_engine(encoder: FrozenEncoder) -> Describe:
    """Return what runs an encoder in an engine, which reads ahead; in batches of one size, so that bits repeat."""
    from wsi_patches.infer.engine import Engine, EngineSettings
    from wsi_patches.models.backends import TorchBackend

    backend = TorchBackend(encoder.network, encoder.encoder, encoder.device)
    engine = Engine(backend, EngineSettings(encoder.batch_size))
    return lambda source, rows: (batch.outputs for batch in engine.run(source, rows))


def colour_alone(folded: Folded, draws: int, seed: int) -> dict[str, ClassificationResult]:
    """Return what means and deviations of red, green and blue tell of the same patches in the same folds.

    Both probes are tried: where stain and lamp differ from batch to batch, neighbours tell more than a line.
    """
    from wsi_patches.train.features import colour_of

    colours = colour_of(folded.patches)
    return {
        COLOUR: folded.probed(colours, "linear", draws, seed),
        f"{COLOUR}, {NEIGHBOURS}": folded.probed(colours, "knn", draws, seed),
    }


def fold_patches(
    patches: LabelledPatches, by: By = "patient", folds: int = 5, seed: int = 0, made: Split | None = None
) -> Folded:
    """Put labelled patches into folds, whole patients (or else slides) into one.

    Parameters
    ----------
    patches
        What is put into folds.
    by, folds, seed
        As `make_split` takes them.
    made
        A split of the store's slides that is taken instead.

    Raises
    ------
    UsageError
        There are too few groups, or the split leaves a slide out.
    """
    rows = _rows(patches)
    if made is not None and set(made.names) & set(SIDES):
        msg = f"the split has the names {', '.join(sorted(set(made.names)))}: a probe takes folds (split --folds)"
        raise UsageError(msg)
    made = made or make_split(rows, by, folds, seed)
    of_slide = {row.id: name for row, name in zip(made.rows, made.names, strict=True)}
    missing = [row.id for row in rows if row.id not in of_slide]
    if missing:
        msg = f"the split says nothing of slide {missing[0]} of {patches.store.path}: split the store again"
        raise UsageError(msg)
    numbers = {name: number for number, name in enumerate(sorted(set(of_slide.values())))}
    together = dict(zip((row.id for row in rows), keep_together(rows, made.by or by), strict=True))
    ids = [patches.store.slides[row].id for row in patches.slides.tolist()]
    fold_of_patch = np.array([numbers[of_slide[one]] for one in ids], np.int64)
    groups = np.array([together[one] for one in ids], str)
    kind = "patient" if all(name.startswith("patient ") for name in groups.tolist()) else "slide"
    return Folded(patches, fold_of_patch, groups, kind, made.warnings)


def _rows(patches: LabelledPatches) -> list[SplitRow]:
    """Return the slides of labelled patches; the label that folds share evenly is the slide's rarest class."""
    store: Store = patches.store
    highest = np.full(len(store.slides), -1, np.int64)
    np.maximum.at(highest, patches.slides, patches.truth)
    known = {row.id: row for row in slide_rows(store)}
    rows = [known[record.id] for record, label in zip(store.slides, highest.tolist(), strict=True) if label >= 0]
    labels = [patches.class_names[label] for label in highest.tolist() if label >= 0]
    return [
        SplitRow(row.id, row.path, row.group, row.group_kind, label, row.slide)
        for row, label in zip(rows, labels, strict=True)
    ]


def _details(settings: ProbeSettings, encoder: str, folded: Folded) -> dict[str, str]:
    split = f"file {settings.split}" if settings.split else f"{settings.folds} folds by {settings.by}"
    return {
        "Store": str(settings.store),
        "Classes": ", ".join(folded.patches.class_names),
        "Features": f"{encoder}, frozen; the linear probe's penalty is chosen within the training folds",
        "Split": f"{split}, seed {settings.seed}: each fold is predicted from the others",
    }
