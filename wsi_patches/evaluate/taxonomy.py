"""How well classes that are the leaves of a tree are told at each level, and how well slides are by vote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate import scores
from wsi_patches.evaluate.bootstrap import DRAWS, GroupBootstrap
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.result import Metric, Result, plural, sampling_warnings
from wsi_patches.models.label_tree import LabelTree, Level

__all__ = ["SlideVotes", "TaxonomyResult", "measure_taxonomy", "vote"]

SHOWN_TIES = 3


@dataclass(frozen=True)
class SlideVotes:
    """What the patches of slides vote for; columns of shape ``(slides,)``, slides in the order of their ids."""

    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    """Patient, else slide."""
    truth: NDArray[np.int64]
    """Class of the slide; -1 where its patches are of several."""
    voted: NDArray[np.int64]
    """The class that most of its patches are taken for; of a tie, the one with the highest mean probability."""
    votes: NDArray[np.int64]
    """Patches that are taken for it."""
    patches: NDArray[np.int64]
    tied: NDArray[np.bool_]
    """Whether another class has as many votes."""


@dataclass(frozen=True, kw_only=True)
class TaxonomyResult(Result):
    """Figures of each level, and the votes of slides."""

    tree: LabelTree
    class_names: tuple[str, ...]
    votes: SlideVotes


def vote(predictions: Predictions, slides: NDArray[np.str_]) -> SlideVotes:
    """Let the patches of each slide vote for its class: the mode of what they are taken for.

    Parameters
    ----------
    predictions
        Of patches.
    slides
        Slide of each, ``(n,)``.
    """
    ids, first, slide = np.unique(slides, return_index=True, return_inverse=True)
    classes = len(predictions.class_names)
    ballots = np.bincount(slide * classes + predictions.predicted, minlength=len(ids) * classes).reshape(-1, classes)
    means = np.zeros((len(ids), classes))
    np.add.at(means, slide, predictions.probabilities)
    most = ballots.max(axis=1)
    leads = ballots == most[:, None]
    truth = predictions.truth[first].astype(np.int64)
    truth[np.unique(slide[predictions.truth != truth[slide]])] = -1
    return SlideVotes(
        ids=ids,
        groups=predictions.groups[first],
        truth=truth,
        voted=np.where(leads, means, -1.0).argmax(axis=1),
        votes=most,
        patches=ballots.sum(axis=1),
        tied=leads.sum(axis=1) > 1,
    )


def measure_taxonomy(
    predictions: Predictions,
    tree: LabelTree,
    slides: NDArray[np.str_],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    group_kind: str = "group",
    unit: str = "patch",
) -> TaxonomyResult:
    """Measure predicted classes at each level of their tree, and by vote of each slide.

    What is said of a patch is the path to its most probable class, so that levels never contradict each other.

    Parameters
    ----------
    predictions
        Of patches that the classifier was not fitted to; classes are the leaves of the tree.
    tree
        Of the classes.
    slides
        What votes together, ``(n,)``: slides, or patients.
    draws, seed
        Of the bootstrap over groups, see `GroupBootstrap`.
    group_kind, unit
        What a group and a row are, as the result will say it.

    Returns
    -------
    ``balanced_accuracy_level_1`` (the root's children) and on, down to the leaves; ``hierarchical_precision``,
    ``_recall`` and ``_f1`` (nodes on the said path that are on the true one, Kiritchenko and others, Canadian AI 2006);
    ``levels_contradict``, the share of patches of which some level's most probable node is not on the path; and, where
    slides have several patches, ``vote_accuracy`` and ``vote_balanced_accuracy`` of slides.

    Raises
    ------
    UsageError
        There is no patch, or the classes are not the leaves of the tree.
    MissingExtra
        scikit-learn is not installed.
    """
    levels = tree.levels(predictions.class_names)
    bootstrap = GroupBootstrap.of(predictions.groups, draws, seed)
    metrics = {
        f"balanced_accuracy_level_{number}": _balanced(
            level.of_class[predictions.truth], level.of_class[predictions.predicted], len(level.names), bootstrap
        )
        for number, level in enumerate(levels, 1)
    }
    metrics |= _hierarchical(predictions, tree, bootstrap)
    apart = _contradicted(predictions, levels)
    drawn = bootstrap.tallies(apart.astype(np.int64), 2)
    metrics["levels_contradict"] = bootstrap.metric(float(apart.mean()), drawn[:, 1] / drawn.sum(axis=1))
    votes = vote(predictions, slides)
    metrics |= _of_votes(votes, len(predictions.class_names), draws, seed)
    sampling = bootstrap.sampling(unit, group_kind)
    warnings = (*sampling_warnings(sampling, metrics), *_vote_warnings(votes))
    return TaxonomyResult(
        metrics=metrics,
        sampling=sampling,
        warnings=warnings,
        tree=tree,
        class_names=predictions.class_names,
        votes=votes,
    )


def _balanced(truth: NDArray[np.int64], said: NDArray[np.int64], kinds: int, bootstrap: GroupBootstrap) -> Metric:
    """Return the mean recall of the kinds that occur; undefined in draws that lack one of them."""
    pairs = truth * kinds + said
    confusion = np.bincount(pairs, minlength=kinds**2).reshape(kinds, kinds)
    present = np.unique(truth)
    recalls = scores.class_scores(bootstrap.tallies(pairs, kinds**2).reshape(-1, kinds, kinds)).recall
    return bootstrap.metric(float(scores.class_scores(confusion).recall[present].mean()), recalls[:, present].mean(1))


def _hierarchical(predictions: Predictions, tree: LabelTree, bootstrap: GroupBootstrap) -> dict[str, Metric]:
    names = list(dict.fromkeys(name for path in tree.paths for name in path))
    on_path = np.array([[name in tree.path(leaf) for name in names] for leaf in predictions.class_names])
    said, true = on_path[predictions.predicted], on_path[predictions.truth]
    nodes = np.stack([(said & true).sum(1), said.sum(1), true.sum(1)], axis=1)

    def figures(totals: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.float64]]:
        shared, of_said, of_true = np.moveaxis(np.asarray(totals, np.float64), -1, 0)
        return {"precision": shared / of_said, "recall": shared / of_true, "f1": 2 * shared / (of_said + of_true)}

    drawn = figures(bootstrap.totals(nodes))
    return {
        f"hierarchical_{name}": bootstrap.metric(float(value), drawn[name])
        for name, value in figures(nodes.sum(0)).items()
    }


def _contradicted(predictions: Predictions, levels: tuple[Level, ...]) -> NDArray[np.bool_]:
    """Return which patches have a level whose most probable node is not the one on their path."""
    apart = np.zeros(len(predictions), bool)
    for level in levels:
        apart |= level.summed(predictions.probabilities).argmax(axis=1) != level.of_class[predictions.predicted]
    return apart


def _of_votes(votes: SlideVotes, classes: int, draws: int, seed: int) -> dict[str, Metric]:
    known = votes.truth >= 0
    if not known.any() or votes.patches.max() == 1:
        return {}
    truth, voted = votes.truth[known], votes.voted[known]
    bootstrap = GroupBootstrap.of(votes.groups[known], draws, seed)
    right = bootstrap.tallies((truth == voted).astype(np.int64), 2)
    return {
        "vote_accuracy": bootstrap.metric(float((truth == voted).mean()), right[:, 1] / right.sum(axis=1)),
        "vote_balanced_accuracy": _balanced(truth, voted, classes, bootstrap),
    }


def _vote_warnings(votes: SlideVotes) -> list[str]:
    if votes.patches.max() == 1:
        return ["No slide or patient has more than one picture, so that there is nothing to vote."]
    told = []
    if votes.tied.any():
        names = ", ".join(votes.ids[votes.tied][:SHOWN_TIES].tolist())
        more = "" if votes.tied.sum() <= SHOWN_TIES else " and others"
        tied = plural(int(votes.tied.sum()), "slide")
        told.append(f"The vote of {tied} is a tie, decided by the mean probability: {names}{more}.")
    mixed = int((votes.truth < 0).sum())
    if mixed:
        told.append(f"The pictures of {plural(mixed, 'slide')} are of several classes: their votes are not measured.")
    return told
