"""What a stream of patches leaves behind: its timeline while it runs, and at its end memberships and clusters."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.report.clusters import Frame, StreamPicture, render_clusters
from wsi_patches.stores import Store
from wsi_patches.stores.files import replacing, write_whole

if TYPE_CHECKING:
    from wsi_patches.train.adnf import Moment, StreamClusters

__all__ = [
    "CLUSTERS",
    "MEMBERSHIPS",
    "PAGE",
    "TIMELINE",
    "Timeline",
    "patch_name",
    "write_clusters",
    "write_memberships",
]

PAGE, MEMBERSHIPS, CLUSTERS, TIMELINE = "clusters.html", "memberships.csv", "clusters.csv", "timeline.csv"
DRAWN = 1500
"""Points of the picture at the most, evenly spaced over the stream."""
FRAMES = 60
"""Moments of the picture, about."""
MOMENT = ("arrived", "clusters", "fuzziness", "entropy", "fuzzy_temporal_index", "outside", "events")


class Timeline:
    """Writes ``timeline.csv`` batch by batch, and a page that shows the stream so far.

    Parameters
    ----------
    out
        The folder; it must be there.
    total
        How many patches will arrive.
    title
        Of the page.
    """

    def __init__(self, out: Path, total: int, title: str) -> None:
        self._out, self._total, self._title = out, total, title
        self._frames: list[Frame] = []
        self._points: list[NDArray[np.float64]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._every, self._drawn = max(1, total // FRAMES), 0
        self.on_arrival = np.zeros(total, np.int32)
        """Number of the cluster that each patch belonged to most when it arrived, shape ``(total,)``."""
        self.first_outside: float | None = None
        """Share of what lies outside of the components, of the first batch that these were not fitted to."""
        self.highest_outside = 0.0
        self._writer: Any = None

    @contextmanager
    def written(self) -> Iterator[Timeline]:
        """Open the file; it is whole at the end, and readable meanwhile under the name ``timeline.csv.partial``."""
        with replacing(self._out / TIMELINE) as path, path.open("w", newline="", encoding="utf-8", buffering=1) as file:
            self._writer = csv.writer(file, lineterminator="\n")
            self._writer.writerow(MOMENT)
            yield self

    def tell(self, rows: NDArray[np.int64], hard: NDArray[np.int64], points: NDArray[np.float64]) -> None:
        """Note patches that arrive: the cluster of each, and its place ``(n, d)``."""
        self.on_arrival[rows] = hard
        shown = (rows * DRAWN) // self._total != ((rows - 1) * DRAWN) // self._total
        flat = np.pad(points[shown][:, :2], ((0, 0), (0, max(0, 2 - points.shape[1]))))
        self._points.append(flat)
        self._rows.append(rows[shown])

    def moment(self, moment: Moment, stream: StreamClusters) -> None:
        """Write a row, and now and then the page."""
        self._writer.writerow(
            (
                moment.arrived, moment.clusters, f"{moment.fuzziness:.4f}", f"{moment.entropy:.4f}",
                f"{moment.index:.5f}", f"{moment.outside:.4f}", "; ".join(moment.events),
            )
        )  # fmt: skip
        if moment is not stream.first:
            self.first_outside = moment.outside if self.first_outside is None else self.first_outside
            self.highest_outside = max(self.highest_outside, moment.outside)
        if moment.arrived - self._drawn < self._every and moment.arrived < self._total and not moment.events:
            return
        self._drawn = moment.arrived
        total = sum(one.weight for one in stream.living)
        centres = tuple(
            (one.number, *np.pad(one.centre[:2], (0, max(0, 2 - len(one.centre)))).tolist(), one.weight / total)
            for one in stream.living
        )
        self._frames.append(Frame(moment.arrived, centres, moment.fuzziness))
        if moment.arrived < self._total:
            so_far = f"{moment.arrived} of {self._total} patches have arrived; this page loads itself again."
            page = render_clusters(self._title, (so_far,), self.picture(self.on_arrival), goes_on=True)
            write_whole(self._out / PAGE, page.encode(), durable=False)

    def picture(self, numbers: NDArray[np.int32]) -> StreamPicture:
        """Return the stream so far, its points in the clusters ``numbers`` of all patches."""
        rows = np.concatenate(self._rows)
        return StreamPicture(np.concatenate(self._points), rows + 1, numbers[rows], self._frames)


def patch_name(store: Store, position: int) -> str:
    """Return a patch's name: its slide's, with its index in the grid."""
    return f"{store.slides[int(store.slide_rows[position])].id}#{int(store.grid_index[position])}"


def write_memberships(
    out: Path,
    store: Store,
    order: NDArray[np.int64],
    stream: StreamClusters,
    members: Iterator[NDArray[np.float64]],
    on_arrival: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Write ``memberships.csv``: a row a patch in the order of arrival, a column a cluster that lived or has faded.

    Returns
    -------
    Number of the cluster that each patch belongs to most, int32 of shape ``(n,)``.
    """
    numbers = np.array([one.number for one in stream.clusters], np.int32)
    final = np.empty(len(order), np.int32)
    head = ("slide", "index", "arrived", "cluster", "membership", "on_arrival", *(f"c{one}" for one in numbers))
    with replacing(out / MEMBERSHIPS) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer, row = csv.writer(file, lineterminator="\n"), 0
        writer.writerow(head)
        for member in members:
            for shares, best in zip(member, member.argmax(axis=1).tolist(), strict=True):
                slide, index = patch_name(store, int(order[row])).rsplit("#", 1)
                final[row] = numbers[best]
                told = (f"{one:.6f}" for one in shares)
                writer.writerow((slide, index, row + 1, final[row], f"{shares[best]:.6f}", on_arrival[row], *told))
                row += 1
    return final


def write_clusters(
    out: Path, store: Store, order: NDArray[np.int64], stream: StreamClusters, told: Sequence[tuple[int, str]]
) -> None:
    """Write ``clusters.csv``; ``told`` is how many patches each cluster ends with, and what labels these bear."""
    dims = len(stream.clusters[0].centre)
    head = ("cluster", "patches", "weight", "entropy", "born", "rested", "labels", "exemplars")
    with replacing(out / CLUSTERS) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*head, *(f"centre_{number}" for number in range(1, dims + 1))))
        for one, (patches, labels) in zip(stream.clusters, told, strict=True):
            exemplars = ";".join(patch_name(store, int(order[row])) for row in one.exemplar_rows)
            rested = "" if one.rested is None else one.rested
            figures = (f"{one.weight:.3f}", f"{one.entropy:.4f}", one.born, rested)
            place = (f"{value:.6g}" for value in one.centre)
            writer.writerow((one.number, patches, *figures, labels, exemplars, *place))
