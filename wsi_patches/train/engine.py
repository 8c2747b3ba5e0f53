"""The training loop: it knows networks, losses and figures, and no pathology."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wsi_patches.errors import ModelError, OutputExists, UsageError
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.precision import uses_bf16
from wsi_patches.train.checkpoint import CHECKPOINT, Checkpoint, State, read_checkpoint, write_checkpoint
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.logs import Epoch, TrainingLog
from wsi_patches.train.optimisers import build_optimizer, follow_schedule, set_rate, update_average
from wsi_patches.train.task import Compute, SteppingTask, Task

__all__ = ["EngineSettings", "Epoch", "Fitted", "Progress", "Task", "fit"]

Progress = Callable[[Epoch], None]
"""Told how each epoch went."""


@dataclass(frozen=True)
class Fitted:
    """What training came to."""

    history: tuple[Epoch, ...]
    best_state: State
    """The network's state after the best epoch, on the CPU; of the running average, if there is one."""
    best_epoch: int


def fit(
    task: Task | SteppingTask,
    settings: EngineSettings,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    depends_on: Mapping[str, Any] | None = None,
) -> Fitted:
    """Train a task's network, and keep its best epoch.

    After each epoch the folder holds ``checkpoint.pt``, ``history.csv`` and, where TensorBoard is installed,
    ``tensorboard/``. A run that was killed at any moment and is resumed ends, on the CPU, with the same bits.

    Parameters
    ----------
    task
        What to learn; its network is trained in place and left as the last epoch made it.
    settings
        How.
    folder
        Where the files go; made if absent.
    resume
        Go on after the last complete epoch that the folder holds; without a checkpoint, start at the first.
    progress
        Told how each new epoch went.
    depends_on
        What else the run depends on, as plain values (data, augmentation): a resume with other values is refused.

    Raises
    ------
    OutputExists
        The folder holds a checkpoint and ``resume`` is not set.
    UsageError
        The device or its precision is not there, the settings of a resumed run differ, the task does not give as many
        batches as it should, or its figures lack the watched one.
    ModelError
        The training diverged, or the checkpoint is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(task, settings, choose_device(settings.device))
    file, known = folder / CHECKPOINT, {**_settings_values(settings), **(depends_on or {})}
    if file.exists():
        if not resume:
            msg = f"{folder} holds a training already: resume it, or give another folder"
            raise OutputExists(msg)
        run.restore(read_checkpoint(file, known))
    with _reproducible(run.device), closing(TrainingLog(folder, run.history)) as log:
        while not run.is_over():
            run.next_epoch()
            log.tell(run.history)
            write_checkpoint(file, run.checkpoint(), known)
            if progress is not None:
                progress(run.history[-1])
    return Fitted(tuple(run.history), run.best_state, run.best_epoch)


@dataclass
class _Run:
    """A training under way."""

    task: Task | SteppingTask
    settings: EngineSettings
    device: torch.device
    optimizer: Optimizer = field(init=False)
    average: nn.Module | None = field(init=False)
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_state: State = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.task.network.to(self.device)
        factors = self.task.rate_factors if isinstance(self.task, SteppingTask) else {}
        self.optimizer = build_optimizer(self.task.network, self.settings, factors)
        self.optimizer.register_step_pre_hook(self._clip)
        self.average = None if self.settings.ema_decay is None else deepcopy(self.task.network)
        self.compute = Compute(self.device, _uses_bf16(self.settings, self.device))

    def is_over(self) -> bool:
        """Tell whether the last epoch is done, or patience is at its end."""
        done, patience = len(self.history), self.settings.patience
        return done == self.settings.epochs or (patience is not None and done - self.best_epoch >= patience > 0)

    def next_epoch(self) -> None:
        """Train and judge one epoch."""
        number, began = len(self.history) + 1, time.monotonic()
        torch.manual_seed(_epoch_seed(self.settings.seed, number))
        if number == 1 and isinstance(self.task, SteppingTask):
            self._warm_up(self.task)
        loss = self._train(number)
        judged = self.task.network if self.average is None else self.average
        if isinstance(self.task, SteppingTask):
            self.task.settle(judged.train(), number, self.compute)
        judged.eval()
        with torch.no_grad():
            figures = {name: float(value) for name, value in self.task.validate(judged, self.device).items()}
        self._check(number, loss, figures)
        if self._is_best(figures[self.task.watched]):
            self.best_epoch, self.best_state = number, _copied(judged)
        rate = self.optimizer.param_groups[0]["lr"]
        self.history.append(Epoch(number, loss, rate, figures, time.monotonic() - began))

    def _warm_up(self, task: SteppingTask) -> None:
        """Let a task with steps of its own train before the first epoch."""
        task.network.train()
        set_rate(self.optimizer, self.settings.learning_rate)
        task.warm_up(self.optimizer, self.compute)
        self.optimizer.state.clear()
        if self.average is not None:
            self.average.load_state_dict(task.network.state_dict())

    def _train(self, number: int) -> float:
        """Take one epoch's steps; return their mean loss."""
        batches = self.task.batches(number)
        steps = _number_of_steps(batches, self.settings.steps_per_epoch)
        self.task.network.train()
        total, taken = torch.zeros((), device=self.device), 0
        for taken, batch in enumerate(islice(batches, steps), 1):
            total += self._step(batch, number - 1, taken - 1, steps)
        if taken < steps:
            msg = f"epoch {number} was to have {steps} batches and the task gave {taken}: lower steps_per_epoch"
            raise UsageError(msg)
        return float(total) / steps

    def _step(self, batch: Any, epochs_done: int, steps_done: int, steps: int) -> Tensor:
        # The rate is that of the step's middle, so no step of a rise or a fall is lost to a rate of 0.
        share = (epochs_done + (steps_done + 0.5) / steps) / self.settings.epochs
        follow_schedule(self.optimizer, self.settings, share)
        if isinstance(self.task, SteppingTask):
            loss = self.task.step(batch, self.optimizer, self.compute)
        else:
            loss = self._one_gradient(self.task, batch)
        if self.average is not None and self.settings.ema_decay is not None:
            update_average(self.average, self.task.network, self.settings.ema_decay, epochs_done * steps + steps_done)
        return loss.detach().float()

    def _one_gradient(self, task: Task, batch: Any) -> Tensor:
        with self.compute.forward():
            loss = task.loss(batch, self.device)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss

    def _clip(self, *_: Any) -> None:
        """Shorten the gradient of a step that is about to be taken."""
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.task.network.parameters(), self.settings.clip_norm)

    def _check(self, number: int, loss: float, figures: Mapping[str, float]) -> None:
        watched = self.task.watched
        if watched not in figures:
            msg = f"the best epoch is chosen by {watched}, and validation gave {', '.join(figures) or 'nothing'}"
            raise UsageError(msg)
        if not (math.isfinite(loss) and math.isfinite(figures[watched])):
            told = f"loss {loss:.3g}, {watched} {figures[watched]:.3g}"
            msg = f"the training diverged in epoch {number} ({told}): lower learning_rate, or set clip_norm"
            raise ModelError(msg)

    def _is_best(self, value: float) -> bool:
        if not self.best_epoch or self.settings.keep == "last":
            return True
        best = self.history[self.best_epoch - 1].figures[self.task.watched]
        if value == best:
            return self.settings.ties == "later"
        return value > best if self.task.higher_is_better else value < best

    def checkpoint(self) -> Checkpoint:
        """Return all that the next epoch depends on."""
        average = None if self.average is None else self.average.state_dict()
        network, optimizer = self.task.network.state_dict(), self.optimizer.state_dict()
        return Checkpoint(network, average, optimizer, tuple(self.history), self.best_epoch, self.best_state)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was written."""
        self.task.network.load_state_dict(checkpoint.network)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        if self.average is not None and checkpoint.average is not None:
            self.average.load_state_dict(checkpoint.average)
        self.history = list(checkpoint.history)
        self.best_epoch, self.best_state = checkpoint.best_epoch, checkpoint.best_state


def _settings_values(settings: EngineSettings) -> dict[str, Any]:
    """Return what a resumed run must share; the device may be another, at the price of the last bits."""
    return {name: value for name, value in asdict(settings).items() if name != "device"}


def _uses_bf16(settings: EngineSettings, device: torch.device) -> bool:
    # On a CPU only if it is asked for: there the same bits everywhere are worth more than a little speed.
    by_itself = settings.precision == "auto" and device.type == "cpu"
    return not by_itself and uses_bf16(settings.precision, device)


def _number_of_steps(batches: Iterable[Any], wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    if isinstance(batches, Sized) and len(batches) > 0:
        return len(batches)
    msg = "the task gives no batch, or does not know how many: give it data, or set steps_per_epoch"
    raise UsageError(msg)


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _copied(network: nn.Module) -> State:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Leave the caller's random numbers alone; on the CPU, refuse to compute what would differ from run to run."""
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    devices = range(torch.cuda.device_count()) if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.use_deterministic_algorithms(was_deterministic or device.type == "cpu")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was_deterministic)
