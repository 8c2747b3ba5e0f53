"""What a classifier is that learns from two sets, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.checks import check_choices
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings
from wsi_patches.train.interleaving import Ends
from wsi_patches.train.network_settings import TEST, TRAIN, VALIDATION, Normalisation
from wsi_patches.train.patch_task import Watched
from wsi_patches.train.source_set import SourceSettings
from wsi_patches.train.two_set_steps import Accept, Weighting

__all__ = ["Strategy", "TwoSetSettings"]

Strategy = Literal["regular", "self", "greedy"]
"""``regular``: both losses in one step, batches of one size; ``self``: so too, but the slide is what is learnt of the
source, which has as many batches as the target; ``greedy``: one step on the source, which is kept if the target's loss
gains by it, then one on the target, of as many batches of each."""
CHOICES: dict[str, Any] = {"strategy": Strategy, "accept": Accept, "weighting": Weighting, "ends": Ends}
UNCHANGED = Augmentation(
    turn="full", shift=0.0, scale=0.0, stain=0.0, brightness=0.0, lamp=0.0, contrast=0.0, gamma=0.0, saturation=0.0,
    blur_px=0.0, blur_share=0.0, noise=0.0, jpeg_share=0.0,
)  # fmt: skip
"""Turned by any angle and flipped, colours as they are: what turns of 90 degrees either way and flips of both kinds
come to."""
FLIPS = Augmentation(**{**vars(UNCHANGED), "turn": "half"})


@dataclass(frozen=True, kw_only=True)
class TwoSetSettings(FieldSettings):
    """What a classifier is that learns from two sets, and how it is trained; defaults are those of the released code.

    Raises
    ------
    UsageError
        A value is unknown or out of range, or is none of this training's.
    """

    task: Literal["two_sets"] = "two_sets"  # type: ignore[assignment] # it cuts pictures as its parent does
    name: str = "dl4all"
    architecture: str = "resnet18"
    """``resnet18`` or ``vit_b_16``; any whose last layer is linear."""
    pretrained: bool = False
    normalisation: Normalisation = "scalar"
    """Of the target; the source's colours are always scaled by one mean and one deviation of its own."""
    by: By = "patient"
    shares: Mapping[str, float] = field(default_factory=lambda: {TRAIN: 0.7, VALIDATION: 0.2, TEST: 0.1})
    batch_size: int = 8
    """Of the target; of the source too if the strategy is regular."""
    watched: Watched = "accuracy"
    strategy: Strategy = "regular"
    source: SourceSettings = field(default_factory=SourceSettings)
    accept: Accept = "epoch"
    """Of the greedy strategy: when a step on the source is kept."""
    weighting: Weighting = "fixed"
    """A half of each loss, which is what the released code runs, or weights that are learnt."""
    ends: Ends = "shortest"
    """Which of the sets ends an epoch."""
    head_factor: float = 5.0
    """Learning rate of the last layers over that of all else."""
    settle_batches: int = 101
    """Batches of the target that batch norm's running statistics see at the end of an epoch, before it is judged."""
    augmentation: Augmentation = UNCHANGED
    source_augmentation: Augmentation = FLIPS
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=100, optimizer="sgd", learning_rate=2e-4, weight_decay=5e-4, schedule="constant"
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, CHOICES)
        if self.mask != "none":
            msg = f"task: two_sets shows whole pictures of both sets: leave mask: {self.mask} out, or take task: fields"
            raise UsageError(msg)
        if self.head_factor <= 0 or self.settle_batches < 0:
            found = f"{self.head_factor} and {self.settle_batches}"
            msg = f"head_factor lies above 0 and settle_batches is a count of 0 or more, found {found}"
            raise UsageError(msg)
        if self.balance in ("weights", "effective", "smote") or self.head_epochs or self.frozen:
            msg = (
                "task: two_sets weighs classes in both losses and warms its last layers up by itself: leave balance "
                f"{self.balance!r}, frozen and head_epochs {self.head_epochs} out"
            )
            raise UsageError(msg)

    @property
    def learns_slides(self) -> bool:
        """Whether the slide of each of the source's pictures is taught, not its labels."""
        return self.strategy == "self"
