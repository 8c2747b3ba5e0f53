"""Aggregators of bags: no order, no padding and no size of a bag changes what they say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.models.aggregators import AGGREGATORS

DIM, CLASSES = 6, 3
NETWORKS = {
    "mean": ("mean_pooling", {}),
    "attention": ("attention_mil", {"width": 8, "hidden": 4}),
    "gated": ("attention_mil", {"width": 8, "hidden": 4, "gated": True}),
    "set_transformer": ("set_transformer", {"width": 8, "heads": 2, "inducing": 3, "blocks": 2}),
}


def built(name, seed=0):
    torch.manual_seed(seed)
    kind, arguments = NETWORKS[name]
    network = AGGREGATORS[kind](CLASSES, dim=DIM, **arguments).eval()
    network.scale_by(torch.randn(DIM), torch.rand(DIM) + 0.5)
    return network


def of(network, bag):
    with torch.inference_mode():
        return network(bag[None], torch.ones(1, len(bag), dtype=torch.bool))


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 40), seed=st.integers(0, 99))
def test_order_changes_nothing_and_attention_follows_its_instance(name, size, seed):
    network, generator = built(name), torch.Generator().manual_seed(seed)
    bag, order = torch.randn(size, DIM, generator=generator), torch.randperm(size, generator=generator)
    one, other = of(network, bag), of(network, bag[order])
    torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.attention[0, order], other.attention[0], atol=1e-5, rtol=1e-5)
    assert float(one.attention.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_padding_changes_nothing(name, sizes, seed):
    network, generator = built(name), torch.Generator().manual_seed(seed)
    bags = [torch.randn(size, DIM, generator=generator) for size in sizes]
    features = torch.full((len(bags), max(sizes) + 3, DIM), 1e3)  # what padding holds must not be seen
    mask = torch.zeros(features.shape[:2], dtype=torch.bool)
    for row, bag in enumerate(bags):
        features[row, : len(bag)], mask[row, : len(bag)] = bag, True
    with torch.inference_mode():
        together = network(features, mask)
    assert not together.attention[~mask].any()
    for row, bag in enumerate(bags):
        alone = of(network, bag)
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.attention[row, : len(bag)], alone.attention[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_instance_counts_in_a_bag_of_thousands(name):
    network, bag = built(name), torch.randn(5000, DIM, generator=torch.Generator().manual_seed(1))
    changed = bag.clone()
    changed[4321] = 200.0
    assert not torch.allclose(of(network, bag).logits, of(network, changed).logits, atol=1e-4)


def test_attention_by_hand():
    network = built("gated")
    bag = torch.randn(5, DIM)
    embedded = network.embed((bag - network.mean) / network.std)
    seen = network.seen(embedded).tanh() * network.gate(embedded).sigmoid()
    weights = network.weight(seen).flatten().softmax(0)
    torch.testing.assert_close(of(network, bag).attention[0], weights)
    torch.testing.assert_close(of(network, bag).logits[0], network.head(weights @ embedded))


def test_the_set_transformers_instances_look_at_each_other():
    """What attention MIL cannot see: whether two kinds of instances are in one bag."""
    network, near, far = built("set_transformer"), torch.zeros(3, DIM), torch.full((3, DIM), 2.0)
    alone = [network.blocks[0](network.embed(bag[None]), torch.ones(1, 3, dtype=torch.bool)) for bag in (near, far)]
    both = torch.cat([near, far])[None]
    together = network.blocks[0](network.embed(both), torch.ones(1, 6, dtype=torch.bool))
    assert not torch.allclose(together[0, :3], alone[0][0], atol=1e-3)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(UsageError, match="heads divide its width"):
        AGGREGATORS["set_transformer"](2, dim=4, width=10, heads=4)


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("attention_mil", {"width": 0}, "width is 1 or more, found 0"),
        ("attention_mil", {"hidden": -2}, "hidden is 1 or more, found -2"),
        ("attention_mil", {"dropout": 2}, "dropout lies from 0 to below 1, found 2"),
        ("set_transformer", {"heads": 0}, "heads is 1 or more, found 0"),
        ("set_transformer", {"inducing": 0}, "inducing is 1 or more"),
        ("set_transformer", {"blocks": -1}, "blocks is 1 or more"),
    ],
)
def test_settings_that_no_network_has_are_refused(name, values, told):
    with pytest.raises(UsageError, match=told):
        AGGREGATORS[name](2, dim=4, **values)
