"""What several classifiers of one class against control say together, as probabilities."""

import numpy as np
import torch

from wsi_patches.models.one_against_control import combined as logits_of


def combined(told):
    """Return the probabilities that the logits of some others mean."""
    return logits_of(torch.as_tensor(np.asarray(told, np.float64))).softmax(dim=1).numpy()
