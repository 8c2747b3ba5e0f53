"""What ``effect`` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.locations import Location
from wsi_patches.models.classifier import Device
from wsi_patches.models.input_mask import MaskBy, MaskPart
from wsi_patches.train.effect_network import Layer, SubtractMean
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.workflows.output import Existing

__all__ = ["MASK_STEPS", "EffectSettings"]

MASK_STEPS: dict[str, MaskPart] = {"cell-mask": "cell", "nucleus-mask": "nucleus"}


@dataclass(frozen=True)
class EffectSettings:
    """What ``effect`` is asked to do.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    source: Location
    """A store, or a folder of labelled pictures."""
    out: Path
    sharpen: float | None = None
    """Focus score above which a patch is sharpened here; None takes what the store holds."""
    step: str = "sharpened"
    """What is compared with the patches: of a store the derived images ``sharpened`` or ``colour``; or ``cell-mask`` or
    ``nucleus-mask``, which is done here, of a store or a folder."""
    mask_by: MaskBy = "otsu"
    """How these two find cell and nucleus: by Otsu's thresholds, or by the violet ``hue`` of their stain."""
    network: str = "lite0"
    """A network of `SYSTEMS`, ``lite0``, or a YAML file that describes an encoder."""
    how: Literal["frozen", "tuned"] = "frozen"
    """Frozen features and their nearest neighbour, or fine-tuned."""
    weights: Path | None = None
    """What the network starts from; those that come with a package if None."""
    pretrained: bool = True
    """Off, a fine-tuned network starts from chance."""
    layer: Layer = "published"
    subtract_mean: SubtractMean = "float"
    input_px: int = 224
    patch_px: int = 256
    """Side to which the pictures of a folder are brought first: the threshold of sharpening is for one side."""
    target: str | None = None
    """Of a store: the classes, as `labelled_patches` takes them."""
    repetitions: int = 10
    by: By | None = None
    """What is kept together; None: patients where all are known, else blocks of files; ``none``, as published, cuts
    between any two patches."""
    batch_size: int = 20
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=100, optimizer="sgd", learning_rate=1e-4, weight_decay=1e-4, schedule="constant"
        )
    )
    """Of fine-tuning; the last epoch is kept."""
    group_pattern: str | None = None
    group_table: Path | None = None
    device: Device = "auto"
    draws: int = 1000
    seed: int = 0
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("repetitions", 1, 1000), ("patch_px", 16, 1024), ("input_px", 16, 1024)):
            if not low <= getattr(self, name) <= high:
                msg = f"{name} must lie in {low}..{high}, got {getattr(self, name)}"
                raise UsageError(msg)
        if self.sharpen is not None:
            SharpenSettings(self.sharpen)
        if self.mask_part is not None and self.sharpen is not None:
            msg = f"--sharpen and --step {self.step} are two steps: measure one at a time"
            raise UsageError(msg)
        if self.mask_part is None and self.mask_by != "otsu":
            msg = f"--mask-by {self.mask_by} goes with --step cell-mask or nucleus-mask, not with {self.step}"
            raise UsageError(msg)
        Existing(self.resume, self.overwrite)

    @property
    def mask_part(self) -> MaskPart | None:
        """What the step leaves of each cell; None for a step that masks nothing."""
        return MASK_STEPS.get(self.step)
