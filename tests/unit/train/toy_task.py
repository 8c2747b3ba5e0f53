"""A task that takes milliseconds: bright against dark noise. As a program it trains until it kills itself."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from wsi_patches.train.engine import EngineSettings, fit

STEPS = 4
THOROUGH = EngineSettings(
    epochs=4, learning_rate=0.02, ema_decay=0.9, clip_norm=1.0, warmup_epochs=1, seed=5, device="cpu"
)


class ToyTask:
    """Batch normalisation, dropout and momenta: all that a training may have to remember."""

    watched, higher_is_better = "loss", False

    def __init__(self, seed=0, separation=0.3):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = nn.Sequential(
                nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
            )  # fmt: skip
        self.seed, self.separation = seed, separation
        self.seen = []

    def batches(self, epoch):
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        return [self._batch(generator) for _ in range(STEPS)]

    def _batch(self, generator):
        labels = torch.randint(0, 2, (16,), generator=generator)
        images = torch.rand(16, 3, 12, 12, generator=generator) + self.separation * labels.view(-1, 1, 1, 1)
        return images, labels

    def loss(self, batch, device):
        images, labels = batch
        self.seen.append((self.network.training, float(images.sum())))
        return nn.functional.cross_entropy(self.network(images.to(device)), labels.to(device))

    def validate(self, network, device):
        assert not network.training
        images, labels = (one.to(device) for one in ToyTask.batches(self, 0)[0])
        logits = network(images)
        loss = nn.functional.cross_entropy(logits, labels)
        return {"loss": float(loss), "accuracy": float((logits.argmax(1) == labels).float().mean())}


class KilledTask(ToyTask):
    """Kills its own process, as nothing can catch it, after some steps."""

    def __init__(self, steps, **settings):
        super().__init__(**settings)
        self.steps = steps

    def loss(self, batch, device):
        if len(self.seen) == self.steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch, device)


if __name__ == "__main__":
    sys.modules["tensorboard"] = None  # its import takes longer than all else here
    torch.set_num_threads(1)
    fit(KilledTask(int(sys.argv[2])), THOROUGH, Path(sys.argv[1]))
