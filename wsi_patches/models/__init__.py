"""Networks, their weights and their cards; torch is loaded when a network is, not to list them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsi_patches.models.table import MODELS, ShippedModel

if TYPE_CHECKING:
    from wsi_patches.models.allnet import ALLNet, LBPConv2d
    from wsi_patches.models.card import FinderCard, ModelCard
    from wsi_patches.models.cell_finder import LearnedCellFinder
    from wsi_patches.models.classifier import CellClassifier
    from wsi_patches.models.weights import load_weights, save_weights

__all__ = [
    "MODELS",
    "ALLNet",
    "CellClassifier",
    "FinderCard",
    "LBPConv2d",
    "LearnedCellFinder",
    "ModelCard",
    "ShippedModel",
    "load_weights",
    "save_weights",
]

_HOMES = {
    "ALLNet": "allnet",
    "LBPConv2d": "allnet",
    "FinderCard": "card",
    "LearnedCellFinder": "cell_finder",
    "ModelCard": "card",
    "CellClassifier": "classifier",
    "load_weights": "weights",
    "save_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
