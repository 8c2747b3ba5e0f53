"""A histogram as SVG: in the page itself, sharp at any size and on paper, the same in grey."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

__all__ = ["histogram"]

WIDTH, HEIGHT = 640, 190
LEFT, RIGHT, TOP, BOTTOM = 12, 12, 18, 40
BINS = 20
STEPS = (1, 2, 5)
BAR, INK = "#44546a", "#1a1a1a"


def histogram(values: Sequence[float], label: str, *, share: bool = False) -> str:
    """Return an SVG element with a bar for each range of values, how many there are above it.

    Parameters
    ----------
    values
        What is counted, 0 or more; at least one.
    label
        Plain text: what the values are.
    share
        Values lie in 0..1 and are told in percent; else they are counts, and ranges are round.
    """
    found = np.asarray(values, np.float64)
    edges = np.linspace(0, 1, BINS + 1) if share else _round_edges(float(found.max()))
    heights, _ = np.histogram(found, edges)
    unit = 100.0 if share else 1.0
    ends = [f"{unit * one:.3g}{' %' if share else ''}" for one in (found.min(), np.median(found), found.max())]
    told = f"{label}: {len(found)} slides, from {ends[0]} to {ends[2]}, median {ends[1]}"
    parts = [*_bars(heights), *_axis(edges * unit, f"{label}, %" if share else label)]
    return (
        f'<svg role="img" aria-label="{escape(told)}" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">'
        f"<title>{escape(told)}</title>{''.join(parts)}</svg>"
    )


def _round_edges(most: float) -> NDArray[np.float64]:
    """Return edges at round numbers, at most `BINS` ranges; the last edge lies above ``most``."""
    step = 1.0
    for power in range(16):
        step = next((one * 10.0**power for one in STEPS if one * 10.0**power * BINS > most), 0.0)
        if step:
            break
    return np.arange(int(most // step) + 2, dtype=np.float64) * step


def _across(number: int, bins: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * number / bins


def _bars(heights: NDArray[np.int64]) -> list[str]:
    base, room, bins, drawn = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP, len(heights), []
    for number, count in enumerate(heights.tolist()):
        if not count:
            continue
        left, right = _across(number, bins) + 1, _across(number + 1, bins) - 1
        tall = max(1.0, room * count / max(1, int(heights.max())))
        where = f'x="{left:.1f}" y="{base - tall:.1f}" width="{right - left:.1f}" height="{tall:.1f}"'
        drawn.append(f'<rect {where} fill="{BAR}"/>')
        drawn.append(
            f'<text x="{(left + right) / 2:.1f}" y="{base - tall - 4:.1f}" text-anchor="middle">{count}</text>'
        )
    return drawn


def _axis(edges: NDArray[np.float64], label: str) -> list[str]:
    base, bins = HEIGHT - BOTTOM, len(edges) - 1
    line = f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}" stroke="{INK}"/>'
    every = -(-bins // 10)
    ticks = [
        f'<text x="{_across(number, bins):.1f}" y="{base + 15}" text-anchor="middle">{edges[number]:.6g}</text>'
        for number in range(0, bins + 1, every)
    ]
    name = f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>'
    return [line, *ticks, name]
