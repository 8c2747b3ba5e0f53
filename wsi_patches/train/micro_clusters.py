"""Micro-clusters: what is kept of the patches that went by, and when two are one mode or one is two.

Both questions are answered by the same figure, the valley between two clusters. Only the abstract of the paper that
merges by density and splits by entropy is known (ADNF, arXiv 2506.18396); the formulas are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wsi_patches.imaging.fcm import memberships_of, settled_centres

__all__ = ["EXEMPLARS", "MicroCluster", "halves", "merged", "most_alike", "valley"]

EXEMPLARS = 6
"""Patches nearest to its centre that a cluster remembers."""
FEWEST = 16
"""Patches of each half of a cluster that is split."""
STEPS = np.linspace(0, 1, 33)[:, None]
"""Places between two centres where the density is looked at."""
TINY = 1e-9
SPLIT_FUZZINESS = 1.5


@dataclass(frozen=True)
class MicroCluster:
    """One cluster, in the coordinates of the stream's projection (``d`` of them)."""

    number: int
    """From 1, never used again."""
    centre: NDArray[np.float64]
    """Shape ``(d,)``."""
    scatter: NDArray[np.float64]
    """Covariance of what it holds, shape ``(d, d)``."""
    weight: float = 0.0
    """Patches' worth of memberships, faded with age."""
    entropy: float = 0.0
    """Mean entropy of the memberships of what it holds: 0 where all is its alone, 1 where all clusters share it."""
    born: int = 0
    """Patches that had arrived."""
    rested: int | None = None
    """Patches that had arrived when it had faded; None of one that lives."""
    exemplar_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    exemplars: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """Of the patches nearest to its centre, the nearest first, shape ``(k, d)``."""

    def taught(
        self,
        points: NDArray[np.float64],
        weights: NDArray[np.float64],
        entropy: NDArray[np.float64],
        rows: NDArray[np.int64],
        fading: float,
    ) -> MicroCluster:
        """Return it with patches ``(n, d)`` that belong to it by ``weights (n,)``; what it held counts ``fading``."""
        old, new = fading * self.weight, float(weights.sum())
        total = max(old + new, TINY)
        centre = (old * self.centre + weights @ points) / total
        moved, apart = self.centre - centre, points - centre
        scatter = (old * (self.scatter + np.outer(moved, moved)) + (weights[:, None] * apart).T @ apart) / total
        vague = (old * self.entropy + float(weights @ entropy)) / total
        return replace(self, centre=centre, scatter=scatter, weight=old + new, entropy=vague).remembering(points, rows)

    def remembering(self, points: NDArray[np.float64], rows: NDArray[np.int64]) -> MicroCluster:
        """Return it with the nearest of the patches that it remembers and of some more ``(n, d)``, by their rows."""
        known = self.exemplars.reshape(-1, len(self.centre))
        vectors, numbers = np.concatenate([known, points]), np.concatenate([self.exemplar_rows, rows])
        nearest = np.argsort(((vectors - self.centre) ** 2).sum(axis=1), kind="stable")[:EXEMPLARS]
        return replace(self, exemplar_rows=numbers[nearest], exemplars=vectors[nearest])


def valley(one: MicroCluster, other: MicroCluster) -> float:
    """Return how deep the density falls between two clusters: 1 where it does not, 0 where nothing lies between.

    Each is taken for a normal distribution of its own weight along the line of their centres; the lowest density
    between these is divided by that at the lower of the two. A normal cloud cut in halves gives about 0.8, two of
    equal width that are four standard deviations apart 0.27.
    """
    line = other.centre - one.centre
    length = float(np.sqrt(line @ line))
    if length < TINY:
        return 1.0
    spread = [float(np.sqrt(np.maximum(line @ each.scatter @ line, 0.0))) / length for each in (one, other)]
    width = np.maximum(spread, 1e-3 * length)
    apart = (STEPS - np.array([0.0, 1.0])) * length / width
    density = (np.array([one.weight, other.weight]) / width * np.exp(-(apart**2) / 2)).sum(axis=1)
    return float(density.min() / max(min(density[0], density[-1]), 1e-300))


def most_alike(clusters: list[MicroCluster]) -> tuple[float, int, int]:
    """Return the shallowest valley between two of some clusters, and which two; 0 where there is one alone."""
    pairs = combinations(range(len(clusters)), 2)
    found = [(valley(clusters[a], clusters[b]), a, b) for a, b in pairs]
    return max(found, key=lambda one: one[0], default=(0.0, 0, 0))


def merged(one: MicroCluster, other: MicroCluster) -> MicroCluster:
    """Return two clusters as one: each counts by its weight, and the heavier keeps its number."""
    heavy, light = (one, other) if one.weight >= other.weight else (other, one)
    share = light.weight / max(heavy.weight + light.weight, TINY)
    apart = light.centre - heavy.centre
    centre = heavy.centre + share * apart
    scatter = (1 - share) * heavy.scatter + share * light.scatter + share * (1 - share) * np.outer(apart, apart)
    entropy = (1 - share) * heavy.entropy + share * light.entropy
    whole = replace(heavy, centre=centre, scatter=scatter, weight=heavy.weight + light.weight, entropy=entropy)
    return whole.remembering(light.exemplars.reshape(-1, len(centre)), light.exemplar_rows)


def halves(cluster: MicroCluster, points: NDArray[np.float64], number: int) -> tuple[MicroCluster, MicroCluster] | None:
    """Return a cluster as two, by fuzzy c-means of the patches ``(n, d)`` that it got of late; None for too few.

    The half nearer to the old centre keeps the number, the other gets ``number``.
    """
    if len(points) < 2 * FEWEST:
        return None
    apart = points - points.mean(axis=0)
    spread, axes = np.linalg.eigh(apart.T @ apart / len(points))
    step = np.sqrt(max(spread[-1], 0.0)) * axes[:, -1]
    start = np.stack([points.mean(axis=0) - step, points.mean(axis=0) + step])
    settled = 1e-4 * float(np.sqrt(max(spread[-1], TINY)))
    centres = settled_centres(points, start, SPLIT_FUZZINESS, settled=settled)
    second = memberships_of(points, centres, SPLIT_FUZZINESS).argmax(axis=1) == 1
    parts = [points[~second], points[second]]
    if min(map(len, parts)) < FEWEST:
        return None
    parts.sort(key=lambda one: float(((one.mean(axis=0) - cluster.centre) ** 2).sum()))
    near, far = (
        replace(
            cluster,
            number=name,
            centre=part.mean(axis=0),
            scatter=np.cov(part.T, bias=True).reshape(len(step), len(step)),
            weight=cluster.weight * len(part) / len(points),
            exemplar_rows=np.empty(0, np.int64),
            exemplars=np.empty((0, len(step))),
        )
        for name, part in zip((cluster.number, number), parts, strict=True)
    )
    return near, far
