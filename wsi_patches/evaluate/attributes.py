"""How often attributes of cells are right, beside what always saying the most frequent value reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.bootstrap import DRAWS, GroupBootstrap
from wsi_patches.evaluate.result import Metric, Result, sampling_warnings
from wsi_patches.evaluate.tables import figure, interval_text

__all__ = ["AttributesResult", "ToldCells", "attribute_rows", "measure_attributes"]

BALANCED, ACCURACY, MAJORITY = "balanced_accuracy", "accuracy", "majority_accuracy"
MEAN = "mean_balanced_accuracy"


@dataclass(frozen=True)
class ToldCells:
    """Cells that were found and are marked, of one or more slides; columns of shape ``(n,)``.

    Raises
    ------
    UsageError
        Columns differ in length.
    """

    groups: NDArray[np.str_]
    """Patient, else slide."""
    true: Mapping[str, NDArray[np.int64]]
    """The value of each attribute as it is marked, -1 where it is not known."""
    said: Mapping[str, NDArray[np.int64]]
    """The same as a model says it."""
    usual: Mapping[str, int]
    """The value that cells learnt from mostly have; that of these cells themselves, which flatters, where it is not
    there."""

    def __post_init__(self) -> None:
        lengths = {len(one) for columns in (self.true, self.said) for one in columns.values()} | {len(self.groups)}
        if len(lengths) > 1 or set(self.true) != set(self.said):
            msg = f"told cells have columns of {sorted(lengths)} rows, of {sorted(self.true)} and {sorted(self.said)}"
            raise UsageError(msg)

    def take(self, rows: NDArray[np.bool_]) -> ToldCells:
        """Return some of the cells."""
        true, said = ({name: one[rows] for name, one in columns.items()} for columns in (self.true, self.said))
        return ToldCells(self.groups[rows], true, said, self.usual)


@dataclass(frozen=True, kw_only=True)
class AttributesResult(Result):
    """Figures of each attribute: the metrics ``NAME_balanced_accuracy``, ``NAME_accuracy``, ``NAME_majority_accuracy``.

    Balanced accuracy of the majority's value is one over the number of values that occur.
    """

    names: tuple[str, ...]


def measure_attributes(
    cells: ToldCells, values: Mapping[str, int], *, draws: int = DRAWS, seed: int = 0, group_kind: str = "group"
) -> AttributesResult:
    """Measure what a model says of the attributes of matched cells, each over the cells of which it is known.

    Balanced accuracy is the mean of the recalls of the values that occur; a draw in which one of them is absent is left
    out of its interval, and so it is of the mean over all attributes that are known of some cell.

    Parameters
    ----------
    cells
        Found cells that are marked.
    values
        How many values each attribute has.
    draws, seed, group_kind
        Of the bootstrap over groups, see `GroupBootstrap`.

    Raises
    ------
    UsageError
        There is no cell.
    """
    bootstrap = GroupBootstrap.of(cells.groups, draws, seed)
    metrics: dict[str, Metric] = {}
    each: list[Metric] = []
    for name, count in values.items():
        figures = _of_attribute(cells, name, count, bootstrap)
        metrics |= {f"{name}_{kind}": metric for kind, metric in figures.items()}
        each += [figures[BALANCED]] if figures[BALANCED].n else []
    mean = [one.value for one in each]
    drawn = np.mean([one.draws for one in each], axis=0) if each else np.empty(0)
    metrics = {MEAN: bootstrap.metric(float(np.mean(mean)) if mean else float("nan"), drawn), **metrics}
    sampling = bootstrap.sampling("cell", group_kind)
    return AttributesResult(
        metrics=metrics, sampling=sampling, warnings=sampling_warnings(sampling, metrics), names=tuple(values)
    )


def _of_attribute(cells: ToldCells, name: str, values: int, bootstrap: GroupBootstrap) -> dict[str, Metric]:
    """Return balanced accuracy, accuracy, and the accuracy of always saying the usual value."""
    true, said = cells.true[name], cells.said[name]
    known = true >= 0
    # A confusion a cell, so that a draw's is a sum; cells of which nothing is known have none.
    confusion = np.zeros((len(true), values, values))
    confusion[known, true[known], said[known]] = 1
    whole, drawn = confusion.sum(axis=0), bootstrap.totals(confusion)
    occurs = whole.sum(axis=1) > 0
    usual = cells.usual.get(name, int(whole.sum(axis=1).argmax()))
    told = {
        BALANCED: (_balanced(whole[None], occurs), _balanced(drawn, occurs)),
        ACCURACY: (_accuracy(whole[None]), _accuracy(drawn)),
        MAJORITY: (_share(whole[None], usual), _share(drawn, usual)),
    }
    return {kind: bootstrap.metric(float(value[0]), many, known) for kind, (value, many) in told.items()}


def _balanced(confusion: NDArray[np.float64], occurs: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean recall of the values that occur, ``(draws,)``, nan where one of them is absent."""
    if not occurs.any():
        return np.full(len(confusion), np.nan)
    of_value = confusion.sum(axis=2)[:, occurs]
    right = np.diagonal(confusion, axis1=1, axis2=2)[:, occurs]
    with np.errstate(invalid="ignore"):
        return np.asarray((right / of_value).mean(axis=1), np.float64)


def _accuracy(confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    return _over_all(np.trace(confusion, axis1=1, axis2=2), confusion)


def _share(confusion: NDArray[np.float64], value: int) -> NDArray[np.float64]:
    """Return the share of cells that have one value."""
    return _over_all(confusion[:, value].sum(axis=1), confusion)


def _over_all(counts: NDArray[np.float64], confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(counts / confusion.sum(axis=(1, 2)), np.float64)


def attribute_rows(result: AttributesResult) -> list[list[str]]:
    """Return the figures of each attribute as rows of text for people, the first row being the header."""
    kinds: Sequence[str] = (BALANCED, ACCURACY, MAJORITY)
    rows = [["attribute", "known of", *(cell for kind in kinds for cell in (kind.replace("_", " "), "95 % interval"))]]
    for name in result.names:
        metrics = [result.metrics[f"{name}_{kind}"] for kind in kinds]
        rows.append(
            [name, str(metrics[0].n), *(cell for one in metrics for cell in (figure("", one), interval_text(one)))]
        )
    return rows
