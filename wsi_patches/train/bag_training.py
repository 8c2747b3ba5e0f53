"""Training a model of slide bags: split, aggregator, training, calibration, test, and what simpler ways reach."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.datasets.split_file import read_split, write_split
from wsi_patches.datasets.splits import Split, group_warning, make_split
from wsi_patches.errors import UsageError
from wsi_patches.models.aggregators import AGGREGATORS, Aggregator
from wsi_patches.models.bag_card import BagCard
from wsi_patches.models.classifier import choose_device, meant
from wsi_patches.train.bag_settings import ARCHITECTURES, BagSettings
from wsi_patches.train.bag_task import BagTask, said_of
from wsi_patches.train.bags import BagSet
from wsi_patches.train.calibrate import fit_isotonic, fit_temperature, tempered
from wsi_patches.train.classifier_network import plain_values
from wsi_patches.train.engine import Epoch, fit
from wsi_patches.train.network_settings import SHARES, TEST, TRAIN, VALIDATION
from wsi_patches.train.probe import probe
from wsi_patches.train.store_patches import some_of

__all__ = ["Told", "TrainedBags", "simpler", "split_bags", "train_bags"]

LIMITS = (
    "tells the labels of slides or patients that it was taught, from patches cut and described alike; attention says "
    "what it went by, not why; for research use"
)
PAPER = {
    "mean_pooling": ("", ""),
    "attention_mil": ("Ilse, Tomczak, Welling, Attention-based deep multiple instance learning, ICML 2018", ""),
    "set_transformer": ("Lee and others, Set transformer, ICML 2019", ""),
}
MOST_MEASURED = 20_000
"""Patches, evenly spaced, that the scale of features is measured on."""
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainedBags:
    """What training came to; the test split was asked once."""

    network: nn.Module
    """Of the best epoch, in evaluation mode."""
    card: BagCard
    """Calibrated, without scores."""
    history: tuple[Epoch, ...]
    best_epoch: int
    split: Split
    """A row a bag."""
    bags: BagSet
    sides: Mapping[str, NDArray[np.int64]]
    """Numbers of the bags of each split."""
    probabilities: NDArray[np.float32]
    """Calibrated, of the bags of the test split, ``(n, classes)``."""
    left_out: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return (*self.split.warnings, *self.left_out)


def train_bags(
    settings: BagSettings,
    bags: BagSet,
    origin: Mapping[str, dict[str, Any]],
    folder: Path,
    progress: Told | None = None,
    *,
    resume: bool = False,
    left_out: tuple[str, ...] = (),
) -> TrainedBags:
    """Train an aggregator on labelled bags, calibrate it, and ask it about bags that it never saw.

    Parameters
    ----------
    settings
        What to train, and how.
    bags
        What to learn from.
    origin
        ``encoder``: the identity of what described the patches; ``patches``: their side and resolution.
    folder
        Gets ``split.csv`` and what the training loop writes.
    progress
        Told how many epochs are done.
    resume
        Go on where a run with the same settings and bags was killed.
    left_out
        What was not learnt from, in sentences, for the result.

    Raises
    ------
    UsageError
        There are too few bags, a split lacks a label, the aggregator does not know a setting, or a resumed run differs.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    split, sides = split_bags(settings, bags)
    _check(settings, bags, sides)
    network = _first_network(settings, bags, sides[TRAIN])
    task = BagTask(network, bags, sides[TRAIN], sides[VALIDATION], settings)
    write_split(split, folder, overwrite=resume)
    epochs, device = settings.training.epochs, choose_device(settings.training.device)
    fitted = fit(
        task, settings.training, folder, resume=resume, depends_on={"bags": _identity(settings, bags, split)},
        progress=None if progress is None else lambda epoch: progress("epochs", epoch.epoch, epochs),
    )  # fmt: skip
    network.load_state_dict(fitted.best_state)
    network.to(device).eval()
    card = _calibrated(settings, _card(settings, bags, origin, sides), _logits(network, bags, sides[VALIDATION]), bags,
                       sides[VALIDATION])  # fmt: skip
    said = meant(tempered(_logits(network, bags, sides[TEST]), card.temperature), card)
    return TrainedBags(network, card, fitted.history, fitted.best_epoch, split, bags, sides, said, left_out)


def split_bags(settings: BagSettings, bags: BagSet) -> tuple[Split, dict[str, NDArray[np.int64]]]:
    """Deal whole bags, of whole patients, to splits; or take the split that the settings name.

    Returns
    -------
    The split, a row a bag, and the numbers of the bags in each part of it.

    Raises
    ------
    UsageError
        There are too few bags, or the file does not split these bags.
    """
    rows = [bag.row for bag in bags.bags]
    if settings.split is None:
        made = make_split(rows, settings.by, settings.shares, settings.split_seed)
    else:
        warning = group_warning(rows)
        names = _read_sides(settings.split, bags)
        made = Split(tuple(rows), names, warnings=(warning,) if warning else ())
    of_bag = np.array(made.names, str)
    return made, {name: np.flatnonzero(of_bag == name) for name in SHARES}


def simpler(bags: BagSet, sides: Mapping[str, NDArray[np.int64]], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a logistic regression on one vector a bag says of the test bags, ``(n, classes)``.

    It learns from train and validation; its penalty is chosen by predicting each of them from the other.

    Parameters
    ----------
    bags, sides
        The bags and their split.
    vectors
        The mean of each bag's features, or of its colours, ``(bags, k)``.

    Raises
    ------
    UsageError
        Train and validation hold too little of a class.
    MissingExtra
        scikit-learn is not installed.
    """
    order = np.concatenate([sides[name] for name in SHARES])
    folds = np.repeat(np.arange(len(SHARES)), [len(sides[name]) for name in SHARES])
    said = probe(vectors[order], bags.truth[order], bags.ids[order], folds, bags.class_names)
    return np.asarray(said[folds == list(SHARES).index(TEST)], np.float32)


def _read_sides(path: Path, bags: BagSet) -> tuple[str, ...]:
    """Return the split of each bag by a file that says it of slides, or of the bags themselves."""
    made = read_split(path)
    known = {row.id: name for row, name in zip(made.rows, made.names, strict=True)}
    out = []
    for bag in bags.bags:
        found = {known[one] for one in (bag.id, *(name for _, name in bag.slides)) if one in known}
        if len(found) != 1 or not found <= set(SHARES):
            told = f"puts {bag.id} into {', '.join(sorted(found))}" if found else f"says nothing of {bag.id}"
            msg = f"{path} {told}: each bag must lie in one of {', '.join(SHARES)}, as `wsi-patches split` writes it"
            raise UsageError(msg)
        out.append(found.pop())
    return tuple(out)


def _check(settings: BagSettings, bags: BagSet, sides: Mapping[str, NDArray[np.int64]]) -> None:
    for name, numbers in sides.items():
        counts = np.bincount(bags.truth[numbers], minlength=len(bags.class_names)).tolist()
        absent = [one for one, count in zip(bags.class_names, counts, strict=True) if not count]
        if absent:
            msg = f"the split's {name} holds no bag of {', '.join(absent)}: give more slides, or another split_seed"
            raise UsageError(msg)
    if settings.calibration == "isotonic" and len(bags.class_names) != 2:
        msg = f"isotonic calibration is for two labels, found {', '.join(bags.class_names)}: use temperature"
        raise UsageError(msg)


def _first_network(settings: BagSettings, bags: BagSet, train: NDArray[np.int64]) -> Aggregator:
    name, own = ARCHITECTURES[settings.aggregator]
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.training.seed)
        try:
            network = AGGREGATORS[name](
                len(bags.class_names), dim=bags.features.shape[1], **{**settings.network, **own}
            )
        except TypeError as error:
            msg = f"network: aggregator {settings.aggregator} does not know these settings: {error}"
            raise UsageError(msg) from error
    rows = np.concatenate([bags.bags[number].rows for number in train.tolist()])
    seen = bags.features[some_of(rows, MOST_MEASURED)].astype(np.float64)
    network.scale_by(*(torch.tensor(one, dtype=torch.float32) for one in (seen.mean(axis=0), seen.std(axis=0))))
    return network


def _logits(network: nn.Module, bags: BagSet, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    device = next(network.parameters()).device
    return np.stack([said_of(network, bags.instances(number), device)[0] for number in numbers.tolist()])


def _card(
    settings: BagSettings, bags: BagSet, origin: Mapping[str, dict[str, Any]], sides: Mapping[str, NDArray[np.int64]]
) -> BagCard:
    name, own = ARCHITECTURES[settings.aggregator]
    counts = np.bincount(bags.truth[sides[TRAIN]], minlength=len(bags.class_names)).tolist()
    told = ", ".join(f"{count} {one}" for count, one in zip(counts, bags.class_names, strict=True))
    together = f"file {settings.split.name}" if settings.split else f"by {settings.by}"
    return BagCard(
        name=settings.name,
        title=f"Labels of {settings.bag}s by their patches: {settings.aggregator}",
        architecture=name,
        settings=plain_values({"dim": bags.features.shape[1], **settings.network, **own}),
        classes=bags.class_names,
        trained_on=f"{told}: bags of {sum(len(bags.bags[number].rows) for number in sides[TRAIN].tolist())} patches",
        limits=LIMITS,
        licence=settings.licence,
        paper=PAPER[name][0],
        doi=PAPER[name][1],
        bag=settings.bag,
        split=f"validation chose the epoch and calibrated, and test was held back: {together}",
        encoder=origin["encoder"],
        patches=origin["patches"],
    )


def _calibrated(
    settings: BagSettings, card: BagCard, logits: NDArray[np.float32], bags: BagSet, numbers: NDArray[np.int64]
) -> BagCard:
    """Fit what the settings ask for on bags that were held out."""
    truth = bags.truth[numbers]
    if settings.calibration == "none":
        return card
    card = replace(card, temperature=fit_temperature(logits, truth))
    if settings.calibration == "isotonic":
        first = tempered(logits, card.temperature)[:, 0]
        card = replace(card, isotonic=fit_isotonic(first, truth == 0))
    return card


def _identity(settings: BagSettings, bags: BagSet, split: Split) -> str:
    """Return a hash of what a resumed run must share beside the training loop's own settings."""
    kept: dict[str, Any] = {name: value for name, value in asdict(settings).items() if name not in ("name", "training")}
    digest = hashlib.sha256(repr(sorted(kept.items())).encode())
    for column in (bags.ids, bags.truth, np.array(split.names, str)):
        digest.update("\n".join(map(str, column.tolist())).encode("utf-8", "surrogateescape"))
    digest.update(np.ascontiguousarray(bags.features).tobytes())
    return digest.hexdigest()
