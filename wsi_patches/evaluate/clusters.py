"""How good clusters are: by themselves, and beside labels that the clustering never saw."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import needs_extra

__all__ = ["UNDEFINED", "ClusterFigures", "by_k_means", "measure_clusters", "purity_of"]

SILHOUETTE_MOST = 5000
"""Patches that the silhouette is measured on: it compares each with each."""
SHUFFLES = 200
UNDEFINED = "not defined"
UPPER = 97.5
"""Percentile of what shuffled labels reach, above which agreement is told from chance."""


@dataclass(frozen=True)
class ClusterFigures:
    """What is measured of a hard assignment; nan where it is not defined."""

    clusters: int
    """That hold a patch."""
    silhouette: float
    """-1 to 1, Euclidean; higher where clusters are tight and apart (Rousseeuw 1987)."""
    davies_bouldin: float
    """0 or more; lower where clusters are tight and apart (Davies and Bouldin 1979)."""
    adjusted_rand: float
    """Agreement with the labels: 1 for the same partition, 0 for chance (Hubert and Arabie 1985)."""
    adjusted_rand_shuffled: float
    """What it reaches by chance: the 97.5th percentile over labels that are shuffled."""
    purity: float
    """Share of the labelled patches that bear the commonest label of their cluster."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The figures as people read them, in the order of the fields."""
        figures = (
            self.silhouette, self.davies_bouldin, self.adjusted_rand, self.adjusted_rand_shuffled, self.purity,
        )  # fmt: skip
        return str(self.clusters), *(UNDEFINED if isnan(one) else f"{one:.3f}" for one in figures)

    @property
    def plain(self) -> dict[str, float | None]:
        """The figures as JSON values; what is not defined is null."""
        return {name: None if isnan(value) else value for name, value in asdict(self).items()}


def measure_clusters(
    points: NDArray[np.float64], assigned: NDArray[np.integer], labels: NDArray[np.integer], seed: int = 0
) -> ClusterFigures:
    """Measure a hard assignment of points.

    Parameters
    ----------
    points
        Shape ``(n, d)``.
    assigned
        Cluster of each, any whole numbers, shape ``(n,)``.
    labels
        Class of each, -1 where nobody knows it, shape ``(n,)``.
    seed
        Of what is drawn for the silhouette, and of the shuffles.

    Raises
    ------
    MissingExtra
        scikit-learn is not installed.
    """
    with needs_extra("train", "cluster"):
        from sklearn.metrics import adjusted_rand_score, davies_bouldin_score
    found, rng = len(np.unique(assigned)), np.random.default_rng(seed)
    told = 1 < found < len(points)
    known = labels >= 0
    rand = shuffled = purity = float("nan")
    if known.any() and len(np.unique(labels[known])) > 1:
        mine, truth = assigned[known], labels[known]
        rand, purity = float(adjusted_rand_score(truth, mine)), purity_of(truth, mine)
        chance = [adjusted_rand_score(rng.permutation(truth), mine) for _ in range(SHUFFLES)]
        shuffled = float(np.percentile(chance, UPPER))
    nothing = float("nan")
    return ClusterFigures(
        found,
        _silhouette(points, assigned, rng) if told else nothing,
        float(davies_bouldin_score(points, assigned)) if told else nothing,
        rand,
        shuffled,
        purity,
    )


def _silhouette(points: NDArray[np.float64], assigned: NDArray[np.integer], rng: np.random.Generator) -> float:
    from sklearn.metrics import silhouette_score

    drawn = np.sort(rng.choice(len(points), min(len(points), SILHOUETTE_MOST), replace=False))
    if not 1 < len(np.unique(assigned[drawn])) < len(drawn):
        return float("nan")
    return float(silhouette_score(points[drawn], assigned[drawn]))


def purity_of(labels: NDArray[np.integer], assigned: NDArray[np.integer]) -> float:
    """Return the share of points that bear the commonest label of their cluster; more clusters are always purer."""
    clusters, rows = np.unique(assigned, return_inverse=True)
    classes, columns = np.unique(labels, return_inverse=True)
    counts = np.bincount(rows * len(classes) + columns, minlength=len(clusters) * len(classes))
    return float(counts.reshape(len(clusters), len(classes)).max(axis=1).sum() / len(labels))


def by_k_means(points: NDArray[np.float64], clusters: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the cluster of each point ``(n, d)`` by k-means on all of them at once, ten starts: the simplest way.

    Raises
    ------
    MissingExtra
        scikit-learn is not installed.
    """
    with needs_extra("train", "cluster"):
        from sklearn.cluster import KMeans
    fewer = min(clusters, len(np.unique(points, axis=0)))
    return np.asarray(KMeans(fewer, n_init=10, random_state=seed).fit_predict(points), np.int64)
