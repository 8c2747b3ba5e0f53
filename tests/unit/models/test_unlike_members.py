"""Ensembles of unlike members: sizes of input, architectures, many classes; their mean is no member's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wsi_patches.models.card import ModelCard
from wsi_patches.models.classifier import CellClassifier
from wsi_patches.models.committee import Committee
from wsi_patches.models.systems import find_system

pytestmark = pytest.mark.usefixtures("one_thread")
CARD = ModelCard(
    name="small", title="", architecture="dss_xai", settings={}, classes=("early", "hematogone", "pre"), trained_on="",
    limits="", licence="", input_px=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), patch_cell_diameters=1.5,
)  # fmt: skip


def member(seed, px, architecture="dss_xai", **settings):
    torch.manual_seed(seed)
    network = find_system(architecture).build(3, **(settings or {"width": 8})).eval()
    with torch.no_grad():  # batch norms that were never trained leave hardly any difference between patches
        [*network.parameters()][-2].mul_(20)
    card = replace(CARD, input_px=px, architecture=architecture)
    return CellClassifier(network, card, f"{seed}", torch.device("cpu"))


@pytest.fixture(scope="module")
def committee():
    return Committee((member(0, 32), member(1, 48), member(2, 64, "mobilenet_v2_gru", hidden=8)))


@pytest.fixture
def patches(rng):
    return rng.integers(0, 256, (5, 64, 64, 3), np.uint8)


def test_members_of_other_sizes_and_networks_go_together_and_their_mean_is_none_of_them(committee, patches):
    assert committee.card.input_px == 64  # patches are read at the size of the one that sees most
    outputs = committee.runner(torch.from_numpy(patches)).numpy()
    said, alone = committee.calibrated(outputs), committee.by_member(outputs)
    each = np.stack([one.probabilities(patches) for one in committee.members], axis=1)
    np.testing.assert_allclose(alone, each, atol=1e-6)
    np.testing.assert_allclose(said, each.mean(axis=1), atol=1e-6)
    assert (np.abs(each - said[:, None]).max(axis=(0, 2)) > 0.01).all()  # neither's own
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)


def test_doubt_by_hand(committee, patches):
    outputs = committee.runner(torch.from_numpy(patches)).numpy()
    each, doubt = committee.by_member(outputs).astype(float), committee.doubt(outputs)
    mean = each.mean(axis=1)
    entropy = -(mean * np.log(mean)).sum(axis=1)
    own = -(each * np.log(each)).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(doubt.entropy, entropy, atol=1e-5)
    np.testing.assert_allclose(doubt.disagreement, entropy - own, atol=1e-5)
    np.testing.assert_allclose(doubt.variance, ((each - mean[:, None]) ** 2).mean(axis=(1, 2)), atol=1e-6)


def test_several_views_of_each_member_are_its_own_mean(patches):
    members = (member(0, 32), member(1, 48))
    twice = Committee(members, views=2)
    alone = twice.by_member(twice.runner(torch.from_numpy(patches)).numpy())
    mirrored = np.ascontiguousarray(patches[:, :, ::-1])
    wanted = [(one.probabilities(patches) + one.probabilities(mirrored)) / 2 for one in members]
    np.testing.assert_allclose(alone, np.stack(wanted, axis=1), atol=1e-6)
