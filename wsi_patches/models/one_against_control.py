"""Several networks, each of one class against the same controls, as one network that decides between all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.card import ModelCard, check_alike
from wsi_patches.models.system import Colours, System

__all__ = ["SYSTEM", "OneAgainstControl", "combined"]

SURE = 1e-7
"""Least distance of a probability from 0 and from 1: a calibration may say either, whose odds are no number."""
SAME = ("input_px", "patch_um", "patch_cell_diameters")
"""What all members take alike, so that they can be shown the same patches."""


def combined(against_control: Tensor) -> Tensor:
    """Return logits of control and of each class, from the probabilities of each class against control.

    The softmax of them is the odds of the classes, p / (1 - p), and of control, 1, divided by their sum. Where each
    model's odds are those of its class and the same controls, this is Bayes' rule for all classes at once, with as many
    of each class, in proportion to the controls, as the models were calibrated on. So the decision is the class with
    the highest probability against control, or control where none is above a half.

    Parameters
    ----------
    against_control
        Calibrated probability of each class where it and control alone are possible, 0 to 1, ``(n, classes)``.

    Returns
    -------
    ``(n, 1 + classes)``
        Control first, whose logit is 0; of the same dtype.

    References
    ----------
    Begg and Gray, Calculation of polychotomous logistic regression parameters using individualized regressions,
    Biometrika 71 (1984).
    """
    return nn.functional.pad(against_control.logit(SURE), (1, 0))


class OneAgainstControl(nn.Module):
    """Asks each member for the calibrated probability of its class against control, and combines what they say.

    Parameters
    ----------
    classes
        Control and one class a member.
    members
        Of each member its card, as JSON values: it has two classes, control and its own, and its own calibration.

    Raises
    ------
    ModelError
        The members are not one a class, not all of two classes of which the first is the same, or one's card or
        architecture is not known.
    UsageError
        They do not take patches of the same size.
    """

    def __init__(self, classes: int, *, members: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        cards = [ModelCard.from_dict(dict(one)) for one in members]
        _check(classes, cards)
        self.members = nn.ModuleList(_Member(card) for card in cards)
        self.together = _Together()

    def forward(self, x: Tensor) -> Tensor:
        """Turn images ``(n, 3, s, s)`` of 0 to 1 into logits ``(n, classes)``, the first of which is 0."""
        logits: Tensor = self.together(torch.stack([member(x) for member in self.members], dim=1))
        return logits.float()


class _Together(nn.Module):
    """`combined` as a layer, so that what it takes can be looked at."""

    def forward(self, against_control: Tensor) -> Tensor:
        return combined(against_control)


class _Member(nn.Module):
    """A network of two classes with its scaling and calibration."""

    mean: Tensor
    std: Tensor

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        # Its card is in the settings that it is built from: neither scaling nor calibration is a weight.
        self.register_buffer("mean", torch.tensor(card.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(3, 1, 1), persistent=False)
        self.temperature = card.temperature
        self.network = _built(card)
        self.isotonic = _RisingLine(card.isotonic) if card.isotonic else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return the probability of the class that is not control, float64 ``(n,)``, of images of 0 to 1."""
        # In single precision what is left of a probability near 1 has no digits, and its odds are all that counts.
        logits = self.network((images - self.mean) / self.std).double() / self.temperature
        control: Tensor = self.isotonic(logits.softmax(dim=1)[:, 0])
        return 1 - control


class _RisingLine(nn.Module):
    """Reads probabilities ``(n,)`` off a line through points (said, meant) that both rise, as `numpy.interp` does."""

    start: Tensor
    width: Tensor
    rise: Tensor

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        said, meant = torch.from_numpy(np.array(points, np.float64).T.copy())
        self.least = float(meant[0])
        for name, values in (("start", said[:-1]), ("width", said.diff()), ("rise", meant.diff())):
            self.register_buffer(name, values, persistent=False)

    def forward(self, said: Tensor) -> Tensor:
        climbed = ((said[:, None] - self.start) / self.width).clamp(0, 1)
        return self.least + (climbed * self.rise).sum(dim=1)


def _built(card: ModelCard) -> nn.Module:
    from wsi_patches.models.systems import find_system  # which knows this module

    try:
        return find_system(card.architecture).build(len(card.classes), **card.settings)
    except TypeError as error:
        msg = f"member {card.name}: its settings {card.settings} are not those of {card.architecture}: {error}"
        raise ModelError(msg) from error


def _check(classes: int, cards: Sequence[ModelCard]) -> None:
    if len(cards) != classes - 1 or any(len(card.classes) != 2 for card in cards):
        found = "; ".join(f"{card.name} of {', '.join(card.classes)}" for card in cards) or "none"
        msg = f"control and {classes - 1} classes take a member of two classes for each of these, got {found}"
        raise ModelError(msg)
    if len({card.classes[0] for card in cards}) > 1:
        msg = f"members are all held against one control, got {', '.join(card.classes[0] for card in cards)}"
        raise ModelError(msg)
    check_alike(cards, SAME)


SYSTEM = System(
    name="one_against_control",
    build=OneAgainstControl,
    paper="Begg and Gray, Biometrika 71 (1984), of networks of one class against control each",
    doi="10.1093/biomet/71.1.11",
    colours=Colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    head="together",
)
