"""The page of ``explain``: which queries it shows, the maps of their likeness, and where they lie on the latent map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.latent_map import LatentMap, draw_latent_map, latent_positions
from wsi_patches.evaluate.neighbour_shares import NeighbourShares
from wsi_patches.pipeline import Progress
from wsi_patches.report.explained import ExplainedCase, ExplainedMap, ExplainedNeighbour, render_explained
from wsi_patches.workflows.explain_compare import Compared
from wsi_patches.workflows.explain_files import CSV, Answer, agreement_rows
from wsi_patches.workflows.explain_maps import CAMS, MapDrawer
from wsi_patches.workflows.explain_settings import ExplainSettings

__all__ = ["Told", "explained_page"]

MOST_KNOWN, MOST_ASKED = 3000, 1000
"""Points of the latent map: t-SNE of more takes minutes."""
BY_EYE = (
    "The maps show what the network goes by, which may be stain, light or the rim of a picture; they do not say that "
    "it is right."
)


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
    drawer: MapDrawer,
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
    drawer
        Draws the maps of likeness.
    title
        What the network is called.
    compared
        What was found.
    told
        What came of it.
    progress
        Told how many queries are drawn.

    Raises
    ------
    MissingExtra
        The extra ``explain`` is not installed.
    SlideError, StoreError
        A patch cannot be read.
    """
    shown = _spread(len(told.answers), settings.show)
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
    if compared.same:  # each query lies where it lies as a known patch
        known, asked = np.union1d(known, asked), asked[:0]
    vectors = np.concatenate([compared.known.vectors[known], compared.asked.vectors[asked]])
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
    settings: ExplainSettings, compared: Compared, answer: Answer, row: int, drawer: MapDrawer, places: Places
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
    how = {
        "Queries": ", ".join(map(str, settings.queries)),
        "Known patches": f"{', '.join(map(str, settings.reference))}: {classes}",
        "Described by": f"{title}, each patch as it is, neither turned nor flipped",
        "Distance": f"Euclidean, of {'logits' if settings.in_logits else 'features'}",
        "Search": "an approximate index (HNSW)" if many else "all known patches",
        "Vote": f"{settings.k} neighbours; without a majority: {settings.tie}",
    }
    if settings.cam != "none":
        how["Maps"] = f"{CAMS[settings.cam]} of the inner product of the two; all places: {settings.pool}"
    if agreement is not None:
        how |= {"Sample": str(agreement.sampling), "Intervals": agreement.sampling.sentence}
    return how
