"""What a training that is measured on its test split leaves behind: weights, card, evaluations, and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.page import NO_BASELINES
from wsi_patches.evaluate.result import Result
from wsi_patches.models.bag_card import BagCard
from wsi_patches.models.card import CounterCard, LabelCard
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.encoder_card import EncoderCard
from wsi_patches.models.weights import save_weights
from wsi_patches.stores.files import write_json
from wsi_patches.train.curves import write_training_page
from wsi_patches.train.logs import HISTORY, Epoch
from wsi_patches.workflows.evaluation_files import write_evaluation
from wsi_patches.workflows.output import Existing, check_output
from wsi_patches.workflows.train_folder import PAGE, TEST_SPLIT, plain

__all__ = ["WEIGHTS", "MeasuredTraining", "Trained", "check_training", "write_measured"]

WEIGHTS = "weights.safetensors"


class Trained(Protocol):
    """What training came to."""

    @property
    def network(self) -> nn.Module:
        """At its best epoch."""

    @property
    def history(self) -> tuple[Epoch, ...]:
        """Figures of each epoch."""

    @property
    def best_epoch(self) -> int:
        """The one that was kept."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""


TrainedT = TypeVar("TrainedT", bound=Trained)
CardT = TypeVar("CardT", bound=CounterCard | DetectorCard | LabelCard | BagCard | EncoderCard)
ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True)
class MeasuredTraining(Generic[TrainedT, CardT, ResultT]):
    """What was trained, and how good it is."""

    trained: TrainedT
    card: CardT
    """With its scores."""
    weights: Path
    """The weight file, its card within."""
    page: Path
    """Curves and settings."""
    results: Mapping[str, ResultT]
    """On the test split; a name a result."""
    evaluations: Mapping[str, Path]
    """The page of each result."""
    notes: tuple[str, ...] = ()
    baselines: Mapping[str, ClassificationResult] = field(default_factory=dict)
    """What simpler ways reach on the same."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return self.trained.warnings


def check_training(out: Path, existing: Existing) -> bool:
    """Return whether a folder holds an earlier training to go on from or to replace; errors are `check_output`'s."""
    ours = any((out / name).exists() for name in (HISTORY, WEIGHTS, "checkpoint.pt"))
    return check_output(out, existing, ours=ours, what="a training")


def write_measured(
    settings: Any,
    trained: TrainedT,
    card: CardT,
    results: Mapping[str, ResultT],
    out: Path,
    notes: Sequence[str] = (),
    galleries: Mapping[str, NDArray[np.uint8] | None] | None = None,
    baselines: Mapping[str, ClassificationResult] = NO_BASELINES,
    tables: Mapping[str, Mapping[str, Sequence[Sequence[str]]]] | None = None,
) -> MeasuredTraining[TrainedT, CardT, ResultT]:
    """Write a model, what it was measured at, and, last, the page.

    Parameters
    ----------
    settings
        Of the training: a dataclass.
    trained
        What it came to.
    card
        Of the model, with its scores.
    results
        On the test split; each gets a folder of its name in ``test``, a single one called ``test_split`` that itself.
    out
        The folder to write.
    notes
        What is wrong with pictures that were not learnt from.
    galleries
        What went wrong, uint8 RGB, by a result's name.
    baselines
        What simpler ways reach on the test split.
    tables
        Further tables for the page of a result, by its name: rows of text by title.
    """
    weights, page = out / WEIGHTS, out / PAGE
    save_weights(weights, trained.network, card)
    write_json(out / "card.json", card.to_dict(), durable=False)
    told = {"Model": card.title, "Trained on": card.trained_on, "Split": card.split, "Limits": card.limits}
    evaluations = {}
    for name, result in results.items():
        of, folder = ("", out / "test") if name == TEST_SPLIT else (f": {name}", out / "test" / name)
        title, errors = f"{card.name} on its test split{of}", (galleries or {}).get(name)
        more = (tables or {}).get(name, {})
        evaluations[name] = write_evaluation(
            folder, title, result, errors, baselines=baselines, details=told, tables=more
        )
    details = {
        **told,
        "Scores on the test split": ", ".join(f"{name} {value:.4g}" for name, value in card.scores.items()),
        **{name: plain(value) for name, value in asdict(settings).items()},
    }
    title = f"Training of {card.name}"
    write_training_page(page, title, trained.history, trained.best_epoch, details, trained.warnings)
    return MeasuredTraining(trained, card, weights, page, results, evaluations, tuple(notes), baselines)
