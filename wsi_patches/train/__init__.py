"""Training: so far one network, that tells blasts from other white cells, on painted smears."""

from wsi_patches.torch_data import PatchJitter
from wsi_patches.train.cells import train_cell_classifier
from wsi_patches.train.output import Epoch, TrainResult
from wsi_patches.train.settings import TrainSettings

__all__ = ["Epoch", "PatchJitter", "TrainResult", "TrainSettings", "train_cell_classifier"]
