"""What one classifier, or several as an ensemble, say of a store's labelled patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.pipeline import Progress
from wsi_patches.workflows.labelled import LabelledPatches

if TYPE_CHECKING:
    from wsi_patches.models.committee import Committee

__all__ = ["Asked", "ask", "load_members"]


@dataclass(frozen=True)
class Asked:
    """What was said of ``n`` patches."""

    probabilities: NDArray[np.float32]
    """Calibrated, the mean over members and views, ``(n, classes)``."""
    members: Mapping[str, NDArray[np.float32]]
    """What each of several members says alone, by its name; none of a single classifier."""
    doubts: Mapping[str, NDArray[np.float64]]
    """``entropy``, ``disagreement`` and ``variance`` of each patch, ``(n,)``; none of a single answer."""
    notes: tuple[str, ...]
    """Sentences for who reads the figures."""


def load_members(models: Sequence[str], views: int, device: str) -> Committee:
    """Return classifiers whose probabilities are averaged, over several views of each patch.

    Raises
    ------
    ModelError
        There is no such model.
    UsageError
        They do not go together, or the device is not there.
    """
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.committee import Committee

    return Committee(tuple(CellClassifier.load(name, device, paint=paint_outside) for name in models), views)


def ask(committee: Committee, patches: LabelledPatches, progress: Progress | None = None) -> Asked:
    """Ask classifiers about patches.

    Parameters
    ----------
    committee
        Of one or more.
    patches
        With the committee's classes.
    progress
        Told how many are done, and of how many.
    """
    from wsi_patches.infer.engine import Engine
    from wsi_patches.infer.masked import NucleiLooked

    each = np.empty((len(patches), len(committee.members), len(patches.class_names)), np.float32)
    doubts: dict[str, NDArray[np.float64]] = {}
    looked, done = NucleiLooked.of(committee, patches), 0
    for batch in Engine(committee.runner).run(looked):
        each[batch.positions] = committee.by_member(batch.outputs)
        if committee.size > 1:
            for name, doubt in committee.doubt(batch.outputs)._asdict().items():
                doubts.setdefault(name, np.empty(len(patches)))[batch.positions] = doubt
        done += len(batch.positions)
        if progress is not None:
            progress(done, len(patches))
    alone = dict(zip(member_names(committee), each.transpose(1, 0, 2), strict=True)) if each.shape[1] > 1 else {}
    notes = tuple(note for note in (_same_weights(committee), looked.blank_words()) if note)
    return Asked(each.mean(axis=1), alone, doubts, notes)


def member_names(committee: Committee) -> list[str]:
    """Return a name for each member: its card's, numbered where two share one."""
    names = [member.card.name for member in committee.members]
    return [f"{name} ({row + 1})" if names.count(name) > 1 else name for row, name in enumerate(names)]


def _same_weights(committee: Committee) -> str:
    """Return a sentence on members that stand in a committee more than once; empty if none does."""
    hashes = [member.sha256 for member in committee.members]
    twice = [name for row, name in enumerate(member_names(committee)) if hashes[row] in hashes[:row]]
    if not twice:
        return ""
    return f"{', '.join(twice)} has the weights of another member: it adds to that one's share, and no disagreement"
