"""How a network is trained, whatever it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from wsi_patches.errors import UsageError
from wsi_patches.models.classifier import Device
from wsi_patches.train.checks import check_choices, check_ranges

__all__ = [
    "LEAST_MOMENTUM", "TRIANGLES", "Decay", "EngineSettings", "Keep", "Optimizer", "Precision", "Schedule", "Ties",
]  # fmt: skip

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "onecycle", "step", "halving", "triangle", "triangle_dips", "constant"]
Precision = Literal["auto", "fp32", "bf16"]
Keep = Literal["best", "last"]
Ties = Literal["earlier", "later"]
Decay = Literal["weights", "all"]
CHOICES: dict[str, Any] = {
    "optimizer": Optimizer,
    "schedule": Schedule,
    "precision": Precision,
    "keep": Keep,
    "ties": Ties,
    "decay": Decay,
    "device": Device,
}
TRIANGLES = ("triangle", "triangle_dips")
LEAST_MOMENTUM = 0.8
"""Where a cycle's rate is highest (ALLNet's and HistoTNet's released code, PyTorch's default)."""
MANY = 10**9
RANGES = {
    "epochs": (1, MANY),
    "learning_rate": (1e-8, 10),
    "weight_decay": (0, 1),
    "momentum": (0, 0.9999),
    "warmup_epochs": (0, MANY),
    "clip_norm": (1e-6, MANY),
    "ema_decay": (0, 0.999999),
    "patience": (1, MANY),
    "steps_per_epoch": (1, MANY),
    "seed": (0, MANY),
}
OPTIONAL = {"clip_norm", "ema_decay", "patience", "steps_per_epoch"}
"""Settings that None turns off."""


@dataclass(frozen=True)
class EngineSettings:
    """How a network is trained, whatever it learns.

    Raises
    ------
    UsageError
        A value is unknown or out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: int = 20
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    """The highest; the schedule says when."""
    weight_decay: float = 0.01
    """Of what ``decay`` names."""
    decay: Decay = "weights"
    """What decays: ``weights``, so that biases and the scales of normalisations are left alone, or ``all``, as
    PyTorch's optimizers do by themselves and the released code of most papers therefore does."""
    momentum: float = 0.9
    """Of ``sgd``; AdamW keeps its own."""
    cycle_momentum: bool = False
    """Of the triangles: the momentum falls to 0.8 as the rate rises and comes back as it falls, as ALLNet's
    and HistoTNet's released code has it; else it stays."""
    schedule: Schedule = "cosine"
    """``cosine`` falls to 0, ``step`` divides by 10 at 1/2 and at 3/4 of the run (He et al., CVPR 2016, on CIFAR),
    ``onecycle`` rises from 1/25 and falls to next to nothing (Smith and Topin, 2018), ``halving`` halves it every 20
    epochs, ``triangle`` rises from 1/20 for 4 epochs and falls for 4, again and again (both as ALLNet and HistoTNet
    have it), ``triangle_dips`` halves the rate of every 20th epoch besides (what their released code makes of both at
    once), ``constant`` stays."""
    warmup_epochs: float = 0.0
    """Epochs in which the rate rises from 0 to the highest in a line; of ``onecycle``, how long its own rise takes,
    where 0 means 3/10 of the run."""
    clip_norm: float | None = None
    """Longest gradient over all parameters; longer ones are shortened to it. None lets all pass."""
    ema_decay: float | None = None
    """Share of the running average of the weights that each step keeps; None judges and keeps the weights
    themselves."""
    precision: Precision = "auto"
    """``auto`` is bf16 on a GPU that has it and fp32 elsewhere; weights and optimizer are float32 in all."""
    patience: int | None = None
    """Epochs without a better one after which the training ends; None goes on to the last."""
    keep: Keep = "best"
    """Which epoch's weights stay: the one that validation likes best, or the last, where validation is too small to
    choose by. Patience has no say then."""
    ties: Ties = "earlier"
    """Which of several epochs stays that validation likes equally; ``later`` is what ALLNet's and HistoTNet's released
    code does."""
    steps_per_epoch: int | None = None
    """Batches of an epoch; None takes all that the task gives, which must then know its number."""
    seed: int = 0
    """Of all that is drawn by torch while training; on the CPU, equal seeds give equal weights."""
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)
        check_ranges(self, RANGES, optional=OPTIONAL)
        if self.warmup_epochs >= self.epochs:
            msg = f"warmup_epochs must be fewer than the {self.epochs} epochs, got {self.warmup_epochs}"
            raise UsageError(msg)
        if self.cycle_momentum:
            self._check_cycle()

    def _check_cycle(self) -> None:
        cycles = self.optimizer == "sgd" and self.schedule in TRIANGLES
        if not cycles or self.momentum < LEAST_MOMENTUM:
            found = f"{self.optimizer}, {self.schedule} and {self.momentum}"
            msg = (
                f"cycle_momentum is for optimizer: sgd, schedule: {' or '.join(TRIANGLES)} and a momentum of "
                f"{LEAST_MOMENTUM} or more, found {found}"
            )
            raise UsageError(msg)
