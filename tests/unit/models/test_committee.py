"""An ensemble and several views are averaged, and their disagreement is told apart from doubt."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from wsi_patches.errors import UsageError
from wsi_patches.models.card import ModelCard
from wsi_patches.models.classifier import CellClassifier
from wsi_patches.models.committee import Committee

CARD = ModelCard(
    name="corner",
    title="",
    architecture="allnet",
    settings={},
    classes=("blast", "other"),
    trained_on="",
    limits="",
    licence="",
    input_px=8,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    patch_um=10.0,
)


class Corner(nn.Module):
    """Says how bright the upper left corner is, times a factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, images):
        bright = images[:, :, :4, :4].mean(dim=(1, 2, 3)) * self.factor
        return torch.stack([bright, -bright], dim=1)


def member(factor=2.0, **card):
    return CellClassifier(Corner(factor).eval(), replace(CARD, **card), f"hash{factor}", torch.device("cpu"))


@pytest.fixture
def patches(rng):
    images = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    images[2, :4, :4], images[2, 4:, 4:] = 255, 0
    return images


def asked(committee, patches):
    outputs = committee.runner(torch.from_numpy(patches)).numpy()
    return committee.calibrated(outputs), committee.doubt(outputs)


def test_a_committee_of_one_says_what_it_says(patches):
    said, doubt = asked(Committee((member(),)), patches)
    np.testing.assert_allclose(said, member().probabilities(patches), atol=1e-6)
    np.testing.assert_allclose(doubt.disagreement, 0, atol=1e-9)
    p = said.astype(float)
    np.testing.assert_allclose(doubt.entropy, -(p * np.log(p)).sum(axis=1), atol=1e-6)
    assert Committee((member(),)).sha256 == "hash2.0"


def test_members_are_averaged_with_their_own_calibration(patches):
    one, other = member(2.0), member(-6.0, temperature=3.0)
    said, doubt = asked(Committee((one, other)), patches)
    np.testing.assert_allclose(said, (one.probabilities(patches) + other.probabilities(patches)) / 2, atol=1e-6)
    np.testing.assert_allclose(said, 0.5, atol=1e-6)  # they contradict each other
    np.testing.assert_allclose(doubt.entropy, np.log(2), atol=1e-6)
    assert (doubt.disagreement > 0).all()


@pytest.mark.parametrize("views", [2, 4, 8])
def test_views_are_symmetries_of_the_patch(patches, views):
    said, _ = asked(Committee((member(),), views), patches)
    shown = [patches, patches[:, :, ::-1], patches[:, ::-1], patches[:, ::-1, ::-1]]
    shown += [one.transpose(0, 2, 1, 3) for one in shown]
    np.testing.assert_allclose(
        said, np.mean([member().probabilities(np.ascontiguousarray(one)) for one in shown[:views]], axis=0), atol=1e-6
    )
    if views == 8:  # whatever way the patches are turned, the answer is the same
        turned, _ = asked(Committee((member(),), 8), np.ascontiguousarray(np.rot90(patches, axes=(1, 2))))
        np.testing.assert_allclose(said, turned, atol=1e-6)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UsageError, match=r"agree in patch_um: corner has 10\.0, corner 12\.0"):
        Committee((member(), member(patch_um=12.0)))
    with pytest.raises(UsageError, match="1, 2, 4, 8 views, got 3"):
        Committee((member(),), 3)
    with pytest.raises(UsageError, match="one classifier or more"):
        Committee(())
