"""Training an encoder on patches without labels: split, network, training, and how it describes patches held back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.datasets.split_file import read_split, write_split
from wsi_patches.datasets.splits import Split, SplitRow, group_warning, make_split
from wsi_patches.errors import UsageError
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.encoder_card import EncoderCard
from wsi_patches.models.encoder_libraries import without_head
from wsi_patches.models.systems import find_system
from wsi_patches.train.bags import record_row
from wsi_patches.train.classifier_network import changes_of, colours_for, first_network, plain_values
from wsi_patches.train.engine import Epoch, fit
from wsi_patches.train.network_settings import SHARES, TEST, TRAIN, VALIDATION
from wsi_patches.train.pretrain_settings import Method, PretrainSettings
from wsi_patches.train.pretrain_task import DinoNet, DinoTask, SimClrNet, SimClrTask, ViewTask
from wsi_patches.train.store_patches import StorePatches, some_of

__all__ = ["TrainedEncoder", "split_store_patches", "train_encoder"]

LIMITS = (
    "describes patches like those that it learnt from, and was taught no classes: what its features are good for, "
    "`wsi-patches probe` measures; for research use"
)
PAPERS: dict[Method, str] = {
    "simclr": "Chen and others, A simple framework for contrastive learning of visual representations, ICML 2020",
    "dino": "Caron and others, Emerging properties in self-supervised vision transformers, ICCV 2021",
}
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainedEncoder:
    """What training came to."""

    network: nn.Module
    """The backbone of the kept epoch, in evaluation mode: images to features."""
    card: EncoderCard
    """With its scores on the test split."""
    history: tuple[Epoch, ...]
    best_epoch: int
    split: Split
    """A row a slide, or a patch where these were dealt."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return self.split.warnings


@dataclass(frozen=True)
class _Rows:
    """Some patches of stores, as what measures colours reads them."""

    patches: StorePatches
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions: object) -> NDArray[np.uint8]:
        return self.patches.read(self.rows[np.asarray(positions, np.int64)])


def train_encoder(
    settings: PretrainSettings,
    patches: StorePatches,
    kept: NDArray[np.bool_],
    folder: Path,
    progress: Told | None = None,
    *,
    resume: bool = False,
) -> TrainedEncoder:
    """Train an encoder on patches without labels, and say how it describes patches of slides that it never saw.

    Parameters
    ----------
    settings
        What to train, and how.
    patches
        Of some stores.
    kept
        Which of them count, shape ``(n,)``: those that could be read.
    folder
        Gets ``split.csv`` and what the training loop writes.
    progress
        Told how many epochs are done.
    resume
        Go on where a run with the same settings and patches was killed.

    Raises
    ------
    UsageError
        There are too few slides or patches, the network cannot be built, or a resumed run differs.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    MissingExtra
        The extra ``pretrain`` is not installed.
    """
    split, sides = split_store_patches(settings, patches, kept)
    few = min(sides, key=lambda name: len(sides[name]))
    if len(sides[few]) < 2:
        msg = f"the split's {few} holds {len(sides[few])} patches, and views are told from those of others: give more"
        raise UsageError(msg)
    task = _task(settings, patches, sides)
    device = choose_device(settings.training.device)
    task.network.to(device).eval()
    test = some_of(sides[TEST], settings.validation_patches)
    before = _described(task, test, device)
    write_split(split, folder, overwrite=resume)
    epochs = settings.training.epochs
    fitted = fit(
        task, settings.training, folder, resume=resume, depends_on={"patches": _identity(settings, patches, sides)},
        progress=None if progress is None else lambda epoch: progress("epochs", epoch.epoch, epochs),
    )  # fmt: skip
    task.network.load_state_dict(fitted.best_state)
    task.network.to(device).eval()
    scores = {
        **{f"test_{name}_before": value for name, value in before.items()},
        **{f"test_{name}": value for name, value in _described(task, test, device).items()},
        "test_patches": float(len(test)),
        "best_epoch": float(fitted.best_epoch),
    }
    card = _card(settings, task, len(sides[TRAIN]), scores)
    backbone: Any = task.network.backbone
    return TrainedEncoder(backbone, card, fitted.history, fitted.best_epoch, split)


def split_store_patches(
    settings: PretrainSettings, patches: StorePatches, kept: NDArray[np.bool_]
) -> tuple[Split, dict[str, NDArray[np.int64]]]:
    """Deal whole patients (or slides, or single patches) to splits; or take the split that the settings name.

    Returns
    -------
    The split, and the positions of the patches in each part of it; a slide that a file leaves out is in none.

    Raises
    ------
    UsageError
        There are too few slides, or the file does not name such parts.
    """
    rows, of_patch = _rows(settings, patches)
    if settings.split is not None:
        file = read_split(settings.split)
        known = {row.id: name for row, name in zip(file.rows, file.names, strict=True)}
        names = [known.get(row.id, known.get(row.group or "", "")) for row in rows]
        if not set(SHARES) <= set(names):
            found = ", ".join(sorted(set(names) - {""})) or "none of the stores' slides"
            msg = f"{settings.split} names {found}: an encoder's split has slides in {', '.join(SHARES)}"
            raise UsageError(msg)
        warning = group_warning(rows)
        split = Split(tuple(rows), tuple(names), warnings=(warning,) if warning else ())
    else:
        split = make_split(rows, settings.by, settings.shares, settings.split_seed)
    of_row = np.array(split.names, str)[of_patch]
    return split, {name: np.flatnonzero((of_row == name) & kept) for name in SHARES}


def _rows(settings: PretrainSettings, patches: StorePatches) -> tuple[list[SplitRow], NDArray[np.int64]]:
    """Return what is dealt, without labels, and the row of each patch."""
    rows: list[SplitRow] = []
    of_patch = []
    for store in patches.stores:
        of_patch.append(store.slide_rows + len(rows))
        rows += [SplitRow(r.id, r.path, r.group, r.group_kind, None, r.slide) for r in map(record_row, store.slides)]
    of_slide = np.concatenate(of_patch)
    if settings.by != "none" or settings.split is not None:
        return rows, of_slide
    slides = [rows[slide] for slide in of_slide.tolist()]
    single = [
        SplitRow(f"{row.id}#{number}", row.path, row.group, row.group_kind, None, row.id)
        for number, row in enumerate(slides)
    ]
    return single, np.arange(len(single))


def _task(
    settings: PretrainSettings, patches: StorePatches, sides: Mapping[str, NDArray[np.int64]]
) -> SimClrTask | DinoTask:
    backbone, colours = _backbone(settings), colours_for(settings, _Rows(patches, sides[TRAIN]))
    dim = _dim(backbone, settings.input_px)
    shown = patches, sides[TRAIN], some_of(sides[VALIDATION], settings.validation_patches), settings
    taken = _Frame(settings.input_px, colours.mean, colours.std)
    with torch.random.fork_rng([]):
        torch.manual_seed(settings.training.seed)
        if settings.method == "simclr":
            return SimClrTask(SimClrNet(backbone, dim, settings), taken, *shown)
        return DinoTask(DinoNet(backbone, _backbone(settings), dim, settings), taken, *shown)


@dataclass(frozen=True)
class _Frame:
    """What the network takes."""

    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def _card(settings: PretrainSettings, task: ViewTask, count: int, scores: dict[str, float]) -> EncoderCard:
    system, backbone = find_system(settings.architecture), task.network.backbone
    held = f"by {settings.by}" if settings.split is None else "as a file has it"
    return EncoderCard(
        name=settings.name,
        title=f"Features learnt without labels by {settings.method}",
        architecture=settings.architecture,
        settings=plain_values({name: value for name, value in settings.network.items() if name != "seed"}),
        classes=(),
        trained_on=f"{count} patches of {task.patches.cut}",
        limits=LIMITS,
        licence=settings.licence,
        paper=f"{PAPERS[settings.method]}; the network: {system.paper}",
        changes=changes_of(settings),
        scores=scores,
        input_px=settings.input_px,
        mean=task.frame.mean,
        std=task.frame.std,
        dim=_dim(backbone, settings.input_px),
        split=f"test was held back, and validation looked at after each epoch: {held}",
    )


def _backbone(settings: PretrainSettings) -> nn.Module:
    """Return the network before its first step, without its last layer."""
    return without_head(first_network(settings, 2), find_system(settings.architecture).head)


@torch.no_grad()
def _dim(backbone: Any, input_px: int) -> int:
    was, device = backbone.training, next(backbone.parameters()).device
    shape = backbone.eval()(torch.zeros(1, 3, input_px, input_px, device=device)).shape
    backbone.train(was)
    if len(shape) != 2:
        msg = f"an encoder gives one vector a patch, and this network gives {tuple(shape)}: choose another architecture"
        raise UsageError(msg)
    return int(shape[1])


def _described(task: ViewTask, rows: NDArray[np.int64], device: torch.device) -> dict[str, float]:
    """Return the figures of validation, on other patches."""
    own, task.validation = task.validation, rows
    figures = task.validate(task.network, device)
    task.validation = own
    return dict(figures)


def _identity(settings: PretrainSettings, patches: StorePatches, sides: Mapping[str, NDArray[np.int64]]) -> str:
    """Return a hash of what a resumed run must share beside the training loop's own settings."""
    kept = {name: value for name, value in asdict(settings).items() if name not in ("name", "training")}
    digest = hashlib.sha256(repr(sorted(kept.items())).encode())
    digest.update(repr([[record.fingerprint for record in store.slides] for store in patches.stores]).encode())
    for rows in sides.values():
        digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()
