"""``wsi-patches cluster``: the patches of a store, one after the other, into clusters with soft memberships."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.evaluate.clusters import UNDEFINED, ClusterFigures, by_k_means, measure_clusters
from wsi_patches.imaging.fcm import memberships_of
from wsi_patches.locations import Location
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.pipeline import Progress
from wsi_patches.report.clusters import ClusterShown, render_clusters
from wsi_patches.stores import Store, open_store
from wsi_patches.stores.files import write_json, write_whole
from wsi_patches.train.adnf import AdnfSettings, StreamClusters, first_centres
from wsi_patches.train.features import KeptFeatures, keep_features
from wsi_patches.workflows.cluster_files import PAGE, Timeline, patch_name, write_clusters, write_memberships
from wsi_patches.workflows.cluster_order import stream_order
from wsi_patches.workflows.labelled import known_patches
from wsi_patches.workflows.output import Existing, check_output, clear_output, make_folder
from wsi_patches.workflows.probe import in_engine

__all__ = ["AT_ONCE", "STATIC", "STREAMED", "ClusterResult", "ClusterSettings", "cluster_store", "figures_rows"]

MEASURED = 10_000
"""Patches, evenly spaced, that figures are measured on and that k-means is given, so that memory stays flat."""
STREAMED, AT_ONCE, STATIC = "stream (ADNF)", "k-means, all at once", "fuzzy c-means, first patches"
UNSEEN = 0.2
"""By how much more than the first batch after the start later ones may lie outside of the components."""
HEAD = ("Way", "Clusters", "Silhouette", "Davies-Bouldin", "Adjusted Rand", "by chance up to", "Purity")
JSON = "figures.json"


@dataclass(frozen=True)
class ClusterSettings:
    """What ``cluster`` is asked to do; the keys of a recipe, and the command's options."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    store: Location
    out: Path
    encoder: str = "lite0"
    """Its name, or a YAML file that describes it; see `wsi_patches.models.encoder_file`."""
    device: str = "auto"
    order: Path | None = None
    """In which order patches arrive; see `stream_order`."""
    target: str | None = None
    """Labels that the clusters are held against afterwards; see `known_patches`."""
    stream: AdnfSettings = field(default_factory=AdnfSettings)
    """How the stream is clustered."""
    overwrite: bool = False


@dataclass(frozen=True)
class ClusterResult:
    """What came of a stream."""

    page: Path
    patches: int
    living: int
    """Clusters at its end."""
    faded: int
    figures: Mapping[str, ClusterFigures]
    """Of ours and of simpler ways, on the same patches."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Stream:
    """Patches in the order in which they arrive."""

    settings: ClusterSettings
    store: Store
    order: NDArray[np.int64]
    """Positions in the store, shape ``(n,)``."""
    features: KeptFeatures
    labels: NDArray[np.int32]
    """Of each patch of the store, -1 where nobody knows; looked at when the stream is over."""
    classes: tuple[str, ...]

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return features of the patches at some places of the stream."""
        return self.features.read(self.order[rows])

    @property
    def first(self) -> NDArray[np.int64]:
        """The places that components and clusters begin with."""
        return np.arange(min(self.settings.stream.start, len(self.order)))

    def begun(self) -> StreamClusters:
        """Return the clusters of the first patches."""
        return StreamClusters(self.settings.stream, self.read(self.first), self.first)

    def batches(self, first: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield the places in the stream from the first on, a batch at a time."""
        size = self.settings.stream.batch
        for start in range(first, len(self.order), size):
            yield np.arange(start, min(start + size, len(self.order)))


def cluster_store(settings: ClusterSettings, progress: Progress | None = None) -> ClusterResult:
    """Cluster the patches of a store as a stream, and say how good the clusters are.

    Labels are looked at when the stream is over. What is kept meanwhile are the clusters, a window of the latest
    patches and a few numbers a patch; features are read from the store, part by part.

    Raises
    ------
    UsageError
        There are fewer patches than clusters, the order leaves a slide out, or the store has no such labels.
    ModelError
        The encoder or its weights cannot be used.
    StoreError
        The store cannot be read.
    MissingExtra
        The extra ``train`` is not installed.
    """
    ours = (settings.out / PAGE).is_file()
    check_output(settings.out, Existing(overwrite=settings.overwrite), ours=ours, what="clusters", resumable=False)
    with needs_extra("train", "cluster"):
        import sklearn.metrics  # noqa: F401 - said now, before patches are looked at
    store = open_store(settings.store)
    order = stream_order(store, settings.order)
    if len(order) < settings.stream.clusters:
        msg = (
            f"{settings.stream.clusters} clusters were asked of {len(order)} patches in {store.path}: "
            "ask for fewer, of two patches or more"
        )
        raise UsageError(msg)
    labels, classes = _labels(store, settings.target)
    encoder = FrozenEncoder.load(settings.encoder, settings.device)
    keep_features(store, encoder, progress, describe=in_engine(encoder))
    source = _Stream(settings, store, order, KeptFeatures(store, encoder.encoder), labels, classes)
    with threadpool_limits(1):  # equal seeds give equal bits, and small matrices gain nothing
        stream = source.begun()  # refuses what cannot be clustered, before an earlier output goes
        make_folder(settings.out)
        clear_output(settings.out)
        return _clustered(source, stream)


def _labels(store: Store, target: str | None) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return the class of each patch and the names of classes; none where no two are known."""
    found, labels = known_patches(store, target), np.full(len(store), -1, np.int32)
    if len(set(found.truth.tolist())) > 1:
        labels[found.positions] = found.truth
        return labels, found.class_names
    if target is not None:
        msg = f"{store.path}: --target {target} tells no two classes of patches apart: leave it out"
        raise UsageError(msg)
    return labels, ()


def _clustered(source: _Stream, stream: StreamClusters) -> ClusterResult:
    settings, out = source.settings, source.settings.out
    title = f"Clusters of {source.store.path.name} as its patches arrive"
    timeline = _followed(source, stream, title)
    members = (stream.memberships(source.read(rows)) for rows in source.batches())
    final = write_memberships(out, source.store, source.order, stream, members, timeline.on_arrival)
    told = [_told_of(source, final == one.number) for one in stream.clusters]
    write_clusters(out, source.store, source.order, stream, told)
    figures = _figures(source, stream, final)
    warnings = _warnings(stream, timeline)
    plain = {name: one.plain for name, one in figures.items()}
    write_json(out / JSON, {"settings": _plain(settings), "figures": plain, "warnings": list(warnings)})
    page = render_clusters(
        title,
        (_summary(source, stream),),
        timeline.picture(final),
        figures_rows(figures),
        [_shown(source, one.number, one.exemplar_rows, what) for one, what in zip(stream.clusters, told, strict=True)],
        _details(source, stream),
        warnings,
    )
    write_whole(out / PAGE, page.encode(), durable=False)
    return ClusterResult(out / PAGE, len(source.order), len(stream.living), len(stream.rested), figures, warnings)


def _followed(source: _Stream, stream: StreamClusters, title: str) -> Timeline:
    """Let all patches arrive; labels are not looked at."""
    timeline = Timeline(source.settings.out, len(source.order), title)
    with timeline.written():
        _arrive(timeline, stream, source.first, source.read(source.first))
        timeline.moment(stream.first, stream)
        for rows in source.batches(len(source.first)):
            features = source.read(rows)
            _arrive(timeline, stream, rows, features)
            timeline.moment(stream.add(features, rows), stream)
    return timeline


def _arrive(timeline: Timeline, stream: StreamClusters, rows: NDArray[np.int64], features: NDArray[np.float32]) -> None:
    numbers, member = stream.now(features)
    timeline.tell(rows, np.array(numbers)[member.argmax(axis=1)], stream.projection.of(features))


def _figures(source: _Stream, stream: StreamClusters, final: NDArray[np.int32]) -> dict[str, ClusterFigures]:
    """Measure ours beside k-means on the same patches at once, and beside the clusters of the first patches alone."""
    rows = np.unique(np.linspace(0, len(final) - 1, min(len(final), MEASURED)).round().astype(np.int64))
    asked, labels = source.settings.stream, source.labels[source.order[rows]]
    points = np.concatenate(
        [stream.projection.of(source.read(some)) for some in np.array_split(rows, -(-len(rows) // 64))]
    )
    first = stream.projection.of(source.read(source.first))
    static = memberships_of(points, first_centres(first, asked.clusters, asked.fuzziness, asked.seed), asked.fuzziness)
    ways = {
        STREAMED: final[rows],
        AT_ONCE: by_k_means(points, max(2, len(np.unique(final[rows]))), asked.seed),
        STATIC: static.argmax(axis=1),
    }
    return {name: measure_clusters(points, assigned, labels, asked.seed) for name, assigned in ways.items()}


def figures_rows(figures: Mapping[str, ClusterFigures]) -> list[tuple[str, ...]]:
    """Return the figures as a table of text, its header first, without columns in which nothing is defined."""
    rows = [HEAD, *((name, *one.texts) for name, one in figures.items())]
    told = [place for place, texts in enumerate(zip(*rows[1:], strict=True)) if set(texts) != {UNDEFINED}]
    return [tuple(row[place] for place in told) for row in rows]


def _told_of(source: _Stream, mine: NDArray[np.bool_]) -> tuple[int, str]:
    """Return how many patches a cluster ends with, and what labels these bear."""
    labels = source.labels[source.order[mine]]
    counts = np.bincount(labels[labels >= 0], minlength=len(source.classes)).tolist()
    told = ", ".join(f"{name} {count}" for name, count in zip(source.classes, counts, strict=True) if count)
    return int(np.count_nonzero(mine)), told


def _shown(source: _Stream, number: int, rows: NDArray[np.int64], told: tuple[int, str]) -> ClusterShown:
    positions = source.order[rows]
    pictures = list(source.store.read(positions)) if len(positions) else []
    names = [patch_name(source.store, position) for position in positions.tolist()]
    labels = f" Their labels, which the clustering never saw: {told[1]}." if told[1] else ""
    note = f"{told[0]} patches belong to it most.{labels} Patches nearest to its centre:"
    return ClusterShown(f"Cluster {number}", note, pictures, names)


def _summary(source: _Stream, stream: StreamClusters) -> str:
    faded = f", {len(stream.rested)} have faded" if stream.rested else ""
    return (
        f"{len(source.order)} patches arrived one batch after the other; {len(stream.living)} clusters live at the "
        f"end{faded}. A cluster is what looks alike to the encoder, which may be stain or light as well as cells."
    )


def _warnings(stream: StreamClusters, timeline: Timeline) -> tuple[str, ...]:
    seen, later = timeline.first_outside, timeline.highest_outside
    if seen is None or later - seen <= UNSEEN:
        return ()
    return (
        f"Up to {100 * later:.0f} % of the scatter of later patches lies outside of the components that were fitted to "
        f"the first {stream.first.arrived} ({100 * seen:.0f} % of the batch after these): kinds that differ there "
        "alone are not seen. Begin with more patches (--first), or in an order that mixes slides.",
    )


def _details(source: _Stream, stream: StreamClusters) -> dict[str, str]:
    settings = source.settings
    return {
        "Store": str(settings.store),
        "Encoder": f"{settings.encoder}, frozen",
        "Order": "that of the store" if settings.order is None else str(settings.order),
        "Components": f"{len(stream.projection.axes)}, fitted to the first {stream.first.arrived} patches",
        "Measured on": f"at most {MEASURED} patches, evenly spaced; labels: {', '.join(source.classes) or 'not known'}",
        **{name.replace("_", " ").capitalize(): f"{value:g}" for name, value in asdict(settings.stream).items()},
    }


def _plain(settings: ClusterSettings) -> dict[str, object]:
    values = {
        name: value if value is None else str(value) for name, value in vars(settings).items() if name != "stream"
    }
    return {**values, "stream": asdict(settings.stream)}
