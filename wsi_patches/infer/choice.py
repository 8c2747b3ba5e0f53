"""What slides are counted with: the method, and the models that it loads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.imaging.painted_outside import paint_outside
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer.classify import load_committee
from wsi_patches.infer.count import FOUND
from wsi_patches.infer.detect import DETECTED, ChosenDetector, load_detector
from wsi_patches.infer.finder import load_finder
from wsi_patches.infer.patches import PATCHES
from wsi_patches.models.table import DEFAULT_FINDER, MODELS

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.committee import Committee
    from wsi_patches.models.counter import CellCounter

__all__ = ["METHODS", "ModelChoice"]

METHODS = (FOUND, PATCHES, DETECTED)


@dataclass(frozen=True)
class ModelChoice:
    """What slides are counted with: names and numbers, which a cluster can pickle.

    Raises
    ------
    UsageError
        A value is out of range, or does not go with the method.
    """

    method: str = FOUND
    """One of `METHODS`."""
    model: str | None = None
    """Name or file: of a classifier of cells; by ``patches`` of a counter or of a classifier of patches; by
    ``detector`` of a detector, the finder's boxes being taken without one."""
    ensemble: tuple[str, ...] = ()
    """Further classifiers, whose probabilities are averaged with the model's."""
    tta: int = 1
    """In how many views each cell is classified: 1, 2, 4 or 8."""
    finder: str = DEFAULT_FINDER
    device: str = "auto"
    precision: str = "auto"
    """Of the networks: bfloat16 where the hardware has it, or always ``fp32`` or ``bf16``."""
    backend: str = "torch"
    """What runs the classifier: ``torch``, ``openvino`` or ``onnx``."""
    compile: bool = False
    """Let torch.compile write the classifier's kernels: faster after the half minute that it takes."""
    batch_size: int | None = None
    """How many cells, or patches, are classified at a time; measured if not given."""
    sharpen: float | None = None
    """Sharpen a cell's patch before it is classified if its focus score is above this."""
    overlap: float | None = None
    """By ``patches``: the share of a patch that its neighbour repeats."""
    patch_calibration: Path | None = None
    """By ``patches`` with a classifier: a file that says how many blasts a positive patch of this very grid means."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            msg = f"method must be one of {', '.join(METHODS)}, found {self.method!r}"
            raise UsageError(msg)
        self._check_goes_with(FOUND, ensemble=self.ensemble, tta=self.tta != 1, sharpen=self.sharpen is not None)
        self._check_goes_with(PATCHES, overlap=self.overlap is not None, patch_calibration=self.patch_calibration)
        if self.ensemble and self.model is None:
            msg = "--ensemble adds to a --model: give one"
            raise UsageError(msg)
        if self.sharpen is not None:
            SharpenSettings(self.sharpen)

    def _check_goes_with(self, method: str, **asked: object) -> None:
        for name, is_asked in asked.items():
            if is_asked and self.method != method:
                msg = f"--{name.replace('_', '-')} goes with --method {method}, not with {self.method}"
                raise UsageError(msg)

    def committee(self) -> Committee | None:
        """Return the classifier of cells, None where none was given; each process loads it once."""
        if self.model is None:
            return None
        models = (self.model, *self.ensemble)
        how = (self.tta, self.device, self.precision, self.backend, self.batch_size)
        return load_committee(models, *how, compiled=self.compile)

    def weights_sha256(self) -> tuple[str, str]:
        """Return the hashes of the finder's weights and of the model's, empty where there are none.

        Raises
        ------
        ModelError, MissingExtra, UsageError
            One of them cannot be used.
        """
        if self.method == DETECTED:
            return "", self.detector().sha256
        finder = load_finder(self.finder, self.device, self.precision).sha256
        if self.method == PATCHES:
            return finder, self.patch_model().sha256
        committee = self.committee()
        return finder, "" if committee is None else committee.sha256

    def detector(self) -> ChosenDetector:
        """Return what finds cells with their boxes."""
        return load_detector(self.model or self.finder, self.device, self.precision)

    def patch_model(self) -> CellCounter | CellClassifier:
        """Return what counts patches.

        Raises
        ------
        UsageError
            No model was given.
        """
        if self.model is None:
            msg = "--method patches needs --model FILE: a counter, or a classifier of patches"
            raise UsageError(msg)
        return _patch_model(self.model, self.device, self.precision, self.backend, compiled=self.compile)


@lru_cache(maxsize=2)
def _patch_model(
    model: str, device: str, precision: str, backend: str, *, compiled: bool
) -> CellCounter | CellClassifier:
    """Return a counter, or a classifier of patches, by what the file says that it is; each process loads it once."""
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.counter import CellCounter
    from wsi_patches.models.weights import kind_of

    if model not in MODELS and Path(model).is_file() and kind_of(model) == "counter":
        return CellCounter.load(model, device, precision)
    loaded = CellClassifier.load(model, device, precision, backend, compiled=compiled, paint=paint_outside)
    if loaded.card.mask is not None:
        msg = (
            f"model {model} is shown the {loaded.card.mask.part} of single cells, and --method patches asks about "
            "patches of many: use --method cells"
        )
        raise ModelError(msg)
    return loaded
