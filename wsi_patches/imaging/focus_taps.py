"""The two filters of the FQPath focus score: their taps, and both at once as a banded matrix.

Hosseini et al., "Focus quality assessment of high-throughput whole slide imaging in digital pathology", IEEE
Transactions on Medical Imaging 2019, arXiv 1811.06038. The taps of the band filter are the numbers that its authors
published with their code (``FQPath_kernel.mat``); the low-pass filter is computed from its formula.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BAND_PASS", "FULL_LEVEL", "LOW_PASS", "Block", "filter_blocks"]

_CENTRE_OUTWARD = (
    0.24489403154619416,
    0.12228540029548814,
    -0.09407503456112237,
    -0.16052347210039156,
    -0.05501458450024433,
    0.04863995460273669,
    0.04427821335982133,
    -0.00904529019537479,
    -0.025366410744354903,
    -0.0044808311032507216,
    0.010051697575674458,
    0.005115569052175561,
    -0.002609997217992756,
    -0.0027982320969250005,
    0.0001524349884171817,
    0.0010234237903516846,
    0.00023742533555722156,
    -0.00024782162767790364,
    -0.00013443707204539564,
    2.9582353504616837e-05,
    4.026477902355618e-05,
    3.7203120132139335e-06,
    -7.20005641027183e-06,
    -2.454569728130892e-06,
    5.836130105110002e-07,
    4.956153990097271e-07,
    4.185717720018102e-08,
    -4.479280575660857e-08,
    -1.4049926680479657e-08,
    2.804485457938004e-10,
    9.076597873894894e-10,
    1.8403639574511425e-10,
    1.2658403293721385e-11,
)

BAND_PASS: NDArray[np.float64] = np.array(_CENTRE_OUTWARD[:0:-1] + _CENTRE_OUTWARD)
"""The MaxPol band filter that answers the human eye's: 65 taps, even, of sum 0."""


def _low_pass(reach: int = 16, alpha: float = 2.0, beta: float = 1.5) -> NDArray[np.float64]:
    """Return the taps of the lens's model, a generalised Gaussian of sum 1, float64 of shape ``(2 * reach + 1,)``."""
    scale = alpha * math.sqrt(math.gamma(1 / beta) / math.gamma(3 / beta))
    taps = np.exp(-((np.abs(np.arange(-reach, reach + 1)) / scale) ** beta))
    return np.asarray(taps / taps.sum(), np.float64)


LOW_PASS: NDArray[np.float64] = _low_pass()
"""The low-pass filter in front of it: 33 taps, even, of sum 1."""

FULL_LEVEL = 255
"""The grey level that is white."""

_BLOCK = 32
"""Rows of a block: fewer reach over fewer zeros, more fill the processor better; 32 was fastest for sides of 256."""


_NEGLIGIBLE = {"float64": 1e-14, "float32": 1e-12}
"""Weights below this are left out: a step from black to white makes no response that counts with them. A larger bound
is hardly faster, and 1e-10 moves scores next to flat areas by 0.02."""


class Block(NamedTuple):
    """Some rows of the matrix that filters a line of pixels."""

    rows: slice
    """The filtered pixels that the block gives."""
    steps: slice
    """The steps between neighbouring pixels, ``pixel[i + 1] - pixel[i]``, that it reads."""
    matrix: NDArray[Any]
    """The weight of each step for each filtered pixel, float32 or float64 of shape ``(rows, steps)``.

    Steps are in grey levels, filtered pixels are those of a picture in 0 to 1.
    """


@lru_cache(maxsize=16)
def filter_blocks(length: int, precision: str) -> tuple[Block, ...]:
    """Return the low-pass and then the band-pass along a line as one banded matrix, cut into blocks of rows.

    Each filter sees the line mirrored at its ends, edge pixel repeated (``numpy.pad``'s "symmetric"), the second one
    the mirrored output of the first: not the same as mirroring once, and exact here, borders included.

    The matrix is for the steps between pixels, not for the pixels: the band filter has sum zero, so both say the same,
    and steps of zero give exactly zero. Flat areas thus have no sign that hangs on rounding, in float32 neither.

    Parameters
    ----------
    length
        Pixels of the line.
    precision
        ``"float64"`` or ``"float32"``, of the matrix; it is computed in float64 in either case.
    """
    return tuple(_block(start, min(start + _BLOCK, length), length, precision) for start in range(0, length, _BLOCK))


def _block(start: int, stop: int, length: int, precision: str) -> Block:
    """Return the block of the filtered pixels from ``start`` to ``stop``."""
    between = slice(max(0, start - len(BAND_PASS) // 2), min(length, stop + len(BAND_PASS) // 2))
    seen = slice(max(0, between.start - len(LOW_PASS) // 2), min(length, between.stop + len(LOW_PASS) // 2))
    band = _mirrored(BAND_PASS, slice(start, stop), between, length)
    both = band @ _mirrored(LOW_PASS, between, seen, length)
    # Summing by parts: sum(f * pixel) = last pixel * sum(f) - sum(cumsum(f) * step), and sum(f) is zero.
    weights = -np.cumsum(both, axis=1)[:, :-1]
    used = np.flatnonzero((np.abs(weights) > _NEGLIGIBLE[precision]).any(axis=0))
    first, last = (used[0], used[-1] + 1) if len(used) else (0, 0)
    matrix = np.ascontiguousarray(weights[:, first:last] / FULL_LEVEL, precision)
    return Block(slice(start, stop), slice(seen.start + first, seen.start + last), matrix)


def _mirrored(taps: NDArray[np.float64], rows: slice, columns: slice, length: int) -> NDArray[np.float64]:
    """Return the rows and columns of the matrix that filters a line mirrored at its ends."""
    row = np.arange(rows.start, rows.stop)[:, None]
    column = (row + np.arange(len(taps)) - len(taps) // 2) % (2 * length)
    column = np.minimum(column, 2 * length - 1 - column)
    matrix = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
    np.add.at(matrix, (row - rows.start, column - columns.start), taps)
    return matrix
