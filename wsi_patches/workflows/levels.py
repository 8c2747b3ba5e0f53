"""The figures of a model whose classes are the leaves of a tree: of each level, and of slides by vote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.tables import write_table
from wsi_patches.evaluate.taxonomy import TaxonomyResult, measure_taxonomy
from wsi_patches.models.card import ModelCard
from wsi_patches.models.label_tree import LabelTree
from wsi_patches.workflows.evaluation_files import PAGE, write_evaluation

__all__ = ["LEVELS", "write_levels"]

LEVELS = "levels"
"""The result's name, and its folder beside that of the classes."""
VOTES = "votes.csv"
COLUMNS = ("slide", "group", "truth", "voted", "path", "votes", "patches", "tie")


def write_levels(
    folder: Path,
    card: ModelCard,
    result: ClassificationResult,
    slides: NDArray[np.str_] | None = None,
    details: Mapping[str, str] | None = None,
) -> dict[str, tuple[TaxonomyResult, Path]]:
    """Measure the levels of a model's tree on the predictions of a result, and write the page and the votes.

    Parameters
    ----------
    folder
        Of the result's own page; that of the levels lies in it.
    card
        Of the model.
    result
        Of its classes.
    slides
        What votes together, ``(n,)``; the groups of the result if None.
    details
        More on how it was measured.

    Returns
    -------
    The result and its page by name; nothing where the classes of the model are in no tree.
    """
    if (folder / LEVELS / PAGE).is_file():  # an earlier evaluation, of a model whose classes may be in no tree
        shutil.rmtree(folder / LEVELS)
    if card.tree is None:
        return {}
    tree, of = LabelTree.of(card.tree), result.predictions
    sampling = result.sampling
    measured = measure_taxonomy(
        of,
        tree,
        of.groups if slides is None else slides,
        draws=sampling.draws,
        seed=sampling.seed,
        group_kind=sampling.group_kind,
        unit=sampling.unit,
    )
    told = {f"Level {number}": ", ".join(one.names) for number, one in enumerate(tree.levels(of.class_names), 1)}
    page = write_evaluation(folder / LEVELS, f"Levels of {card.name}", measured, details={**told, **(details or {})})
    _write_votes(folder / LEVELS / VOTES, measured)
    return {LEVELS: (measured, page)}


def _write_votes(path: Path, result: TaxonomyResult) -> None:
    votes, names = result.votes, result.class_names
    rows = (
        [one, group, "" if truth < 0 else names[truth], names[voted], " > ".join(result.tree.path(names[voted])), *rest]
        for one, group, truth, voted, *rest in zip(
            votes.ids.tolist(), votes.groups.tolist(), votes.truth.tolist(), votes.voted.tolist(), votes.votes.tolist(),
            votes.patches.tolist(), votes.tied.astype(int).tolist(), strict=True,
        )
    )  # fmt: skip
    write_table(path, COLUMNS, rows)
