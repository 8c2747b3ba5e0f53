"""A linear classifier of patients by the shares of their cells' types, with its card; no pickle is read or written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from wsi_patches.errors import ModelError
from wsi_patches.models.card import Card

__all__ = ["PatientCard", "PatientModel", "PatientSaid", "label_chances"]

HEAD_BYTES = 8
"""A safetensors file begins with the length of its JSON header."""
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True)
class PatientCard(Card):
    """The card of a model that says which label the patients bear who have such cells; its classes are the labels.

    Raises
    ------
    ModelError
        A value cannot be; the message names it.
    """

    kind: Literal["patients"] = "patients"
    types: tuple[str, ...]
    """The types of cells whose shares it takes, in their order."""
    split: str
    """How its figures were measured, in a sentence."""
    agreement: float = 0.8
    """Least share of the draws that must say the same label, or the model abstains."""
    counted_by: str = ""
    """SHA-256 of the classifier that counted the cells that it learnt from; empty where unknown."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(self.types) < 2 or not 0 <= self.agreement <= 1:
            msg = f"card of {self.name}: two labels and types or more and an agreement of 0 to 1 are needed, found "
            raise ModelError(msg + f"{self.classes}, {self.types} and {self.agreement}")


@dataclass(frozen=True)
class PatientSaid:
    """What a model says of one patient, from draws of the shares of the patient's cells."""

    probabilities: NDArray[np.float64]
    """Mean over the draws, ``(labels,)``."""
    low: NDArray[np.float64]
    """The 2.5th percentile of each label's probability over the draws, ``(labels,)``."""
    high: NDArray[np.float64]
    """The 97.5th."""
    agreement: float
    """Share of the draws whose most probable label is that of the mean."""

    @property
    def label(self) -> int:
        """Index of the most probable label."""
        return int(self.probabilities.argmax())

    @property
    def entropy(self) -> float:
        """Of the mean probabilities (predictive entropy), nats."""
        p = np.clip(self.probabilities, 1e-12, 1)
        return float(-(p * np.log(p)).sum())

    @classmethod
    def of(cls, drawn: NDArray[np.float64]) -> PatientSaid:
        """Sum up the probabilities of each draw, ``(draws, labels)``."""
        mean = drawn.mean(axis=0)
        low, high = np.percentile(drawn, PERCENTILES, axis=0)
        return cls(mean, low, high, float(np.mean(drawn.argmax(axis=1) == mean.argmax())))


def label_chances(
    shares: NDArray[np.float64], weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the probability of each label, ``(n, labels)``: multinomial logistic regression on square roots of shares.

    The square root makes the chance of a sample alike for rare and frequent types (Bartlett, 1936).

    Parameters
    ----------
    shares
        Of the types, ``(n, types)``.
    weights, bias
        Shapes ``(types, labels)`` and ``(labels,)``.
    """
    logits = np.sqrt(shares) @ weights + bias
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class PatientModel:
    """A fitted classifier of patients; see `label_chances`."""

    card: PatientCard
    weights: NDArray[np.float64]
    """Shape ``(types, labels)``."""
    bias: NDArray[np.float64]
    """Shape ``(labels,)``."""
    sha256: str = ""
    """Of the file that it was read from."""

    def probabilities(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each label, ``(n, labels)``, of shares of types ``(n, types)``."""
        return label_chances(shares, self.weights, self.bias)

    def abstains(self, said: PatientSaid) -> bool:
        """Say whether the draws disagree too much for a label to be named."""
        return said.agreement < self.card.agreement

    def save(self, path: Path) -> None:
        """Write a safetensors file with the card in its header."""
        tensors = {"weights": np.ascontiguousarray(self.weights), "bias": np.ascontiguousarray(self.bias)}
        path.write_bytes(save(tensors, {"card": json.dumps(self.card.to_dict())}))

    @classmethod
    def load(cls, path: Path) -> PatientModel:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            The file cannot be read, is no safetensors file, or holds no such model.
        """
        try:
            content = path.read_bytes()
            tensors = load(content)
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror}"
            raise ModelError(msg) from error
        except SafetensorError as error:
            msg = f"{path} is no intact safetensors file ({error}): give what wsi-patches train diagnosis wrote"
            raise ModelError(msg) from error
        card = _card(path, content)
        shapes = {name: one.shape for name, one in tensors.items()}
        if shapes != {"weights": (len(card.types), len(card.classes)), "bias": (len(card.classes),)}:
            wanted = f"{len(card.types)} types and {len(card.classes)} labels"
            msg = f"{path}: weights of the shapes {shapes} are not those of {wanted}, as its card has it"
            raise ModelError(msg)
        return cls(card, tensors["weights"], tensors["bias"], hashlib.sha256(content).hexdigest())


def _card(path: Path, content: bytes) -> PatientCard:
    length = int.from_bytes(content[:HEAD_BYTES], "little")
    text = json.loads(content[HEAD_BYTES : HEAD_BYTES + length]).get("__metadata__", {}).get("card", "{}")
    values = json.loads(text)
    if values.get("kind") != "patients":
        msg = f"{path} holds no model of patients: give what wsi-patches train diagnosis wrote"
        raise ModelError(msg)
    return PatientCard.from_dict(values)
