"""What a classifier of patches is, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.models.classifier import InputFrame
from wsi_patches.models.input_mask import InputMask, MaskBy, MaskPart
from wsi_patches.train.calibrate import Calibration
from wsi_patches.train.network_settings import SHARES, TEST, TRAIN, VALIDATION, NetworkSettings
from wsi_patches.train.patch_task import Balance, PatchTask, PatchView, Watched

__all__ = ["SHARES", "TEST", "TRAIN", "VALIDATION", "ClassifierSettings"]


@dataclass(frozen=True)
class ClassifierSettings(NetworkSettings):
    """What a classifier of patches is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    by: By = "patient"
    """What the split keeps together: patients (else slides), slides, or blocks of files."""
    balance: Balance = "none"
    """All but ``none`` make the probabilities those of classes that are more equally frequent than they are."""
    oversample_to: int | None = None
    """Of ``balance: oversample``: patches of each class that an epoch shows, where the class has fewer; as many as the
    largest class has if None."""
    watched: Watched = "loss"
    """What the best epoch is chosen by, on validation."""
    calibration: Calibration = "temperature"
    head_epochs: int = 0
    """Epochs in which the last layer learns alone, before all others do."""
    head_learning_rate: float | None = None
    """Of these epochs; that of the training if None."""
    frozen: bool = False
    """Whether the last layer learns and nothing else, ever: all others stay as they began, but for running means and
    variances. Of use with weights to start from."""
    mask: Literal["none"] | MaskPart = "none"
    """What the network is shown of the cell in a patch: all of the patch, or the ``cell`` or its ``nucleus`` alone, the
    rest being black, in training and wherever the model is asked. Where no nucleus stands out all is black, and
    counted."""
    mask_by: MaskBy = "otsu"
    """How cell and nucleus are found: by Otsu's thresholds, or by the violet ``hue`` of their stain."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask not in ("none", *get_args(MaskPart)) or self.mask_by not in get_args(MaskBy):
            msg = f"mask is none, cell or nucleus and mask_by otsu or hue, found {self.mask!r} and {self.mask_by!r}"
            raise UsageError(msg)
        if self.oversample_to is not None and (self.balance != "oversample" or self.oversample_to < 1):
            found = f"{self.oversample_to} with balance: {self.balance}"
            msg = f"oversample_to is a count of 1 or more, for balance: oversample; found {found}"
            raise UsageError(msg)
        if self.head_epochs < 0 or (self.head_learning_rate is not None and self.head_learning_rate <= 0):
            found = f"{self.head_epochs} and {self.head_learning_rate}"
            msg = f"head_epochs is a count of 0 or more and head_learning_rate above 0, found {found}"
            raise UsageError(msg)

    @property
    def input_mask(self) -> InputMask | None:
        """What the card says of it; None where the network is shown all of a patch."""
        return None if self.mask == "none" else InputMask(self.mask, self.mask_by)

    def patch_task(self, network: nn.Module, frame: InputFrame, train: PatchView, validation: PatchView) -> PatchTask:
        """Return what the training loop learns."""
        return PatchTask(network, frame, train, validation, self)
