"""Patches for PyTorch: data sets over any patch source or array, map-style and streamed, and training's jitter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from wsi_patches.errors import UsageError
from wsi_patches.patch import PatchSource

__all__ = ["ArrayPatches", "IterablePatches", "PatchDataset", "PatchJitter", "PatchReader"]

Sample = tuple[Tensor, Tensor]
Uneven = Literal["pad", "drop", "keep"]
RUN = 16  # neighbours in the source that are read at once


class PatchReader(Protocol):
    """The part of a `PatchSource` that training needs."""

    def __len__(self) -> int: ...

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``positions``, uint8 RGB ``(n, h, w, 3)``."""


@dataclass(frozen=True)
class ArrayPatches:
    """Patches that are in memory already."""

    images: NDArray[np.uint8]
    """uint8 RGB ``(n, h, w, 3)``."""

    def __len__(self) -> int:
        return len(self.images)

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``positions``."""
        return self.images[np.asarray(positions, np.int64)]


class PatchDataset(Dataset[Sample]):
    """Pairs of image, uint8 ``(3, h, w)``, and label.

    A batch is one read of the source. Workers of a ``DataLoader`` get the source by pickling, as a slide's or a
    store's path.

    Parameters
    ----------
    patches
        Any `PatchSource`, or arrays in memory as `ArrayPatches`.
    labels
        One row a patch: class indices ``(n,)``, or presence of each class ``(n, classes)``.

    Raises
    ------
    UsageError
        There is not one label for each patch.
    """

    def __init__(self, patches: PatchReader, labels: ArrayLike) -> None:
        self.patches = patches
        self.labels = _labels(patches, labels)

    @classmethod
    def from_source(cls, source: PatchSource) -> PatchDataset:
        """Take the labels from a source: 1.0 for each class that has a cell in the patch, float32 ``(n, classes)``.

        Raises
        ------
        UsageError
            The source has no annotations.
        """
        return cls(source, _presence(source))

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, position: int) -> Sample:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Sample]:
        return _samples(self.patches, self.labels, positions)


class IterablePatches(IterableDataset[Sample]):
    """A stream of the same pairs, in the order of the source or shuffled, for sources that are larger than memory.

    Runs of neighbours are read at once, so a store is read shard by shard; shuffled, they come in another order each
    epoch and patches are drawn from a buffer of several. They are dealt to the ranks of a distributed training and,
    within a rank, to the workers of a ``DataLoader``, in equal shares: together these yield every patch once.

    Parameters
    ----------
    patches, labels
        As in `PatchDataset`.
    shuffle
        Whether runs and patches are shuffled; equal seeds and epochs give equal orders.
    seed
        Of the shuffling; the same on all ranks.
    buffer
        Patches that each worker holds to draw from: 256 of 256 px are 50 MB.
    rank, world_size
        Which share this process takes, of how many; by default those of ``torch.distributed`` where it is initialised
        when this is made, else all.
    uneven
        What happens where the patches do not divide by the ranks: ``pad`` repeats some so that all ranks yield equally
        many, ``drop`` leaves some out of this epoch, ``keep`` yields each exactly once and some ranks one more.

    Raises
    ------
    UsageError
        There is not one label for each patch, or an option is none.
    """

    def __init__(
        self,
        patches: PatchReader,
        labels: ArrayLike,
        *,
        shuffle: bool = True,
        seed: int = 0,
        buffer: int = 256,
        rank: int | None = None,
        world_size: int | None = None,
        uneven: Uneven = "pad",
    ) -> None:
        self.patches, self.labels = patches, _labels(patches, labels)
        self.shuffle, self.seed, self.buffer, self.uneven = shuffle, seed, buffer, uneven
        self.rank, self.world_size = _ranks(rank, world_size)
        if buffer < 1 or uneven not in get_args(Uneven):
            msg = f"buffer takes 1 or more and uneven {', '.join(get_args(Uneven))}; found {buffer} and {uneven!r}"
            raise UsageError(msg)
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call] # workers that stay alive see it

    @classmethod
    def from_source(cls, source: PatchSource, **options: Any) -> Self:
        """Take the labels from a source, and refuse one without, as `PatchDataset.from_source` does."""
        return cls(source, _presence(source), **options)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; without this all passes have the same one."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Return how many patches this rank yields, all workers together."""
        return len(self._of_rank())

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        number, of = (0, 1) if worker is None else (worker.id, worker.num_workers)
        mine = _share(self._of_rank(), number, of)
        runs = (_samples(self.patches, self.labels, mine[at : at + RUN]) for at in range(0, len(mine), RUN))
        samples = chain.from_iterable(runs)
        if not self.shuffle:
            return samples
        return _drawn(samples, self.buffer, np.random.default_rng([self.seed, int(self._epoch), self.rank, number]))

    def _of_rank(self) -> NDArray[np.int64]:
        """Return the positions of this rank, in the order in which they are read."""
        order = np.arange(len(self.patches))
        if self.shuffle:
            runs = np.split(order, range(RUN, len(order), RUN))
            dealt = np.random.default_rng([self.seed, int(self._epoch)]).permutation(len(runs))
            order = np.concatenate([runs[run] for run in dealt])
        left = len(order) % self.world_size
        if left and self.uneven == "drop":
            order = order[: len(order) - left]
        elif left and self.uneven == "pad":
            order = np.resize(order, len(order) + self.world_size - left)  # which begins again
        return _share(order, self.rank, self.world_size)


def _share(order: NDArray[np.int64], number: int, of: int) -> NDArray[np.int64]:
    return order[number * len(order) // of : (number + 1) * len(order) // of]


def _drawn(samples: Iterator[Sample], buffer: int, random: np.random.Generator) -> Iterator[Sample]:
    """Yield samples in a random order, of which so many wait at a time."""
    waiting: list[Sample] = []
    for sample in samples:
        if len(waiting) < buffer:
            waiting.append(sample)
            continue
        at = int(random.integers(buffer))
        yield waiting[at]
        waiting[at] = sample
    for at in random.permutation(len(waiting)).tolist():
        yield waiting[at]


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return what was given, or what ``torch.distributed`` says, or that there is no other rank."""
    if rank is None and world_size is None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
    if rank is None or world_size is None or not 0 <= rank < world_size:
        msg = f"rank and world_size go together, a rank of 0 to world_size - 1; found {rank} and {world_size}"
        raise UsageError(msg)
    return rank, world_size


def _labels(patches: PatchReader, labels: ArrayLike) -> Tensor:
    found = torch.tensor(np.asarray(labels))
    if len(found) != len(patches):
        msg = f"{len(found)} labels were given for {len(patches)} patches"
        raise UsageError(msg)
    return found


def _presence(source: PatchSource) -> NDArray[np.float32]:
    if source.labels is None:
        msg = "these patches have no labels: extract them with --annotations, or give labels"
        raise UsageError(msg)
    return (source.labels > 0).astype(np.float32)


def _samples(patches: PatchReader, labels: Tensor, positions: ArrayLike) -> list[Sample]:
    """Return some pairs, by one read."""
    wanted = np.asarray(positions, np.int64)
    images = torch.tensor(patches.read(wanted)).permute(0, 3, 1, 2)
    return list(zip(images, labels[wanted], strict=True))


@dataclass(frozen=True)
class PatchJitter:
    """Random flips, quarter turns, shifts, scale and stain, drawn for each patch of a batch.

    It takes patches with a margin and cuts them, so that a shift or a wider view shows what is really there.
    """

    shift: float = 0.1
    """Largest shift of the centre along x and along y, as a share of half the side that is kept."""
    scale: float = 0.15
    """The side that is kept varies by this share, up and down."""
    stain: float = 0.15
    """Standard deviation of the log of the factor on each channel's optical density."""
    brightness: float = 0.1
    """Standard deviation of the log of the factor on all pixels."""

    def __post_init__(self) -> None:
        for name, most in (("shift", 0.5), ("scale", 0.5), ("stain", 1), ("brightness", 1)):
            if not 0 <= getattr(self, name) <= most:
                msg = f"{name} of the jitter must be 0 to {most}, got {getattr(self, name)}"
                raise UsageError(msg)

    @property
    def margin(self) -> float:
        """Side of the patches that are taken, in sides of those that come out."""
        return 1 + self.shift + self.scale

    def apply(self, images: Tensor, size_px: int, generator: torch.Generator) -> Tensor:
        """Return jittered patches.

        Parameters
        ----------
        images
            Float ``(n, 3, s, s)`` of 0 to 1, `margin` times as wide as what is to be kept.
        size_px
            Side of what comes out.
        generator
            On the CPU, so that a seed means the same on every device.
        """
        grid = torch.nn.functional.affine_grid(
            self._frames(len(images), generator).to(images.device), [len(images), 3, size_px, size_px], False
        )
        cut = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        gamma, gain = (
            (torch.randn((len(images), channels, 1, 1), generator=generator) * spread).exp().to(images.device)
            for channels, spread in ((3, self.stain), (1, self.brightness))
        )
        # A power of the transmitted light is a factor on the optical density.
        return (cut.clamp(1 / 255, 1) ** gamma * gain).clamp(0, 1)

    def _frames(self, count: int, generator: torch.Generator) -> Tensor:
        """Return, for each patch, the 2x3 map from the frame that comes out (-1 to 1) to the frame that goes in."""
        turns = torch.randint(0, 4, (count,), generator=generator) * (torch.pi / 2)
        cosine, sine = turns.cos().round(), turns.sin().round()
        flip = torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1
        side = (1 + self.scale * _symmetric((count,), generator)) / self.margin
        shift = self.shift / self.margin * _symmetric((count, 2), generator)
        rows = [side * cosine * flip, -side * sine, shift[:, 0], side * sine * flip, side * cosine, shift[:, 1]]
        return torch.stack(rows, dim=1).view(count, 2, 3)


def _symmetric(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw evenly from -1 to 1."""
    return torch.rand(shape, generator=generator) * 2 - 1
