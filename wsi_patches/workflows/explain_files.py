"""What ``explain`` leaves behind beside its page: a row for each neighbour of each query, and the same as JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsi_patches.evaluate.neighbour_shares import NeighbourShares
from wsi_patches.stores.files import write_json, write_whole

__all__ = ["CSV", "JSON", "PAGE", "Answer", "FoundNeighbour", "agreement_rows", "agreement_values", "write_answers"]

PAGE = "explained.html"
"""Written last: a folder counts as an explanation when it is there."""
CSV, JSON = "explanations.csv", "explanations.json"
TOLD = {
    "neighbours_of_own_class": "Neighbours of the query's class",
    "by_chance": "By chance",
    "above_chance": "More than by chance",
    "colour_alone": "Neighbours by colour alone",
    "votes_right": "Right votes, of those that did not abstain",
    "abstained": "Abstained",
}


@dataclass(frozen=True)
class FoundNeighbour:
    """A known patch that is near a query."""

    name: str
    label: str
    distance: float
    file: str
    patient: str


@dataclass(frozen=True)
class Answer:
    """What is said of one query."""

    name: str
    file: str
    patient: str
    truth: str
    vote: str
    """Empty where its neighbours abstain."""
    margin: float
    neighbours: tuple[FoundNeighbour, ...]


def write_answers(
    folder: Path, answers: Sequence[Answer], settings: Mapping[str, Any], agreement: NeighbourShares | None
) -> None:
    """Write ``explanations.csv`` and ``explanations.json``.

    Parameters
    ----------
    folder
        It must be there.
    answers
        All of them, also those that the page does not show.
    settings
        How they were found.
    agreement
        How often neighbours are right, where the classes of queries are known.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    asked = ("query", "query_file", "query_patient", "truth", "vote", "margin")
    writer.writerow((*asked, "rank", "neighbour", "neighbour_class", "distance", "neighbour_file", "neighbour_patient"))
    for one in answers:
        query = (one.name, one.file, one.patient, one.truth, one.vote or "abstained", f"{one.margin:.4f}")
        for rank, near in enumerate(one.neighbours, start=1):
            writer.writerow((*query, rank, near.name, near.label, f"{near.distance:.6g}", near.file, near.patient))
    write_whole(folder / CSV, stream.getvalue().encode("utf-8", "surrogateescape"), durable=False)
    told = agreement_values(agreement)
    values = {"settings": dict(settings), "agreement": told, "queries": [asdict(one) for one in answers]}
    write_json(folder / JSON, values, durable=False)


def agreement_values(agreement: NeighbourShares | None) -> dict[str, dict[str, float | None]] | None:
    """Return the figures as JSON values; what is not defined is null."""
    if agreement is None:
        return None
    return {name: metric.interval.plain for name, metric in agreement.metrics.items()}


def agreement_rows(agreement: NeighbourShares | None) -> list[tuple[str, str, str]]:
    """Return the figures as a table of text, its header first; nothing where there are none."""
    if agreement is None:
        return []
    rows = [("What", "Share", "95 % interval")]
    for name, metric in agreement.metrics.items():
        low, high = metric.interval.low, metric.interval.high
        interval = f"{100 * low:.1f} to {100 * high:.1f} %" if metric.has_interval else "not defined"
        share = "not defined" if math.isnan(metric.value) else f"{100 * metric.value:.1f} %"
        rows.append((TOLD[name], share, interval))
    return rows
