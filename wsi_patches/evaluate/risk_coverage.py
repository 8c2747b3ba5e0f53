"""How right a classifier is where it is sure: accuracy of what is kept when the most uncertain are put aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.bootstrap import GroupBootstrap
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.result import Metric
from wsi_patches.evaluate.tables import cells, interval_text, write_table

__all__ = [
    "ENTROPY",
    "PUT_ASIDE",
    "RiskRow",
    "entropy_of",
    "risk_coverage",
    "risk_of",
    "risk_rows",
    "write_risk_coverage",
]

PUT_ASIDE = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the patches."""
ENTROPY = "entropy"
Doubts = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class RiskRow:
    """What is kept when a share of the patches is put aside."""

    by: str
    """What they are put aside by: the highest ``entropy``, ``disagreement`` ..."""
    put_aside: float
    kept: int
    accuracy: Metric
    """Of what is kept."""
    gain: Metric
    """Over the accuracy of all patches, draw by draw: what putting as many aside by chance would gain is 0."""


def entropy_of(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the entropy of probabilities ``(n, classes)``, nats, ``(n,)``."""
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    return np.asarray(-(p * np.log(p)).sum(axis=1), np.float64)


def risk_coverage(
    predictions: Predictions,
    doubts: Doubts,
    draws: int,
    seed: int,
    shares: Sequence[float] = PUT_ASIDE,
) -> tuple[RiskRow, ...]:
    """Measure the accuracy of what is kept when the most uncertain patches are put aside.

    Parameters
    ----------
    predictions
        Of the patches.
    doubts
        How unsure the classifier is of each, ``(n,)``, by name; patches of equal doubt stay in their order.
    draws, seed
        Of the bootstrap over groups, see `GroupBootstrap`. What is put aside is decided once, on all patches.
    shares
        Of the patches, 0 to below 1.

    References
    ----------
    Geifman and El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017.
    """
    right = (predictions.truth == predictions.predicted).astype(np.float64)
    bootstrap = GroupBootstrap.of(predictions.groups, draws, seed)
    everything = bootstrap.totals(np.stack([right, np.ones_like(right)], axis=1))
    all_drawn = everything[:, 0] / everything[:, 1]
    rows = []
    for name, doubt in doubts.items():
        order = np.argsort(doubt, kind="stable")
        for share in shares:
            kept = np.zeros(len(right), bool)
            kept[order[: len(order) - int(share * len(order))]] = True
            sums = bootstrap.totals(np.stack([right * kept, kept], axis=1))
            drawn = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
            value = float(right[kept].mean()) if kept.any() else float("nan")
            accuracy = bootstrap.metric(value, drawn, kept)
            gain = bootstrap.metric(value - float(right.mean()), drawn - all_drawn)
            rows.append(RiskRow(name, share, int(kept.sum()), accuracy, gain))
    return tuple(rows)


def risk_rows(rows: Sequence[RiskRow]) -> list[list[str]]:
    """Return the table as rows of text for people, the first row being the header."""
    text = [["put aside", "by the highest", "patches kept", "accuracy", "gain over all patches"]]
    for row in rows:
        figures = (f"{one.value:.3f} ({interval_text(one)})" for one in (row.accuracy, row.gain))
        text.append([f"{row.put_aside:.0%}", row.by, str(row.kept), *figures])
    return text


def write_risk_coverage(path: Path, rows: Sequence[RiskRow]) -> None:
    """Write ``risk_coverage.csv``: a row a share that is put aside, by each measure of doubt."""
    ends = [f"{name}{end}" for name in ("accuracy", "gain") for end in ("", "_low", "_high")]
    table = ([row.by, row.put_aside, row.kept, *cells(row.accuracy), *cells(row.gain)] for row in rows)
    write_table(path, ["by", "put_aside", "kept", *ends], table)


def risk_of(result: ClassificationResult, doubts: Doubts) -> tuple[RiskRow, ...]:
    """Return what `risk_coverage` does of a result, with its draws; by the entropy if no other doubt is known."""
    known = doubts or {ENTROPY: entropy_of(result.predictions.probabilities)}
    return risk_coverage(result.predictions, known, result.sampling.draws, result.sampling.seed)
