"""The page of ``explain``: which queries it shows, the maps of their likeness, and where they lie on the latent map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.latent_map import LatentMap, draw_latent_map, latent_positions
from wsi_patches.evaluate.neighbour_shares import NeighbourShares
from wsi_patches.evaluate.neighbours import Neighbours
from wsi_patches.pipeline import Progress
from wsi_patches.report.explained import Alike, ExplainedCase, ExplainedMap, ExplainedNeighbour, render_explained
from wsi_patches.workflows.explain_cases import Cases
from wsi_patches.workflows.explain_files import CSV, Answer, agreement_rows
from wsi_patches.workflows.explain_settings import ExplainSettings

if TYPE_CHECKING:
    from wsi_patches.models.described import DescribedNetwork, Space
    from wsi_patches.models.similarity_maps import LastMap

__all__ = ["Compared", "Told", "explained_page"]

MOST_KNOWN, MOST_ASKED = 3000, 1000
"""Points of the latent map: t-SNE of more takes minutes."""
CAMS = {"rgrad": "RGrad-CAM", "grad": "Grad-CAM"}
BY_EYE = (
    "The maps show what the network goes by, which may be stain, light or the rim of a picture; they do not say that "
    "it is right."
)


@dataclass(frozen=True)
class Compared:
    """Queries, known patches, and which of these are nearest."""

    queries: Cases
    reference: Cases
    query_features: NDArray[np.float32]
    reference_features: NDArray[np.float32]
    near: Neighbours
    own: NDArray[np.int64]
    """Patient and slide of each query, as numbers, ``(n, 2)``; see `find_neighbours`."""
    others: NDArray[np.int64]
    """Of each known patch, ``(m, 2)``."""

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the known patches, in alphabetical order."""
        return tuple(sorted(set(self.reference.labels.tolist())))

    @cached_property
    def query_classes(self) -> NDArray[np.int64]:
        """Index into ``class_names``, ``(n,)``; -1 where it is not known or is no class of the reference."""
        return self._index(self.queries.labels)

    @cached_property
    def reference_classes(self) -> NDArray[np.int64]:
        """Index into ``class_names``, ``(m,)``."""
        return self._index(self.reference.labels)

    @property
    def neighbour_classes(self) -> NDArray[np.int64]:
        """Of each neighbour, ``(n, k)``."""
        return self.reference_classes[self.near.rows]

    def _index(self, labels: NDArray[np.str_]) -> NDArray[np.int64]:
        rows = {name: row for row, name in enumerate(self.class_names)}
        return np.array([rows.get(one, -1) for one in labels.tolist()], np.int64)


@dataclass(frozen=True)
class Told:
    """What came of an explanation."""

    answers: Sequence[Answer]
    """A row a query."""
    agreement: NeighbourShares | None
    """How often neighbours are right; None where nobody knows."""
    notes: Sequence[str]
    """What was left out, and why."""


def explained_page(
    settings: ExplainSettings,
    described: DescribedNetwork,
    title: str,
    compared: Compared,
    told: Told,
    progress: Progress | None = None,
) -> tuple[str, tuple[str, ...]]:
    """Return the page, and what more there is to note.

    Parameters
    ----------
    settings
        What was asked.
    described, title
        The network, and what it is called.
    compared
        What was found.
    told
        What came of it.
    progress
        Told how many queries are drawn.

    Raises
    ------
    ModelError
        The network has no maps of likeness, and they were not left out.
    """
    shown = _spread(len(told.answers), settings.show)
    drawer = _Drawer(settings, described, compared)
    latent, places = _latent(settings, compared, shown)
    cases = []
    for count, row in enumerate(shown.tolist(), start=1):
        cases.append(_case(settings, compared, told.answers[row], row, drawer, places))
        if progress is not None:
            progress(count, len(shown))
    page = render_explained(
        f"{len(told.answers)} queries beside {len(compared.reference)} known patches",
        _summary(settings, told.answers, shown),
        cases,
        latent,
        agreement_rows(told.agreement),
        _details(settings, title, compared, told.agreement),
        (*told.notes, *drawer.notes),
    )
    return page, tuple(drawer.notes)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return rows that are evenly spread over all."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


class _Drawer:
    """Draws the maps of likeness of a query and its neighbours."""

    def __init__(self, settings: ExplainSettings, described: DescribedNetwork, compared: Compared) -> None:
        self.settings, self.described, self.compared = settings, described, compared
        in_logits = settings.space != "embedding" and settings.encoder is None
        self.space: Space = "logits" if in_logits else "embedding"
        self.notes: list[str] = []
        self.last: LastMap | None = None
        if settings.cam != "none":
            from wsi_patches.models.similarity_maps import LastMap

            self.last = LastMap.of(described)
            if self.last.averaged is None:
                self.notes.append(
                    "This network's features are no averages of its last map, so that there are no maps of pairs."
                )

    def alike(self, query: NDArray[np.uint8], near: NDArray[np.uint8]) -> list[tuple[Alike, ...]]:
        """Return the maps of each neighbour, uint8 RGB ``(k, s, s, 3)``."""
        if self.last is None or self.settings.cam == "none":
            return [()] * len(near)
        from wsi_patches.models.similarity_maps import overall_maps, similarity_cams

        found = [
            (
                CAMS[self.settings.cam],
                similarity_cams(self.described, self.last, query, near, self.space, self.settings.cam),
            )
        ]
        if self.last.averaged is not None:
            found.append(
                ("All places", overall_maps(self.described, self.last, query, near, self.space, self.settings.pool))
            )
        return [
            tuple(Alike(name, maps.query[rank], maps.neighbours[rank]) for name, maps in found)
            for rank in range(len(near))
        ]


Places = tuple[dict[int, tuple[float, float]], dict[int, tuple[float, float]]]
"""Where known patches and queries lie on the latent map, by their rows."""


def _latent(
    settings: ExplainSettings, compared: Compared, shown: NDArray[np.int64]
) -> tuple[ExplainedMap | None, Places]:
    """Return the latent map of features, and where its points lie."""
    if settings.map == "none":
        return None, ({}, {})
    rng = np.random.default_rng(settings.seed)
    known = _some(rng, len(compared.reference), MOST_KNOWN, np.unique(compared.near.rows[shown]))
    asked = _some(rng, len(compared.queries), MOST_ASKED, shown)
    if compared.query_features is compared.reference_features:  # each query lies where it lies as a known patch
        known, asked = np.union1d(known, asked), asked[:0]
    vectors = np.concatenate([compared.reference_features[known], compared.query_features[asked]])
    classes = np.concatenate([compared.reference_classes[known], compared.query_classes[asked]])
    positions = latent_positions(vectors, settings.map, settings.seed)
    drawn: LatentMap = draw_latent_map(positions, classes, compared.class_names, queries=len(asked))
    spots = [(x, y) for x, y in drawn.positions.tolist()]
    how = "t-SNE from principal components" if settings.map == "tsne" else "UMAP"
    further = f" and {len(asked)} queries, which are crosses" if len(asked) else ""
    note = (
        f"{how}, of the features of {len(known)} of {len(compared.reference)} known patches{further}; "
        "distances between far groups mean little."
    )
    of_known = dict(zip(known.tolist(), spots, strict=False))
    of_asked = dict(zip(asked.tolist(), spots[len(known) :], strict=True)) if len(asked) else of_known
    return ExplainedMap(drawn.png, drawn.legend, note), (of_known, of_asked)


def _some(rng: np.random.Generator, count: int, most: int, needed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return some rows, drawn at random, those that are needed among them."""
    if count <= most:
        return np.arange(count)
    return np.union1d(needed, rng.choice(count, most, replace=False))


def _case(
    settings: ExplainSettings, compared: Compared, answer: Answer, row: int, drawer: _Drawer, places: Places
) -> ExplainedCase:
    rows = compared.near.rows[row]
    query, near = compared.queries.read([row])[0], compared.reference.read(rows)
    neighbours = tuple(
        ExplainedNeighbour(
            one.label, one.distance, _where(_short(one.file), one.patient), pixels, alike, places[0].get(of)
        )
        for one, pixels, alike, of in zip(
            answer.neighbours, near, drawer.alike(query, near), rows.tolist(), strict=True
        )
    )
    where = _where(answer.file, answer.patient)
    said = _vote_sentence(settings, answer)
    return ExplainedCase(answer.name, where, said, answer.truth, query, neighbours, places[1].get(row))


def _short(file: str) -> str:
    """Return a file with the folder that it lies in."""
    return "/".join(file.replace("\\", "/").split("/")[-2:])


def _where(file: str, patient: str) -> str:
    return f"{file}, patient {patient}" if patient else file


def _vote_sentence(settings: ExplainSettings, answer: Answer) -> str:
    labels = [one.label for one in answer.neighbours]
    if not answer.vote:
        return (
            f"No class has a majority among {len(labels)} neighbours, so nothing is said (margin {answer.margin:.2f})"
        )
    count = labels.count(answer.vote)
    how = "" if 2 * count > len(labels) else f", without a majority, by the rule {settings.tie}"
    return f"Neighbours say {answer.vote}: {count} of {len(labels)} (margin {answer.margin:.2f}){how}"


def _summary(settings: ExplainSettings, answers: Sequence[Answer], shown: NDArray[np.int64]) -> list[str]:
    silent = sum(not one.vote for one in answers)
    spread = ", evenly spread over all," if len(shown) < len(answers) else ""
    lines = [
        f"For each query the {settings.k} most similar known patches, none of its own slide, picture or patient. The "
        f"neighbours of {silent} of {len(answers)} queries abstain.",
        f"{len(shown)} of {len(answers)} queries{spread} are shown; all are in {CSV}.",
    ]
    return lines if settings.cam == "none" else [*lines, BY_EYE]


def _details(
    settings: ExplainSettings, title: str, compared: Compared, agreement: NeighbourShares | None
) -> dict[str, str]:
    counts = np.bincount(compared.reference_classes, minlength=len(compared.class_names)).tolist()
    classes = ", ".join(f"{count} {name}" for name, count in zip(compared.class_names, counts, strict=True))
    many = len(compared.reference) > settings.approximate_above
    logits = settings.space != "embedding" and settings.encoder is None
    how = {
        "Queries": ", ".join(map(str, settings.queries)),
        "Known patches": f"{', '.join(map(str, settings.reference))}: {classes}",
        "Described by": f"{title}, each patch as it is, neither turned nor flipped",
        "Distance": f"Euclidean, of {'logits' if logits else 'features'}",
        "Search": "an approximate index (HNSW)" if many else "all known patches",
        "Vote": f"{settings.k} neighbours; without a majority: {settings.tie}",
    }
    if settings.cam != "none":
        how["Maps"] = f"{CAMS[settings.cam]} of the inner product of the two; all places: {settings.pool}"
    if agreement is not None:
        how |= {"Sample": str(agreement.sampling), "Intervals": agreement.sampling.sentence}
    return how
