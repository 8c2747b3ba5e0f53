"""``wsi-patches train hemblip --data CAPTIONS --start BLIP``: adapters that say what cells look like."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from wsi_patches.datasets.captioned import CaptionedPictures, read_captioned
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.result import Result
from wsi_patches.models.caption import Captioner, hash_of, load_captioner, save_adapter
from wsi_patches.models.classifier import choose_device
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import replacing, write_json
from wsi_patches.train.captions import (
    CaptionSettings,
    CaptionTask,
    CaptionView,
    mean_loss,
    split_captions,
    telling_words,
    word_f1,
)
from wsi_patches.train.curves import write_training_page
from wsi_patches.train.engine import Fitted, fit
from wsi_patches.train.logs import HISTORY
from wsi_patches.train.network_settings import TEST, TRAIN, VALIDATION
from wsi_patches.workflows.output import Existing, check_output
from wsi_patches.workflows.train_folder import PAGE, TrainingData, plain

__all__ = ["CaptionTraining", "train_captions_on_folder"]

FOLDER, SAID = "adapter", "test_captions.csv"
LIMITS = (
    "says what cells look like in the words that it was taught; not measured on other stains; for research use only"
)


@dataclass(frozen=True)
class CaptionTraining:
    """What was trained, and how good it is on pictures that were held back."""

    weights: Path
    """The adapter's folder, for ``caption --lora``."""
    page: Path
    figures: Mapping[str, float]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def results(self) -> Mapping[str, Result]:
        """None with pages of their own: the figures are in the notes and on the page."""
        return {}

    @property
    def baselines(self) -> Mapping[str, ClassificationResult]:
        """None with pages of their own."""
        return {}

    @property
    def evaluations(self) -> Mapping[str, Path]:
        """None."""
        return {}


def train_captions_on_folder(
    settings: CaptionSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> CaptionTraining:
    """Train adapters of BLIP on pictures with captions, and measure them on whole groups that were held back.

    Parameters and errors are those of `train_on_folder`; the data are one folder that ``export --format captions``
    wrote.
    """
    if len(data.inputs) != 1 or data.annotations is not None:
        msg = "task: caption learns from one folder, given with --data, that export --format captions wrote"
        raise UsageError(msg)
    ours = any((out / name).exists() for name in (HISTORY, "checkpoint.pt", PAGE))
    there = check_output(out, existing, ours=ours, what="a training")
    assert settings.start is not None
    pictures, captioner = read_captioned(data.inputs[0]), load_captioner(settings.start)
    splits = split_captions(pictures, settings)
    with torch.random.fork_rng():
        torch.manual_seed(settings.training.seed)
        captioner.add_adapters(settings.lora)
    if there and existing.overwrite:
        shutil.rmtree(out)
    parts = {
        name: CaptionView(pictures, np.flatnonzero(splits == name), captioner.side_px)
        for name in (TRAIN, VALIDATION, TEST)
    }
    base = hash_of(settings.start)
    task = CaptionTask(captioner, parts[TRAIN], parts[VALIDATION], settings)
    epochs = settings.training.epochs
    told = None if progress is None else lambda epoch: progress(epoch.epoch, epochs)
    fitted = fit(
        task, settings.training, out, resume=existing.resume, progress=told,
        depends_on={"data": _identity(settings, pictures, splits.tolist(), base)},
    )  # fmt: skip
    captioner.load_state_dict(fitted.best_state)
    return _written(settings, captioner, fitted, parts, out, base)


def _identity(settings: CaptionSettings, pictures: CaptionedPictures, splits: list[str], base: str) -> str:
    """Return a hash of what a resumed run must share beside the training loop's own settings."""
    kept = [asdict(settings.lora), settings.longest, settings.batch_size, base, splits, list(pictures.texts)]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()


def _written(
    settings: CaptionSettings,
    captioner: Captioner,
    fitted: Fitted,
    parts: Mapping[str, CaptionView],
    out: Path,
    base: str,
) -> CaptionTraining:
    captioner.eval()
    test, learnt = parts[TEST], parts[TRAIN].texts
    device = choose_device(settings.training.device)
    said = _said(captioner, test, settings, device)
    figures = _figures(settings, captioner, test, learnt, said)
    weights = save_adapter(out / FOLDER, captioner, settings.lora, settings.start.name if settings.start else "", base)
    _write_said(out / SAID, test, said)
    counts = {name: len(view) for name, view in parts.items()}
    card = {
        "name": settings.name, "base_sha256": base, "adapter_sha256": hash_of(weights.parent), "pictures": counts,
        "scores": figures, "limits": LIMITS,
    }  # fmt: skip
    write_json(out / "card.json", card, durable=False)
    notes = _notes(figures, counts)
    details = {
        "Checkpoint (SHA-256)": base,
        "On the test split": " ".join(notes),
        "Limits": LIMITS,
        **{name: plain(value) for name, value in asdict(settings).items()},
    }
    write_training_page(out / PAGE, f"Training of {settings.name}", fitted.history, fitted.best_epoch, details, ())
    return CaptionTraining(weights.parent, out / PAGE, figures, notes)


def _said(captioner: Captioner, test: CaptionView, settings: CaptionSettings, device: torch.device) -> list[str]:
    size, said = settings.batch_size, list[str]()
    for start in range(0, len(test), size):
        rows = np.arange(start, min(start + size, len(test)))
        said += captioner.captions(test.images(rows).to(device), settings.longest)
    return said


def _figures(
    settings: CaptionSettings, captioner: Captioner, test: CaptionView, learnt: Sequence[str], said: Sequence[str]
) -> dict[str, float]:
    """Measure captions beside the commonest one that was learnt, and the loss beside that of shuffled captions."""
    device = choose_device(settings.training.device)
    telling = telling_words([*learnt, *test.texts])
    commonest = Counter(learnt).most_common(1)[0][0]
    shuffled = np.random.default_rng(settings.split_seed).permutation(np.array(test.texts, object)).tolist()
    return {
        "test_loss": mean_loss(captioner, test, test.texts, settings, device),
        "test_loss_shuffled": mean_loss(captioner, test, shuffled, settings, device),
        "word_f1": word_f1(said, test.texts, telling),
        "word_f1_commonest": word_f1([commonest] * len(said), test.texts, telling),
        "equal": float(np.mean([one.lower() == other.lower() for one, other in zip(said, test.texts, strict=True)])),
    }


def _notes(figures: Mapping[str, float], counts: Mapping[str, int]) -> tuple[str, ...]:
    return (
        f"Learnt from {counts[TRAIN]} pictures, the epoch chosen by {counts[VALIDATION]}, measured on {counts[TEST]}.",
        f"F1 of the words that tell pictures apart: {figures['word_f1']:.3f}; always the commonest caption: "
        f"{figures['word_f1_commonest']:.3f}.",
        f"Loss of a word: {figures['test_loss']:.3f} nats; with captions of other pictures: "
        f"{figures['test_loss_shuffled']:.3f}.",
    )


def _write_said(path: Path, test: CaptionView, said: Sequence[str]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("file", "caption", "said"))
        for row, text, mine in zip(test.rows.tolist(), test.texts, said, strict=True):
            writer.writerow((test.pictures.paths[row].name, text, mine))
