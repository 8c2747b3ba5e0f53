"""The network by which ``explain`` compares patches: a classifier of ours, or a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.workflows.explain_settings import ExplainSettings

if TYPE_CHECKING:
    from wsi_patches.counting.centred import PatchScale
    from wsi_patches.models.described import DescribedNetwork

__all__ = ["Network", "load_network"]


@dataclass(frozen=True)
class _EncoderScale:
    """How much of a slide an encoder sees around a cell."""

    name: str
    patch_cell_diameters: float
    patch_um: float | None = None


@dataclass(frozen=True)
class Network:
    """What describes patches, and what is told of it."""

    described: DescribedNetwork
    identity: Mapping[str, object]
    """What its features depend on, as JSON values."""
    scale: PatchScale
    title: str


def load_network(settings: ExplainSettings) -> Network:
    """Load the classifier or the encoder that describes patches.

    Raises
    ------
    ModelError
        It cannot be used.
    MissingExtra, UsageError
        Its library is not installed, or its device is not there.
    """
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.described import DescribedNetwork
    from wsi_patches.models.encoders import FrozenEncoder

    if settings.model is not None:
        classifier = CellClassifier.load(settings.model, settings.device, paint=paint_outside)
        card = classifier.card
        identity = {"sha256": classifier.sha256}
        return Network(DescribedNetwork.of_classifier(classifier), identity, card, f"model {card.name}")
    encoder = FrozenEncoder.load(settings.encoder or "", settings.device)
    name = encoder.encoder.name
    scale = _EncoderScale(name, settings.cell_diameters)
    return Network(DescribedNetwork.of_encoder(encoder), encoder.encoder.identity, scale, f"frozen encoder {name}")
