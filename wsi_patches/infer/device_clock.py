"""How long a device computed."""

from __future__ import annotations

import time

import torch

__all__ = ["DeviceClock"]


class DeviceClock:
    """Times what a device computes between its making and `stop`; a GPU is not waited for until `seconds`.

    Parameters
    ----------
    device
        Of a GPU, the current stream is timed.
    """

    def __init__(self, device: torch.device) -> None:
        self._events: list[torch.cuda.Event] = []
        if device.type == "cuda":
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]  # type: ignore[no-untyped-call]
        self._seconds = -time.perf_counter()
        if self._events:
            self._events[0].record()

    def stop(self) -> None:
        """End the time."""
        self._seconds += time.perf_counter()
        if self._events:
            self._events[1].record()

    def mark(self) -> None:
        """Say that `seconds` is to wait for what was asked of the device until now."""
        if self._events:
            self._events[2].record()

    def seconds(self) -> float:
        """Return how long it took, once all that was marked is there."""
        if self._events:
            self._events[2].synchronize()
            return float(self._events[0].elapsed_time(self._events[1])) / 1e3
        return self._seconds
