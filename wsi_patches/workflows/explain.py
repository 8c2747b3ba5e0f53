"""``wsi-patches explain``: the most similar known patches of others, where they are alike, and what they vote for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.neighbour_shares import NeighbourShares, measure_neighbours
from wsi_patches.evaluate.neighbours import Neighbours, OwnedVectors, Vote, find_neighbours, own_rows, vote
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import write_whole
from wsi_patches.workflows.explain_compare import Compared, compare
from wsi_patches.workflows.explain_files import CSV, PAGE, Answer, FoundNeighbour, write_answers
from wsi_patches.workflows.explain_maps import MapDrawer
from wsi_patches.workflows.explain_network import Network, load_network
from wsi_patches.workflows.explain_page import Told, explained_page
from wsi_patches.workflows.explain_settings import ExplainSettings
from wsi_patches.workflows.explain_vectors import colours_of
from wsi_patches.workflows.output import Existing, check_output, clear_output, make_folder

__all__ = ["ExplainSettings", "Explained", "explain"]

QUERIES_AT_ONCE = 256


@dataclass(frozen=True)
class Explained:
    """What was explained."""

    page: Path
    table: Path
    answers: tuple[Answer, ...]
    agreement: NeighbourShares | None
    """None where no query's class is known."""
    notes: tuple[str, ...]


def explain(settings: ExplainSettings, progress: Progress | None = None) -> Explained:
    """Find the most similar known patches of each query, none of its own slide or patient, and write what they say.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    OutputExists
        There is an explanation, and it is not to be replaced.
    ModelError
        The model cannot be used, or has no maps of likeness.
    SlideError, StoreError
        A patch cannot be read any more; pictures and slides of which that shows at first are left out.
    MissingExtra
        The extras ``train`` and ``explain`` are not installed.
    """
    ours = any((settings.out / name).is_file() for name in (PAGE, CSV))
    existing = Existing(overwrite=settings.overwrite)
    there = check_output(settings.out, existing, ours=ours, what="an explanation", resumable=False)
    network = load_network(settings)
    drawer = MapDrawer(settings, network.described)  # refuses a network without maps before it has worked for hours
    compared, notes = compare(settings, network, progress)
    votes = [vote(near.tolist(), settings.tie) for near in compared.neighbour_classes]
    agreement = _agreement(settings, compared, votes)
    answers = tuple(_answer(compared, row, votes[row]) for row in range(len(compared.queries)))
    told = Told(answers, agreement, notes)
    page, more = explained_page(settings, drawer, network.title, compared, told, progress)
    make_folder(settings.out)
    if there:
        clear_output(settings.out)
    write_answers(settings.out, answers, _plain(settings, network), agreement)
    write_whole(settings.out / PAGE, page.encode("utf-8", "surrogateescape"), durable=False)
    return Explained(settings.out / PAGE, settings.out / CSV, answers, agreement, (*notes, *more))


def _agreement(settings: ExplainSettings, compared: Compared, votes: list[Vote]) -> NeighbourShares | None:
    """Measure how often neighbours are right, where classes of queries are known."""
    truth = compared.query_classes
    rows = np.flatnonzero(truth >= 0)
    if not len(rows):
        return None
    by_colour = _by_colour(settings, compared, rows)
    said = np.array([-1 if votes[row].label is None else votes[row].label for row in rows], np.int64)
    asked = compared.queries.take(rows)
    return measure_neighbours(
        truth[rows],
        said,
        compared.neighbour_classes[rows],
        compared.reference_classes[by_colour.rows],
        _chance(compared, rows),
        np.where(asked.groups == "", asked.slides, asked.groups),
        "patient" if (asked.patients != "").all() else "slide",
        settings.draws,
        settings.seed,
    )


def _by_colour(settings: ExplainSettings, compared: Compared, rows: NDArray[np.int64]) -> Neighbours:
    """Return the neighbours of some queries by means and deviations of colours alone."""
    known = colours_of(compared.reference)
    asked = known[rows] if compared.same else colours_of(compared.queries.take(rows))
    mean, spread = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)
    scaled = [((colours - mean) / spread).astype(np.float32) for colours in (asked, known)]
    queries = OwnedVectors(scaled[0], compared.asked.owners[rows])
    return find_neighbours(queries, OwnedVectors(scaled[1], compared.known.owners), settings.neighbours)


def _chance(compared: Compared, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each query's class among all that might have been its neighbours."""
    shares = []
    for start in range(0, len(rows), QUERIES_AT_ONCE):
        some = rows[start : start + QUERIES_AT_ONCE]
        allowed = ~own_rows(compared.asked.owners[some], compared.known.owners)
        alike = compared.reference_classes[None, :] == compared.query_classes[some][:, None]
        shares.append((allowed & alike).sum(axis=1) / allowed.sum(axis=1))
    return np.concatenate(shares)


def _answer(compared: Compared, row: int, said: Vote) -> Answer:
    queries, reference, near = compared.queries, compared.reference, compared.near
    found = tuple(
        FoundNeighbour(
            name=str(reference.names[one]),
            label=str(reference.labels[one]),
            distance=float(distance),
            file=str(reference.files[one]),
            patient=str(reference.patients[one]),
        )
        for one, distance in zip(near.rows[row].tolist(), near.distances[row].tolist(), strict=True)
    )
    label = "" if said.label is None else compared.class_names[said.label]
    return Answer(
        name=str(queries.names[row]),
        file=str(queries.files[row]),
        patient=str(queries.patients[row]),
        truth=str(queries.labels[row]),
        vote=label,
        margin=said.margin,
        neighbours=found,
    )


def _plain(settings: ExplainSettings, network: Network) -> Mapping[str, object]:
    """Return settings as JSON values."""
    values = {name: _as_text(value) for name, value in asdict(settings).items()}
    return {**values, "network": network.title, "sha256": network.identity["sha256"]}


def _as_text(value: object) -> object:
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return str(value) if isinstance(value, Path) else value
