"""``wsi-patches train simclr --data STORE``: patches without labels into an encoder that every command takes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import yaml

from wsi_patches.datasets.groups import GroupRule
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.models.encoder_card import EncoderCard
from wsi_patches.models.encoder_file import NAME
from wsi_patches.models.encoders import ENCODERS, find_encoder
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import write_whole
from wsi_patches.train.pretrain import TrainedEncoder, train_encoder
from wsi_patches.train.pretrain_settings import PretrainSettings
from wsi_patches.workflows.labelled import readable_patches
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.store_bags import open_stores
from wsi_patches.workflows.train_folder import TrainingData
from wsi_patches.workflows.train_measured import WEIGHTS, MeasuredTraining, check_training, write_measured

__all__ = ["ENCODER_FILE", "EncoderTraining", "train_encoder_on_stores"]

EncoderTraining = MeasuredTraining[TrainedEncoder, EncoderCard, ClassificationResult]
"""What was trained; an encoder has no classes to be measured by."""
ENCODER_FILE = "encoder.yaml"


def train_encoder_on_stores(
    settings: PretrainSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> EncoderTraining:
    """Train an encoder on the patches of stores, without labels, and write it as ``encoder.yaml`` and its weights.

    Parameters and errors are those of `train_on_folder`; the data are stores of patches.
    """
    if data.annotations is not None or data.groups != GroupRule():
        msg = "task: pretrain learns from stores without labels: give --group-table or --group-pattern to extract"
        raise UsageError(msg)
    if not NAME.fullmatch(settings.name) or settings.name in ENCODERS:
        msg = f"{settings.name!r} cannot be an encoder's name: small letters, digits, - and _, and none that is taken"
        raise UsageError(msg)
    there = check_training(out, existing)
    patches = open_stores(data.inputs)
    kept = np.concatenate([readable_patches(store) for store in patches.stores])
    if there and existing.overwrite:
        shutil.rmtree(out)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    trained = train_encoder(settings, patches, kept, out, told, resume=existing.resume)
    done: EncoderTraining = write_measured(settings, trained, trained.card, {}, out, notes=_told(trained, out))
    _write_encoder(settings, trained.card, out)
    return done


def _told(trained: TrainedEncoder, out: Path) -> tuple[str, ...]:
    scores, count = trained.card.scores, int(trained.card.scores["test_patches"])
    again, was = scores["test_found_again"], scores["test_found_again_before"]
    return (
        f"of {count} patches of the test split, {again:.1%} find their own other view nearest, {was:.1%} before the "
        f"training; spread {scores['test_spread']:.2f} (0: all alike)",
        f"what its features tell of labels: wsi-patches probe STORE --encoder {out / ENCODER_FILE} -o probe/",
    )


def _write_encoder(settings: PretrainSettings, card: EncoderCard, out: Path) -> None:
    """Write the YAML file that ``--encoder`` takes, and hold it against the weights."""
    content = (out / WEIGHTS).read_bytes()
    values = {
        "name": card.name,
        "library": "wsi-patches",
        "network": card.architecture,
        "weights": WEIGHTS,
        "sha256": hashlib.sha256(content).hexdigest(),
        "input_px": card.input_px,
        "mean": list(card.mean),
        "std": list(card.std),
        "dim": card.dim,
        "options": dict(card.settings),
        "licence": settings.licence,
    }
    text = "# An encoder that was trained without labels; --encoder takes this file.\n"
    write_whole(out / ENCODER_FILE, (text + yaml.safe_dump(values, sort_keys=False)).encode(), durable=False)
    find_encoder(str(out / ENCODER_FILE)).load()
