"""A network that describes a patch: by its logits, and by the features that its last layer takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.backends import InputFrame, Painter, PatchInput, as_tensor
from wsi_patches.models.classifier import CellClassifier
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.models.input_mask import painter_of
from wsi_patches.models.systems import find_system

__all__ = ["DescribedNetwork", "Space"]

Space = Literal["logits", "embedding"]
"""In which patches are compared: what a network says of the classes, or the features that it says it by."""


@dataclass(frozen=True)
class DescribedNetwork:
    """A network in evaluation mode that tells logits and features.

    Parameters
    ----------
    network
        On ``device``; of several views of a patch it looks at one.
    frame
        What it takes.
    head
        Its last layer; None where what it gives are features already, as an encoder does.
    device
        Where it runs.
    batch_size
        How many patches are held on the device at a time.
    painter
        What patches go through first, at the network's size; nothing if None.
    """

    network: nn.Module
    frame: InputFrame
    head: nn.Module | None
    device: torch.device
    batch_size: int = 32
    painter: Painter | None = None

    @classmethod
    def of_classifier(cls, classifier: CellClassifier) -> DescribedNetwork:
        """Describe by a trained classifier."""
        network: Any = classifier.network
        if hasattr(network, "views"):
            network.views = 1  # a map of places is that of one view
        head = network.get_submodule(find_system(classifier.card.architecture).head)
        painter = painter_of(classifier.card.name, classifier.card.mask, classifier.paint)
        return cls(network, classifier.card, head, classifier.device, painter=painter)

    @classmethod
    def of_encoder(cls, encoder: FrozenEncoder) -> DescribedNetwork:
        """Describe by a frozen encoder, which has features and no logits."""
        return cls(encoder.network, encoder.encoder, None, encoder.device)

    def embed(self, inputs: Tensor, space: Space) -> Tensor:
        """Return logits or features ``(n, d)`` of normalised images ``(n, 3, s, s)``, with gradients if they are on.

        Raises
        ------
        ModelError
            Logits are asked of an encoder, which has none.
        """
        if self.head is None:
            if space == "logits":
                msg = "an encoder has features and no logits: compare in the space embedding"
                raise ModelError(msg)
            features: Tensor = self.network(inputs)
            return features
        with self._features() as seen:
            logits: Tensor = self.network(inputs)
        return logits if space == "logits" else seen[-1]

    def inputs(self, images: NDArray[np.uint8]) -> Tensor:
        """Return patches, uint8 RGB ``(n, s, s, 3)``, as the network takes them, on its device.

        Raises
        ------
        UsageError
            They are of another shape or kind.
        """
        return PatchInput(self.frame, self.device, self.painter)(as_tensor(images).to(self.device))

    @torch.inference_mode()
    def describe(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits ``(n, classes)`` and features ``(n, d)`` of patches, as they are: nothing is turned or flipped.

        Parameters
        ----------
        images
            uint8 RGB ``(n, s, s, 3)``.

        Returns
        -------
        float32 both; an encoder's logits have no column.
        """
        logits, features = [], []
        for start in range(0, len(images), self.batch_size):
            inputs = self.inputs(images[start : start + self.batch_size])
            if self.head is None:
                said, seen = inputs.new_empty((len(inputs), 0)), self.embed(inputs, "embedding")
            else:
                with self._features() as found:
                    said = self.network(inputs)
                seen = found[-1]
            logits.append(said.float().cpu().numpy())
            features.append(seen.float().cpu().numpy())
        return np.concatenate(logits), np.concatenate(features)

    @contextmanager
    def _features(self) -> Iterator[list[Tensor]]:
        """Keep what the last layer takes."""
        seen: list[Tensor] = []
        if self.head is None:
            yield seen
            return
        hook = self.head.register_forward_pre_hook(lambda _module, given: seen.append(given[0].flatten(1)))
        try:
            yield seen
        finally:
            hook.remove()
