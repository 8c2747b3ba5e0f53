"""A map in two dimensions of what a network makes of patches: near each other is what it takes for alike."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.html_page import LINE_COLOURS

__all__ = ["LatentMap", "MapMethod", "draw_latent_map", "latent_positions"]

MapMethod = Literal["tsne", "umap"]
PERPLEXITY, NEAREST = 30, 15
"""Neighbours that t-SNE and UMAP look at (the defaults of scikit-learn and umap-learn), where there are enough."""
FEWEST = 5
MARKERS = "o^sDvP*X"
SIDE_INCHES, DPI = 6.0, 100
BORDER = 0.04


@dataclass(frozen=True)
class LatentMap:
    """A drawn map."""

    png: bytes
    """Points alone: nothing lies beside them, so that positions are shares of its sides."""
    positions: NDArray[np.float64]
    """Of each point, shares of the picture's width from the left and of its height from the top, ``(n, 2)``."""
    legend: tuple[tuple[str, str, str], ...]
    """Class, colour and marker's sign of each."""


def latent_positions(vectors: NDArray[np.float32], method: MapMethod = "tsne", seed: int = 0) -> NDArray[np.float64]:
    """Return a position for each vector ``(n, d)``, ``(n, 2)``.

    ``tsne`` begins at the first two principal components, as DSS-XAI's does, ``umap`` at a spectral embedding.
    Distances between far groups, and the sizes of groups, mean little in either.

    Raises
    ------
    UsageError
        There are too few vectors.
    MissingExtra
        The extra of the method is not installed.
    """
    if len(vectors) < FEWEST:
        msg = (
            f"a latent map needs {FEWEST} patches or more, found {len(vectors)}: give a larger reference, or --map none"
        )
        raise UsageError(msg)
    if method == "umap":
        with needs_extra("explain", "a map by UMAP"):
            from umap import UMAP
        near = min(NEAREST, len(vectors) - 1)
        # One job, since only then does the seed say where all points come to lie.
        positions = UMAP(n_neighbors=near, random_state=seed, n_jobs=1).fit_transform(vectors)
    else:
        with needs_extra("train", "a map by t-SNE"):
            from sklearn.manifold import TSNE
        perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
        positions = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
    return np.asarray(positions, np.float64)


def draw_latent_map(
    positions: NDArray[np.float64], classes: NDArray[np.int64], class_names: Sequence[str], *, queries: int = 0
) -> LatentMap:
    """Draw points by class, each with a colour and a marker.

    Parameters
    ----------
    positions
        Of `latent_positions`, ``(n, 2)``.
    classes
        Index into ``class_names``, ``(n,)``; -1 where nobody knows it.
    class_names
        All classes.
    queries
        How many of the last points are queries: they are drawn as crosses.
    """
    with needs_extra("train", "a latent map"):
        from matplotlib.figure import Figure
    low, high = positions.min(axis=0), positions.max(axis=0)
    shares = BORDER + (1 - 2 * BORDER) * (positions - low) / np.maximum(high - low, 1e-12)
    figure = Figure(figsize=(SIDE_INCHES, SIDE_INCHES), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    is_query = np.arange(len(positions)) >= len(positions) - queries
    legend = []
    for index, name in enumerate(class_names):
        turn, number = divmod(index, len(LINE_COLOURS) - 1)
        colour, marker = LINE_COLOURS[1 + number], MARKERS[(number + turn) % len(MARKERS)]
        known = (classes == index) & ~is_query
        axes.scatter(shares[known, 0], shares[known, 1], s=70, c=colour, marker=marker, alpha=0.7, linewidths=0)
        legend.append((name, colour, marker))
    axes.scatter(shares[is_query, 0], shares[is_query, 1], s=70, c="#000000", marker="x", linewidths=2, alpha=0.6)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return LatentMap(stream.getvalue(), np.stack([shares[:, 0], 1 - shares[:, 1]], axis=1), tuple(legend))
