"""How an engine runs, and how many patches it sends through the network at a time."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_patches.errors import UsageError
from wsi_patches.imaging.sharpen import SharpenSettings

__all__ = ["BatchSize", "EngineSettings"]

FIRST = 16
"""Patches in the first batches: enough for every thread of a processor."""
MOST = {"cpu": 128, "cuda": 1024}
"""Larger batches are not tried: they only take memory."""
TURNS = 3
"""Batches that are timed of each size: the first of a size pays for setting it up."""
GAIN = 1.05
"""A larger size is kept, and the next one tried, where it does this many times as much in a second."""


@dataclass(frozen=True)
class EngineSettings:
    """How an engine runs.

    Raises
    ------
    UsageError
        A number is below 1.
    """

    batch_size: int | None = None
    """Patches that go through the network at a time; found by timing the first batches if not given."""
    readers: int | None = None
    """Threads that read patches; one where the network takes the processor, else one for each processor, at most 16."""
    focus: bool = False
    """Score the focus of each patch (FQPath), as it was read."""
    sharpen: SharpenSettings | None = None
    """Sharpen soft patches before the network sees them."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "readers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"{name} of the engine must be 1 or more, got {value}"
                raise UsageError(msg)


class BatchSize:
    """Finds the batch size at which a network does most patches a second, by timing the work itself.

    It doubles while that makes the network faster, and halves where memory is short. Nothing is run for the timing
    alone.

    Parameters
    ----------
    fixed
        Never doubled; None to begin with a few patches.
    most
        Never doubled beyond it.
    """

    def __init__(self, fixed: int | None, most: int) -> None:
        self.value, self.settled = fixed or FIRST, fixed is not None
        self._most = most
        self._rates: list[float] = []
        self._before = 0.0

    def ran(self, patches: int, seconds: float) -> None:
        """Learn how long a batch took; one that is not of the present size tells nothing."""
        if self.settled or patches != self.value:
            return
        self._rates.append(patches / seconds)
        if len(self._rates) < TURNS:
            return
        rate, self._rates = max(self._rates), []
        if rate <= GAIN * self._before:
            self.value, self.settled = self.value // 2, True
        elif self.value * 2 > self._most:
            self.settled = True
        else:
            self._before, self.value = rate, self.value * 2

    def halve(self, failed: int) -> None:
        """Take half of a number of patches for which memory was short, for good."""
        self.value, self.settled = max(1, min(self.value, failed) // 2), True
