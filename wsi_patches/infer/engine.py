"""One engine for all that runs a network over patches: stores, grids over slides, and cells.

Threads read ahead, the network takes batches in order, and what it says comes back in order. No more patches are in
memory than the network will soon take, so memory does not grow with the slide.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from wsi_patches.errors import ModelError
from wsi_patches.imaging.focus_torch import fqpath_torch
from wsi_patches.infer.batches import Chunk, ChunkReader, in_batches, joined, on_device, read_ahead
from wsi_patches.infer.device_clock import DeviceClock
from wsi_patches.infer.engine_settings import MOST, BatchSize, EngineSettings
from wsi_patches.models.backends import Backend
from wsi_patches.torch_data import PatchReader

__all__ = ["Engine", "EngineSettings", "Predicted"]

CHUNK = 16
"""Patches that a thread reads at a time."""
MOST_READERS = 16
IN_FLIGHT = {"cpu": 0, "cuda": 1}
"""Batches that are left to a device while the next one is made ready."""
DEFAULT = EngineSettings()


class Predicted(NamedTuple):
    """What came of a batch."""

    positions: NDArray[np.int64]
    """Of the patches in their source, ``(n,)``."""
    outputs: NDArray[np.float32]
    """What the network says of each, ``(n, outputs)``."""
    focus: NDArray[np.float64] | None
    """FQPath scores ``(n,)`` where they were asked for."""
    seconds: float
    """How long the network had the device."""


class Engine:
    """Runs a network over patches.

    Parameters
    ----------
    backend
        The network, from `make_backend`.
    settings
        Batch size, threads, focus and sharpening. A batch size that was found is kept for the next source.
    """

    def __init__(self, backend: Backend, settings: EngineSettings = DEFAULT) -> None:
        self.backend, self.settings = backend, settings
        self.device = backend.device
        self.readers = settings.readers or _readers(self.device)
        self._size = BatchSize(settings.batch_size, MOST[self.device.type])
        self._copies: torch.cuda.Stream | None = None
        if self.device.type == "cuda":
            self._copies = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    @property
    def batch_size(self) -> int:
        """How many patches go through the network at a time, as far as is known by now."""
        return self._size.value

    def run(self, source: PatchReader, positions: ArrayLike | None = None) -> Iterator[Predicted]:
        """Yield what the network says of patches, batch by batch, in order.

        Parameters
        ----------
        source
            Any `PatchSource`, such as a store or a grid over a slide; `CellPatches`; or `ArrayPatches`. It is read in
            threads.
        positions
            Which of its patches, in which order; all of them if not given.

        Raises
        ------
        SlideError, StoreError
            A patch cannot be read: as the source raises it.
        ModelError
            The device has not the memory for one patch.
        """
        wanted = np.arange(len(source)) if positions is None else np.atleast_1d(np.asarray(positions, np.int64))
        step = min(CHUNK, self.batch_size)
        runs = [wanted[start : start + step] for start in range(0, len(wanted), step)]
        on_cpu = self.device.type == "cpu"
        read = ChunkReader(source, self.settings, pinned=not on_cpu, scores=on_cpu and self.settings.focus)
        launched: deque[_Launched] = deque()
        with closing(read_ahead(read, runs, self.readers, lambda: self._ahead(step))) as chunks:
            for batch in in_batches(chunks, lambda: self.batch_size):
                launched.append(self._launch(batch))
                while len(launched) > IN_FLIGHT[self.device.type]:
                    yield self._finished(launched.popleft())
            while launched:
                yield self._finished(launched.popleft())

    def _ahead(self, step: int) -> int:
        """Return how many chunks may be in memory: those of the next two batches, and one for each thread."""
        return -(-2 * self.batch_size // step) + self.readers

    def _launch(self, batch: list[Chunk]) -> _Launched:
        """Send a batch to the device; on a GPU this returns before anything is computed."""
        positions = np.concatenate([chunk.positions for chunk in batch])
        focus: Tensor | NDArray[np.float64] | None = joined([chunk.focus for chunk in batch])
        with nullcontext() if self._copies is None else torch.cuda.device(self.device):
            pixels = self._copied(batch)
            if self.settings.focus and focus is None:
                focus = fqpath_torch(pixels).to("cpu", non_blocking=True)
            clock = DeviceClock(self.device)
            outputs = self._outputs(pixels)
            clock.stop()
            outputs = outputs.to("cpu", non_blocking=True)
            clock.mark()
        return _Launched(positions, outputs, focus, clock)

    def _copied(self, batch: list[Chunk]) -> Tensor:
        """Return a batch on the device; a GPU copies it while it computes the one before."""
        if self._copies is None:
            return on_device(batch, self.device)
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            pixels = on_device(batch, self.device)
        computing.wait_stream(self._copies)
        pixels.record_stream(computing)
        return pixels

    def _outputs(self, pixels: Tensor) -> Tensor:
        """Return the network's outputs, in smaller and smaller shares where memory is short."""
        done: list[Tensor] = []
        while len(pixels):
            share = pixels[: self.batch_size]
            try:
                done.append(self.backend(share))
                pixels = pixels[len(share) :]
                continue
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                if len(share) == 1:
                    msg = f"{self.device} has not the memory to run the network on one patch of {share.shape[1]} px"
                    raise ModelError(msg) from error
            # Not in the except clause, which keeps what the network held in memory.
            self._size.halve(len(share))
            if self._copies is not None:
                torch.cuda.empty_cache()
        return done[0] if len(done) == 1 else torch.cat(done)

    def _finished(self, launched: _Launched) -> Predicted:
        """Wait for a batch."""
        seconds = launched.clock.seconds()
        self._size.ran(len(launched.positions), seconds)
        focus = launched.focus
        return Predicted(
            launched.positions,
            launched.outputs.numpy(),
            focus.numpy() if isinstance(focus, Tensor) else focus,
            seconds,
        )


class _Launched(NamedTuple):
    """A batch that a device has."""

    positions: NDArray[np.int64]
    outputs: Tensor
    focus: Any
    clock: DeviceClock


def _readers(device: torch.device) -> int:
    return 1 if device.type == "cpu" else min(os.cpu_count() or 1, MOST_READERS)


def _out_of_memory(error: BaseException) -> bool:
    """Tell whether memory was short; PyTorch has no class of its own for the processor's."""
    return isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
