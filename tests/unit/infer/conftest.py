"""A network that is none: quick, exact, and short of memory where a test says so."""

import threading

import numpy as np
import pytest
import torch

from wsi_patches.torch_data import ArrayPatches

READER = "patch-reader"


class FakeBackend:
    """Says of each patch its mean and its first value; keeps the sizes of the batches that it took."""

    name, device, bf16 = "fake", torch.device("cpu"), False

    def __init__(self, memory=10**9, error=None):
        self.memory, self.sizes = memory, []
        self.error = error or torch.cuda.OutOfMemoryError("CUDA out of memory")

    def __call__(self, patches):
        if len(patches) > self.memory:
            raise self.error
        self.sizes.append(len(patches))
        flat = patches.flatten(1).float()
        return torch.stack([flat.mean(1), flat[:, 0]], dim=1)


class CountedPatches(ArrayPatches):
    """Patches in memory that count what was read."""

    def __init__(self, images):
        super().__init__(images)
        object.__setattr__(self, "reads", [])

    def read(self, positions):
        self.reads.extend(np.asarray(positions).tolist())
        return super().read(positions)


def said_of(images):
    """What `FakeBackend` says of patches."""
    return np.array([(image.mean(), image.flat[0]) for image in images], np.float32).reshape(-1, 2)


def readers_alive():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(READER)]


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
