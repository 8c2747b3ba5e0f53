"""Clusters of patches that arrive one after the other, with soft memberships: in the manner of ADNF-Clustering.

Source: Aruta, Listone, G. Murano, A. Murano, "ADNF-Clustering", arXiv 2506.18396, of which only the abstract is known:
fuzzy c-means at the start, micro-clusters, a Fuzzy Temporal Index (the evolution of entropy) that adapts the fuzziness,
merging weighted by density, splitting guided by entropy. What is computed is ours, and said where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.fcm import memberships_of, settled_centres
from wsi_patches.train.checks import check_ranges
from wsi_patches.train.micro_clusters import MicroCluster, halves, merged, most_alike, valley
from wsi_patches.train.projection import Projection

__all__ = ["HIGHEST", "LOWEST", "AdnfSettings", "Moment", "StreamClusters", "entropy_of", "first_centres"]

LOWEST, HIGHEST = 1.1, 3.0
"""Between which the fuzziness moves."""
SHORT = 8
"""How many times shorter the index's short memory is than its long one, which is that of the clusters."""
MOST_RESTED = 64
"""Faded clusters that are remembered, the heaviest."""
TRIES = 8
"""Starts of fuzzy c-means, of which the one with the least scatter counts."""
RANGES = {
    "clusters": (2, 1000), "least": (1, 1000), "most": (2, 1000), "dims": (1, 1000), "start": (2, 10**6),
    "batch": (1, 10**6), "window": (32, 10**6), "half_life": (1, 10**9), "adapt": (0, 100), "rest_below": (0, 0.5),
    "merge_above": (0, 1.01), "split_below": (-0.01, 1), "seed": (0, 10**9),
}  # fmt: skip


@dataclass(frozen=True)
class AdnfSettings:
    """How a stream is clustered.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    clusters: int = 4
    """That fuzzy c-means starts with."""
    least: int = 2
    """Fewest clusters that merging and fading leave."""
    most: int = 16
    """Most clusters that live at a time."""
    dims: int = 10
    """Principal components that are kept, as published; fewer where the first patches have fewer."""
    start: int = 256
    """Patches that the components are fitted to, and that fuzzy c-means starts on."""
    batch: int = 64
    """Patches that arrive between two looks at what to merge and to split."""
    window: int = 512
    """Latest patches that splits are looked for in."""
    fuzziness: float = 1.5
    """Exponent of the memberships at the start, above 1; in ten dimensions 2 draws all centres to one."""
    adapt: float = 1.0
    """How strongly the Fuzzy Temporal Index moves the fuzziness; 0 for never."""
    half_life: float = 2000
    """Patches after which what a cluster holds counts half."""
    merge_above: float = 0.75
    """Valley from which two clusters are merged; see `valley`. Above 1 for never."""
    split_below: float = 0.4
    """Valley down to which a cluster is split; below 0 for never."""
    rest_below: float = 0.01
    """Share of all weight below which a cluster has faded: nothing is put into it any more, and it is remembered."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, "a clustering")
        if not 1 < self.fuzziness <= HIGHEST:
            msg = f"fuzziness of a clustering must lie above 1 and up to {HIGHEST}, got {self.fuzziness}"
            raise UsageError(msg)
        if not self.least <= self.clusters <= self.most:
            msg = f"a clustering starts with {self.least} to {self.most} clusters (least, most), got {self.clusters}"
            raise UsageError(msg)


@dataclass(frozen=True)
class Moment:
    """What the stream looked like after a batch."""

    arrived: int
    """Patches so far."""
    clusters: int
    """That live."""
    fuzziness: float
    entropy: float
    """Mean of the batch, 0 to 1."""
    index: float
    """The Fuzzy Temporal Index: mean entropy of late less that of long; above 0 while memberships grow vaguer."""
    outside: float
    """Share of the batch's scatter about the first patches' mean that the components do not show."""
    events: tuple[str, ...]
    """What was merged, split or put to rest, in words."""


class StreamClusters:
    """Clusters of a stream; what is kept does not grow with the number of patches.

    Parameters
    ----------
    settings
        How.
    features
        Of the first patches, shape ``(n, dim)``.
    rows
        Their numbers, by which exemplars are named, shape ``(n,)``.

    Raises
    ------
    UsageError
        There are fewer patches than clusters, or all are alike.
    """

    def __init__(self, settings: AdnfSettings, features: NDArray[np.floating], rows: NDArray[np.int64]) -> None:
        if len(features) < settings.clusters:
            msg = f"{settings.clusters} clusters were asked of {len(features)} patches: ask for fewer, or give more"
            raise UsageError(msg)
        self.settings, self.projection = settings, Projection.fitted(features, settings.dims)
        points = self.projection.of(features)
        self.fuzziness, self.arrived, self._numbers = settings.fuzziness, 0, settings.clusters
        centres = first_centres(points, settings.clusters, settings.fuzziness, settings.seed)
        flat = np.zeros((points.shape[1],) * 2)
        self.living = [MicroCluster(number, centre, flat) for number, centre in enumerate(centres, 1)]
        self.rested: list[MicroCluster] = []
        self._window = points[:0]
        vague = float(entropy_of(memberships_of(points, centres, settings.fuzziness)).mean())
        self._short = self._long = vague
        self.first = self.add(features, rows)

    @property
    def clusters(self) -> list[MicroCluster]:
        """Those that live, then those that have faded."""
        return [*self.living, *self.rested]

    def add(self, features: NDArray[np.floating], rows: NDArray[np.int64]) -> Moment:
        """Take in a batch of patches ``(n, dim)``."""
        points = self.projection.of(features)
        member = memberships_of(points, self._centres(self.living), self.fuzziness)
        vague = entropy_of(member)
        fading, weights = 0.5 ** (len(points) / self.settings.half_life), member**self.fuzziness
        self.living = [
            one.taught(points, weights[:, column], vague, rows, fading) for column, one in enumerate(self.living)
        ]
        self.arrived += len(points)
        self._window = np.concatenate([self._window, points])[-self.settings.window :]
        index = self._adapt(float(vague.mean()), len(points))
        events = (*self._rest(), *self._merge(), *self._split())
        outside = self.projection.outside(features, points)
        return Moment(self.arrived, len(self.living), self.fuzziness, float(vague.mean()), index, outside, events)

    def now(self, features: NDArray[np.floating]) -> tuple[list[int], NDArray[np.float64]]:
        """Return the numbers of the clusters that live, and the memberships ``(n, clusters)`` of patches in them."""
        member = memberships_of(self.projection.of(features), self._centres(self.living), self.fuzziness)
        return [one.number for one in self.living], member

    def memberships(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return memberships of patches ``(n, dim)`` in all `clusters`, faded ones too; rows sum to 1."""
        return memberships_of(self.projection.of(features), self._centres(self.clusters), self.fuzziness)

    @staticmethod
    def _centres(clusters: Sequence[MicroCluster]) -> NDArray[np.float64]:
        return np.stack([one.centre for one in clusters])

    def _adapt(self, entropy: float, count: int) -> float:
        """Move the fuzziness against the Fuzzy Temporal Index, and return this (ours).

        Memberships that grow vaguer than they were get crisper, and the other way round.
        """
        keep_long = 0.5 ** (count / self.settings.half_life)
        keep_short = keep_long**SHORT
        self._long = keep_long * self._long + (1 - keep_long) * entropy
        self._short = keep_short * self._short + (1 - keep_short) * entropy
        index = self._short - self._long
        wanted = 1 + (self.fuzziness - 1) * np.exp(-self.settings.adapt * index)
        self.fuzziness = float(np.clip(wanted, LOWEST, HIGHEST))
        return index

    def _rest(self) -> list[str]:
        """Put clusters aside that have faded, the lightest first."""
        events = []
        for one in sorted(self.living, key=lambda one: one.weight):
            total = sum(each.weight for each in self.living)
            if len(self.living) > self.settings.least and one.weight < self.settings.rest_below * total:
                self.living = [each for each in self.living if each is not one]
                self.rested = [*self.rested, replace(one, rested=self.arrived)]
                events.append(f"rested {one.number}")
        self.rested = sorted(self.rested, key=lambda one: -one.weight)[:MOST_RESTED]
        return events

    def _merge(self) -> list[str]:
        """Merge what is one mode, the most alike first."""
        events = []
        while len(self.living) > self.settings.least:
            shallowest, a, b = most_alike(self.living)
            if shallowest < self.settings.merge_above:
                break
            whole = merged(self.living[a], self.living[b])
            gone = self.living[b if whole.number == self.living[a].number else a].number
            self.living = [one for row, one in enumerate(self.living) if row not in (a, b)]
            self.living = sorted([*self.living, whole], key=lambda one: one.number)
            events.append(f"merged {gone} into {whole.number}")
        return events

    def _split(self) -> list[str]:
        """Split one cluster that is two modes: of those of more than mean entropy, the vaguest that is."""
        if len(self.living) >= self.settings.most:
            return []
        mean = float(np.mean([one.entropy for one in self.living]))
        nearest = memberships_of(self._window, self._centres(self.living), self.fuzziness).argmax(axis=1)
        for row in np.argsort([-one.entropy for one in self.living], kind="stable").tolist():
            whole = self.living[row]
            parts = halves(whole, self._window[nearest == row], self._numbers + 1) if whole.entropy >= mean else None
            if parts is not None and valley(*parts) <= self.settings.split_below:
                self._numbers += 1
                near, far = (one.remembering(whole.exemplars, whole.exemplar_rows) for one in parts)
                others = [one for one in self.living if one is not whole]
                self.living = sorted([*others, near, replace(far, born=self.arrived)], key=lambda one: one.number)
                return [f"split {whole.number} and {far.number}"]
        return []


def entropy_of(member: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of memberships ``(n, clusters)``, ``(n,)``: 0 where one has all, 1 where all share alike."""
    clusters = member.shape[1]
    if clusters < 2:
        return np.zeros(len(member))
    share = np.maximum(member, 1e-300)
    return np.asarray(-(share * np.log(share)).sum(axis=1) / np.log(clusters))


def first_centres(points: NDArray[np.float64], clusters: int, fuzziness: float, seed: int = 0) -> NDArray[np.float64]:
    """Return the centres of fuzzy c-means on points ``(n, d)``, ``(clusters, d)``: the best of several starts.

    Starts are drawn far from each other (k-means++, Arthur and Vassilvitskii 2007); equal seeds give equal centres.
    """
    rng, found = np.random.default_rng(seed), []
    settled = 1e-4 * max(float(np.sqrt(points.var(axis=0).sum())), 1e-12)
    for _ in range(TRIES):
        centres = settled_centres(points, _far_apart(points, clusters, rng), fuzziness, settled=settled)
        member = memberships_of(points, centres, fuzziness)
        apart = ((points[:, None] - centres) ** 2).sum(axis=2)
        found.append((float((member**fuzziness * apart).sum()), centres))
    return min(found, key=lambda one: one[0])[1]


def _far_apart(points: NDArray[np.float64], clusters: int, rng: np.random.Generator) -> NDArray[np.float64]:
    chosen = [points[rng.integers(len(points))]]
    for _ in range(clusters - 1):
        apart = np.min([((points - one) ** 2).sum(axis=1) for one in chosen], axis=0)
        total = apart.sum()
        shares = apart / total if total > 0 else np.full(len(points), 1 / len(points))
        chosen.append(points[rng.choice(len(points), p=shares)])
    return np.stack(chosen)
