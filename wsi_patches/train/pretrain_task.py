"""SimCLR and DINO as tasks of the training loop; heads and losses are lightly's.

T. Chen and others, "A simple framework for contrastive learning of visual representations", ICML 2020.
M. Caron and others, "Emerging properties in self-supervised vision transformers", ICCV 2021.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from wsi_patches.errors import needs_extra
from wsi_patches.models.classifier import InputFrame, normalised
from wsi_patches.train.patch_task import Batches
from wsi_patches.train.pretrain_settings import PretrainSettings
from wsi_patches.train.store_patches import StorePatches
from wsi_patches.train.task import Compute
from wsi_patches.train.views import cut_views, found_again, spread

__all__ = ["DinoNet", "DinoTask", "SimClrNet", "SimClrTask", "ViewTask", "lightly_parts", "pixels_of"]

OWN_PLACES = (7, 8)
"""Seeds of the two views that validation looks at, which stay the same from epoch to epoch."""
AT_ONCE = 64


def lightly_parts() -> Any:
    """Return lightly's modules of losses, heads and schedules.

    Raises
    ------
    MissingExtra
        The extra ``pretrain`` is not installed.
    """
    # Imported without this, lightly asks its maker's server for a newer version.
    os.environ["LIGHTLY_DID_VERSION_CHECK"] = "True"
    with needs_extra("pretrain", "SimCLR or DINO"):
        import lightly.loss
        import lightly.models.modules.heads
        import lightly.models.utils
        import lightly.utils.scheduler
    return lightly


class SimClrNet(nn.Module):
    """A backbone, and SimCLR's projection."""

    def __init__(self, backbone: nn.Module, dim: int, settings: PretrainSettings) -> None:
        super().__init__()
        self.backbone = backbone
        heads = lightly_parts().models.modules.heads
        self.head = heads.SimCLRProjectionHead(dim, settings.hidden, settings.projection)

    def forward(self, images: Tensor) -> Tensor:
        """Turn normalised images into projections ``(n, projection)``."""
        projected: Tensor = self.head(self.backbone(images))
        return projected


class DinoNet(nn.Module):
    """A student that is trained, its running average as a teacher, and the centre of the teacher's answers."""

    steps: Tensor

    def __init__(self, student: nn.Module, teacher: nn.Module, dim: int, settings: PretrainSettings) -> None:
        super().__init__()
        lightly = lightly_parts()
        self.student, self.backbone = student, teacher
        with warnings.catch_warnings():
            # Of lightly's head, which uses PyTorch's older way of normalising a layer's weights.
            warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)
            self.student_head, self.teacher_head = (
                lightly.models.modules.heads.DINOProjectionHead(
                    dim, settings.hidden, 64, settings.projection, batch_norm=False, freeze_last_layer=1
                )
                for _ in range(2)
            )
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        self.backbone.load_state_dict(student.state_dict())
        for one in (*self.backbone.parameters(), *self.teacher_head.parameters()):
            one.requires_grad = False
        temperature = settings.teacher_temperature
        self.loss = lightly.loss.DINOLoss(
            settings.projection, temperature, temperature, 1, settings.temperature, settings.center_momentum
        )
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def pairs(self) -> tuple[tuple[nn.Module, nn.Module], ...]:
        """Return what the student has, and what the teacher has of it."""
        return (self.student, self.backbone), (self.student_head, self.teacher_head)


@dataclass
class ViewTask:
    """What both have in common: views of patches without labels, and how alike they come out.

    ``found_again`` and ``spread`` of validation are those of `wsi_patches.train.views`, of the backbone's features.
    """

    network: nn.Module
    frame: InputFrame
    patches: StorePatches
    train: NDArray[np.int64]
    """Positions of the patches that are learnt from."""
    validation: NDArray[np.int64]
    settings: PretrainSettings
    watched: str = "found_again"
    higher_is_better: bool = True

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch, equal for equal seeds: a list of views each, float ``(b, 3, s, s)``."""
        seed = int(np.random.SeedSequence([self.settings.training.seed, epoch]).generate_state(1)[0])
        order = self.train[np.random.default_rng(seed).permutation(len(self.train))]
        size = min(self.settings.batch_size, len(order))
        return Batches(len(order) // size, lambda: self._drawn(order, size, torch.Generator().manual_seed(seed)))

    def _drawn(self, order: NDArray[np.int64], size: int, generator: torch.Generator) -> Iterator[list[Tensor]]:
        for start in range(0, len(order) - size + 1, size):
            yield self.views(pixels_of(self.patches, order[start : start + size]), generator)

    def views(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Return two views of each patch."""
        return [self.view(images, generator) for _ in range(2)]

    def view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return one view of each patch, as large as the network takes it."""
        settings = self.settings
        return cut_views(images, settings.input_px, settings.global_share, settings.augmentation, generator)

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return how often views find their own patch, and how widely features are spread."""
        first, second = (self.described(network, self.validation, seed, device) for seed in OWN_PLACES)
        return {"found_again": found_again(first, second), "spread": spread(first)}

    @torch.no_grad()
    def described(self, network: Any, rows: NDArray[np.int64], seed: int, device: torch.device) -> Tensor:
        """Return features of one view of each patch, ``(n, dim)``; equal seeds give equal views."""
        generator, out = torch.Generator().manual_seed(seed), []
        for start in range(0, len(rows), AT_ONCE):
            view = self.view(pixels_of(self.patches, rows[start : start + AT_ONCE]), generator)
            out.append(network.backbone(normalised(view.to(device), self.frame)))
        return torch.cat(out)


@dataclass
class SimClrTask(ViewTask):
    """Two views of a patch are told from those of all others of the batch."""

    def __post_init__(self) -> None:
        self.criterion = lightly_parts().loss.NTXentLoss(self.settings.temperature)

    def loss(self, batch: list[Tensor], device: torch.device) -> Tensor:
        """Return the normalised, temperature-scaled cross entropy of a batch, nats."""
        # In one pass, so that the statistics of batch normalisation are those of both views.
        projected = self.network(normalised(torch.cat(batch).to(device), self.frame)).float()
        loss: Tensor = self.criterion(*projected.chunk(2))
        return loss


@dataclass
class DinoTask(ViewTask):
    """A student says of each view what the teacher says of another; the teacher's answers are centred."""

    network: DinoNet

    def views(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Return two views of each patch, then the local ones."""
        settings, whole = self.settings, super().views(images, generator)
        side = settings.input_px // 2
        cut = (settings.local_share, settings.augmentation, generator)
        return whole + [cut_views(images, side, *cut) for _ in range(settings.local_views)]

    @property
    def rate_factors(self) -> Mapping[str, float]:
        """None: all learn at one rate."""
        return {}

    def warm_up(self, optimizer: Optimizer, compute: Compute) -> None:
        """Do nothing: no step comes before the first epoch."""

    def step(self, batch: list[Tensor], optimizer: Optimizer, compute: Compute) -> Tensor:
        """Move the student by one batch, and the teacher after it."""
        network, done = self.network, int(self.network.steps)
        with compute.forward():
            views = [normalised(view.to(compute.device), self.frame) for view in batch]
            said = [network.student_head(network.student(view)).float() for view in views]
            with torch.no_grad():
                taught = [network.teacher_head(network.backbone(view)).float() for view in views[:2]]
        loss: Tensor = network.loss(taught, said)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        each = len(self.train) // min(self.settings.batch_size, len(self.train))
        steps = self.settings.training.steps_per_epoch or each
        network.student_head.cancel_last_layer_gradients(done // steps)
        optimizer.step()
        self._teach(done, steps * self.settings.training.epochs)
        return loss.detach()

    def _teach(self, done: int, steps: int) -> None:
        lightly = lightly_parts()
        momentum = lightly.utils.scheduler.cosine_schedule(
            min(done, steps), max(steps, 1), self.settings.teacher_momentum, 1.0
        )
        for student, teacher in self.network.pairs():
            lightly.models.utils.update_momentum(student, teacher, momentum)
        self.network.steps += 1

    def settle(self, network: nn.Module, epoch: int, compute: Compute) -> None:
        """Do nothing: running statistics follow each step."""


def pixels_of(patches: StorePatches, rows: NDArray[np.int64]) -> Tensor:
    """Return patches, uint8 ``(n, 3, s, s)``."""
    return torch.from_numpy(np.ascontiguousarray(patches.read(rows).transpose(0, 3, 1, 2)))
