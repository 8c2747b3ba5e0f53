"""Two branches that both say something, and tell each other."""

import pytest
import torch

from wsi_patches.models.cotconet import CoTCoNet, Exchange, positions

SMALL = {"width": 4, "dim": 8, "heads": 2, "depth": 1}


@pytest.fixture
def images():
    return torch.rand(3, 3, 48, 40, generator=torch.Generator().manual_seed(0))


def built(branches="coupled"):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return CoTCoNet(2, **SMALL, branches=branches).eval()


def parameters(network):
    return sum(one.numel() for one in network.parameters())


def test_it_is_as_large_as_its_card_says():
    with torch.device("meta"):
        sizes = {name: parameters(CoTCoNet(2, branches=name)) for name in ("coupled", "joined", "cnn", "transformer")}
        further = parameters(CoTCoNet(3)) - sizes["coupled"]
    assert sizes == {"coupled": 3_178_914, "joined": 3_129_058, "cnn": 311_458, "transformer": 2_817_602}
    assert further == 321


@torch.no_grad()
@pytest.mark.parametrize("branches", ["coupled", "joined"])
@pytest.mark.parametrize("silenced", ["stem", "patches"])
def test_a_branch_that_sees_nothing_changes_the_logits(images, branches, silenced):
    network, whole = built(branches), built(branches)
    for one in getattr(network, silenced).parameters():
        one.zero_()
    assert not torch.allclose(network(images), whole(images), atol=1e-5)


@pytest.mark.parametrize("branches", ["coupled", "joined"])
def test_gradients_reach_every_parameter_of_both(images, branches):
    network = built(branches).train()
    network(images)[:, 0].sum().backward()
    dead = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.abs().sum() > 0]
    assert not dead


@torch.no_grad()
def test_coupled_branches_tell_each_other_and_joined_ones_do_not(images):
    """What one branch gives, with the other silenced and not: the half of the features that is its own."""
    channels = 4 * SMALL["width"]
    for branches, told in (("coupled", True), ("joined", False)):
        whole, without_cnn, without_tokens = built(branches), built(branches), built(branches)
        for network, part in ((without_cnn, "stem"), (without_tokens, "patches")):
            for one in getattr(network, part).parameters():
                one.add_(0.5)
        features = whole.features(images)
        tokens_changed = not torch.allclose(without_cnn.features(images)[:, channels:], features[:, channels:])
        maps_changed = not torch.allclose(without_tokens.features(images)[:, :channels], features[:, :channels])
        assert (tokens_changed, maps_changed) == (told, told)


@torch.no_grad()
def test_what_is_told_stays_at_its_place():
    exchange = Exchange(2, 8)
    maps, tokens = torch.zeros(1, 2, 8, 8), torch.zeros(1, 8, 2, 2)
    silent = exchange.to_tokens(maps, tokens)
    maps[..., :4, 4:] = 1
    changed = (exchange.to_tokens(maps, tokens) - silent).abs().sum(dim=1)[0]
    assert changed.bool().tolist() == [[False, True], [False, False]]


@torch.no_grad()
@pytest.mark.parametrize("branches", ["coupled", "joined", "cnn", "transformer"])
def test_any_side_of_16_px_and_more_is_taken(branches):
    network = built(branches)
    for side in (16, 33, 64):
        assert network(torch.zeros(2, 3, side, side + 7)).shape == (2, 2)
    with pytest.raises(ValueError, match="16 px and more, got 15 x 20"):
        network(torch.zeros(1, 3, 15, 20))


@torch.no_grad()
def test_tokens_know_where_they_lie():
    """A mosaic of two halves and the same with the halves changed over: without places attention could not tell."""
    known = positions(3, 4, 8)
    assert known.shape == (8, 3, 4)
    assert len(torch.unique(known.flatten(1).T, dim=0)) == 12
    halves = torch.cat([torch.ones(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)], dim=3)
    network = built("transformer")
    assert not torch.allclose(network(halves), network(halves.flip(3)), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branches": "three"}, "no branches 'three': choose from coupled, joined, cnn, transformer"),
        ({"dim": 10, "heads": 2}, "dim a multiple of heads and of 4; got .*dim 10"),
        ({"depth": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_built_is_told(settings, message):
    with pytest.raises(TypeError, match=message):
        CoTCoNet(2, **settings)
