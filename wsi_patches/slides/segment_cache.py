"""The decoded tiles or strips that were used last."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["CACHE_BYTES", "SegmentCache"]

Segment = NDArray[np.uint8]
Key = tuple[int, int]
STRIPES = 16
CACHE_BYTES = max(2, os.cpu_count() or 1) * (16 << 20)
"""Kept for each open slide: for each thread that may read it two rows of tiles under a band of patches that overlap."""


class SegmentCache:
    """The segments that were used last, up to a number of bytes; the last one stays whatever its size.

    Two threads that want the same segment decode it once: the second waits for the first.

    Parameters
    ----------
    limit_bytes
        How much to keep.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._bytes = limit_bytes, 0
        self._lock = threading.Lock()
        self._segments: OrderedDict[Key, Segment] = OrderedDict()
        # A lock for each segment would have to be counted and dropped; a few that segments share need not.
        self._decoding = [threading.Lock() for _ in range(STRIPES)]

    def get(self, key: Key, decode: Callable[[], Segment | None]) -> Segment | None:
        """Return the segment of a level and number, decoded if it is not held; None where the file leaves it out."""
        segment = self._held(key)
        if segment is not None:
            return segment
        with self._decoding[hash(key) % STRIPES]:
            segment = self._held(key)
            if segment is None:
                segment = decode()
                if segment is not None:
                    self._keep(key, segment)
        return segment

    def _held(self, key: Key) -> Segment | None:
        with self._lock:
            if key in self._segments:
                self._segments.move_to_end(key)
            return self._segments.get(key)

    def _keep(self, key: Key, segment: Segment) -> None:
        with self._lock:
            self._segments[key] = segment
            self._bytes += segment.nbytes
            while self._bytes > self._limit_bytes and len(self._segments) > 1:
                self._bytes -= self._segments.popitem(last=False)[1].nbytes
