"""Where patches lie: arithmetic on whole numbers, no pixels.

A grid is laid in *patch pixels*, the pixels of the resolution that patches are read at, and its places are given in
level-0 pixels. The two frames are one when patches are read at level 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import InitVar, asdict, dataclass, fields
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Resolution, Size, round_half_up

__all__ = ["EDGES", "Kept", "PatchGrid", "PatchPlace", "PatchSpec"]

EDGES = ("drop", "shift", "pad")


@dataclass(frozen=True)
class PatchSpec:
    """How a slide is cut into patches.

    Parameters
    ----------
    size_px
        Side of the square patch, in patch pixels.
    stride_px
        Distance between neighbouring patches, in patch pixels; the patch's own size if not given.
    edge
        What happens at the right and bottom border: ``drop`` leaves the remainder out (the ALL-IDB Patches
        reference), ``shift`` moves the last patch back inside the slide, ``pad`` lets it stick out over background.
    level, mpp, magnification
        The resolution to read at, at most one of them; level 0 if none.
    overlap
        Instead of a stride, the share of a patch that its right neighbour repeats: the stride is then
        ``round(size * (1 - overlap))``, halves up, as in the ALL-IDB Patches reference. Only the stride is kept.

    Raises
    ------
    UsageError
        A value is out of range, or both a stride and an overlap were given.
    """

    size_px: int = 256
    stride_px: int | None = None
    edge: str = "shift"
    level: int | None = None
    mpp: float | None = None
    magnification: float | None = None
    overlap: InitVar[float | None] = None

    def __post_init__(self, overlap: float | None) -> None:
        if overlap is not None:
            self._set_stride(overlap)
        if self.size_px < 1:
            msg = f"patch size must be 1 px or more, found {self.size_px}"
            raise UsageError(msg)
        if self.stride_px is not None and self.stride_px < 1:
            msg = f"stride must be 1 px or more, found {self.stride_px}"
            raise UsageError(msg)
        if self.edge not in EDGES:
            msg = f"edge must be one of {', '.join(EDGES)}, found {self.edge!r}"
            raise UsageError(msg)
        Resolution(self.level, self.mpp, self.magnification)

    def _set_stride(self, overlap: float) -> None:
        if self.stride_px is not None:
            msg = f"give a stride or an overlap, not both: found {self.stride_px} px and {overlap}"
            raise UsageError(msg)
        if not 0 <= overlap < 1:
            msg = f"overlap must be at least 0 and below 1, found {overlap}"
            raise UsageError(msg)
        object.__setattr__(self, "stride_px", max(1, round_half_up(self.size_px * (1 - overlap))))

    @property
    def step_px(self) -> int:
        """The stride that is used, in patch pixels."""
        return self.size_px if self.stride_px is None else self.stride_px

    @property
    def resolution(self) -> Resolution:
        """The resolution to read at."""
        return Resolution(self.level, self.mpp, self.magnification)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PatchSpec:
        """Read what `to_dict` wrote.

        Raises
        ------
        UsageError
            A key is unknown.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            msg = f"unknown patch setting {', '.join(unknown)}"
            raise UsageError(msg)
        return cls(**values)


@dataclass(frozen=True)
class PatchPlace:
    """Where one patch lies."""

    index: int
    """The patch's index in its slide's grid; no selection changes it."""
    box: Box
    """The square it covers, in level-0 pixels."""


@dataclass(frozen=True)
class Kept:
    """Which of a run of places are kept, small enough to travel with a task."""

    packed: bytes
    """One bit a place."""
    length: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Kept:
        """Pack one truth value a place."""
        return cls(np.packbits(mask).tobytes(), len(mask))

    @property
    def count(self) -> int:
        """How many are kept."""
        return int(self.mask().sum())

    def mask(self) -> NDArray[np.bool_]:
        """Return one truth value a place."""
        return np.unpackbits(np.frombuffer(self.packed, np.uint8), count=self.length).astype(bool)


class PatchGrid(Sequence[PatchPlace]):
    """The places of a slide's patches, row by row; computed, not stored.

    Parameters
    ----------
    size
        Width and height of the slide at the resolution that patches are read at, in patch pixels.
    spec
        How to cut.
    downsample
        Level-0 pixels for each patch pixel.
    indices
        The grid indices to keep, ascending; all of them if not given. A place keeps its index in every selection.
    """

    def __init__(
        self, size: Size, spec: PatchSpec, downsample: float = 1.0, indices: NDArray[np.int64] | None = None
    ) -> None:
        self.size, self.spec, self.downsample = size, spec, downsample
        self.columns_px = _origins(size.width, spec)
        self.rows_px = _origins(size.height, spec)
        if not (len(self.columns_px) and len(self.rows_px)):
            self.columns_px = self.rows_px = np.empty(0, np.int64)
        self.indices = indices

    @property
    def total(self) -> int:
        """How many places the whole grid has, whatever was selected."""
        return len(self.columns_px) * len(self.rows_px)

    @property
    def side(self) -> int:
        """Side of a patch in level-0 pixels."""
        return round_half_up(self.spec.size_px * self.downsample)

    def __len__(self) -> int:
        return self.total if self.indices is None else len(self.indices)

    @overload
    def __getitem__(self, position: int) -> PatchPlace: ...

    @overload
    def __getitem__(self, position: slice) -> PatchGrid: ...

    def __getitem__(self, position: int | slice) -> PatchPlace | PatchGrid:
        """Return the place at ``position``, or a grid of fewer places for a slice."""
        if isinstance(position, slice):
            return self.take(np.arange(len(self))[position])
        count = len(self)
        if not -count <= position < count:
            msg = f"place {position} was asked of a grid of {count}"
            raise IndexError(msg)
        index = int(self.index_array()[position]) if self.indices is not None else int(position) % count
        x, y = self._xy(np.array([index]))[0]
        return PatchPlace(index, Box(int(x), int(y), self.side, self.side))

    def __iter__(self) -> Iterator[PatchPlace]:
        for index, (x, y) in zip(self.index_array().tolist(), self.xy().tolist(), strict=True):
            yield PatchPlace(index, Box(x, y, self.side, self.side))

    def index_array(self) -> NDArray[np.int64]:
        """Return the grid index of every place, shape ``(n,)``."""
        return np.arange(self.total) if self.indices is None else self.indices

    def xy(self) -> NDArray[np.int64]:
        """Return the level-0 top left corners, shape ``(n, 2)``, columns x and y."""
        return self._xy(self.index_array())

    def take(self, positions: ArrayLike) -> PatchGrid:
        """Return the places at ``positions`` of this selection; their indices stay what they are."""
        return PatchGrid(self.size, self.spec, self.downsample, self.index_array()[np.asarray(positions, np.int64)])

    def where(self, mask: ArrayLike) -> PatchGrid:
        """Return the places for which ``mask``, one truth value a place, is true."""
        return self.take(np.flatnonzero(np.asarray(mask, bool)))

    def xy_px(self) -> NDArray[np.int64]:
        """Return the top left corners in patch pixels, shape ``(n, 2)``, columns x and y."""
        return self._xy_px(self.index_array())

    def _xy_px(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        row, column = np.divmod(indices, max(1, len(self.columns_px)))
        return np.stack([self.columns_px[column], self.rows_px[row]], axis=1)

    def _xy(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        corners: NDArray[np.int64] = np.floor(self._xy_px(indices) * self.downsample + 0.5).astype(np.int64)
        return corners


def _origins(length_px: int, spec: PatchSpec) -> NDArray[np.int64]:
    """Return the first pixel of every patch along an axis of ``length_px`` patch pixels."""
    size, step = spec.size_px, spec.step_px
    spare = length_px - size
    if spec.edge == "pad":
        return np.arange(0, max(-(-spare // step), 0) + 1, dtype=np.int64) * step if length_px > 0 else np.empty(0, int)
    if spare < 0:
        return np.empty(0, np.int64)
    origins = np.arange(0, spare + 1, step, dtype=np.int64)
    if spec.edge == "shift" and origins[-1] < spare:
        origins = np.append(origins, spare)
    return origins
