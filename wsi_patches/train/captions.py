"""Captions of cells, learnt by adapters of BLIP from pictures with captions; after HemBLIP (arXiv 2601.03915)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.datasets.captioned import CaptionedPictures, read_picture
from wsi_patches.datasets.splits import make_label_shares
from wsi_patches.errors import UsageError
from wsi_patches.models.caption import Captioner, LoraShape
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.network_settings import SHARES, TEST, TRAIN, VALIDATION
from wsi_patches.train.patch_task import Batches

__all__ = ["CaptionSettings", "CaptionTask", "CaptionView", "mean_loss", "split_captions", "telling_words", "word_f1"]


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """What is learnt, and how.

    Raises
    ------
    UsageError
        A value is out of range, or there is nothing to start from.
    """

    task: Literal["caption"] = "caption"
    name: str = "captions"
    start: Path | None = None
    """The folder of a BLIP checkpoint on this machine; needed."""
    lora: LoraShape = field(default_factory=LoraShape)
    longest: int = 60
    """Words of a caption, in the checkpoint's own pieces; what is longer is cut."""
    batch_size: int = 16
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Of the splits, where the pictures have none."""
    split_seed: int = 0
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(epochs=10, optimizer="adamw", learning_rate=1e-4, weight_decay=0.01)
    )

    def __post_init__(self) -> None:
        if self.start is None:
            msg = "captions are learnt by adapters of BLIP: name the folder of a checkpoint with --start"
            raise UsageError(msg)
        if not (self.lora.rank >= 1 and self.batch_size >= 1 and self.longest >= 4):
            found = f"{self.lora.rank}, {self.batch_size} and {self.longest}"
            msg = f"rank and batch_size are 1 or more, and longest is 4 or more, got {found}"
            raise UsageError(msg)


@dataclass(frozen=True)
class CaptionView:
    """Some pictures with captions; they are read when they are asked for."""

    pictures: CaptionedPictures
    rows: NDArray[np.int64]
    side_px: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def texts(self) -> list[str]:
        """The captions."""
        return [self.pictures.texts[row] for row in self.rows.tolist()]

    def images(self, positions: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Return pictures at some positions, uint8 ``(n, 3, s, s)``."""
        paths = [self.pictures.paths[row] for row in self.rows[np.asarray(positions)].tolist()]
        pixels = np.stack([read_picture(path, self.side_px) for path in paths])
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def split_captions(pictures: CaptionedPictures, settings: CaptionSettings) -> NDArray[np.str_]:
    """Return the split of each picture, shape ``(n,)``: its own, where all have one, else whole groups are dealt.

    Raises
    ------
    UsageError
        A split is empty.
    """
    if all(pictures.splits):
        names = np.array([str(one) for one in pictures.splits])
    else:
        ones = np.ones((len(pictures), 1), np.uint8)
        dealt = make_label_shares(ones, pictures.groups, settings.shares, settings.split_seed)
        names = np.array(list(settings.shares), str)[dealt]
    empty = [name for name in (TRAIN, VALIDATION, TEST) if name not in names]
    if empty:
        msg = f"no picture is in {', '.join(empty)}: give more patients or slides, or export with --split 0.7/0.15/0.15"
        raise UsageError(msg)
    return names


@dataclass
class CaptionTask:
    """What the training loop needs to know of pictures with captions."""

    network: Captioner
    train: CaptionView
    validation: CaptionView
    settings: CaptionSettings
    watched: str = "loss"
    higher_is_better: bool = False

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch, equal for equal seeds: images, and the words of their captions."""
        seed = np.random.SeedSequence([self.settings.training.seed, epoch])
        order = np.random.default_rng(seed).permutation(len(self.train))
        size = min(self.settings.batch_size, len(order))
        return Batches(len(order) // size, lambda: self._drawn(order, size))

    def _drawn(self, order: NDArray[np.int64], size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        texts = self.train.texts
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            numbers, real = self.network.tokens([texts[row] for row in rows.tolist()], self.settings.longest)
            yield self.train.images(rows), numbers, real

    def loss(self, batch: tuple[Tensor, Tensor, Tensor], device: torch.device) -> Tensor:
        """Return the mean cross entropy of the next word, nats."""
        images, numbers, real = (one.to(device) for one in batch)
        return self.network.loss(images, numbers, real)

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return the loss on the validation pictures."""
        assert isinstance(network, Captioner)
        texts = self.validation.texts
        return {"loss": mean_loss(network, self.validation, texts, self.settings, device)}


@torch.inference_mode()
def mean_loss(
    network: Captioner, view: CaptionView, texts: Sequence[str], settings: CaptionSettings, device: torch.device
) -> float:
    """Return the mean over pictures' batches of the cross entropy of ``texts``, nats a word, weighed by pictures."""
    total, size = 0.0, settings.batch_size
    for start in range(0, len(view), size):
        rows = np.arange(start, min(start + size, len(view)))
        numbers, real = network.tokens([texts[row] for row in rows.tolist()], settings.longest)
        images = view.images(rows).to(device)
        total += len(rows) * float(network.loss(images, numbers.to(device), real.to(device)))
    return total / len(view)


def telling_words(texts: Sequence[str]) -> frozenset[str]:
    """Return the words that some captions have and others have not: what tells cells apart."""
    counts = Counter(word for text in texts for word in _words(text))
    return frozenset(word for word, count in counts.items() if count < len(texts))


def word_f1(said: Sequence[str], true: Sequence[str], telling: frozenset[str]) -> float:
    """Return the F1 of the telling words that captions say against those that are true of their pictures."""
    pairs = [(_words(one) & telling, _words(other) & telling) for one, other in zip(said, true, strict=True)]
    both = sum(len(one & other) for one, other in pairs)
    return 2 * both / max(1, sum(len(one) + len(other) for one, other in pairs))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.lower().replace(",", " ").replace(".", " ").replace(";", " ").split())
