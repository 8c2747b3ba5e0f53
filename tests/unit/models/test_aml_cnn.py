"""The one-against-control networks: shapes, hand-counted parameters, both readings of the deck, one output."""

import pytest
import torch
from torch import nn

from wsi_patches.errors import UsageError
from wsi_patches.models.aml_cnn import SYSTEM, VARIANTS, AmlCnn

# Counted by hand for the default reading at 144 px: 3 x 3 convolutions with biases, two numbers a channel of each batch
# norm, max-pools that halve 144 to 72, 36, 18 (and 9), the dense layer, and one output.
CONV = {"3-64": 1_792, "64-128": 73_856, "128-192": 221_376, "64-256": 147_712, "256-192": 442_560, "192-192": 331_968}
CONV |= {"3-32": 896, "32-128": 36_992, "128-256": 295_168, "256-256": 590_080}
COUNTED = {
    "pml_rara": 1_792 + 128 + 73_856 + 256 + 221_376 + 384 + (18 * 18 * 192 * 128 + 128) + 129,
    "runx1_runx1t1": 1_792 + 128 + 147_712 + 512 + 442_560 + 384 + (18 * 18 * 192 * 256 + 256) + 257,
    "cbfb_myh11": 896 + 64 + 36_992 + 256 + 295_168 + 512 + 590_080 + 512 + (9 * 9 * 256 * 192 + 192) + 193,
    "npm1": 1_792 + 128 + 147_712 + 512 + 442_560 + 384 + 331_968 + 384 + (9 * 9 * 192 * 256 + 256) + 257,
}
STATED = {"pml_rara": 8_260_673, "runx1_runx1t1": 16_518_849, "cbfb_myh11": 4_906_177, "npm1": 4_907_265}
"""As the card says them."""


def parameters(network):
    return sum(one.numel() for one in network.parameters())


def small(**settings):
    return AmlCnn(2, **{"image_px": 24, "filters": (4, 6), "hidden": 5, **settings})


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_of_the_default_reading_are_those_counted_by_hand(variant):
    with torch.device("meta"):
        assert parameters(AmlCnn(2, variant)) == COUNTED[variant] == STATED[variant]


def test_hand_counts_of_convolutions():
    for name, count in CONV.items():
        inputs, outputs = map(int, name.split("-"))
        assert count == 9 * inputs * outputs + outputs


def test_first_class_has_the_logit_0_so_that_cross_entropy_is_the_published_binary_one():
    torch.manual_seed(0)
    network, labels = small(), torch.tensor([0, 1, 1, 0])
    logits = network(torch.rand(4, 3, 24, 24))
    assert logits.shape == (4, 2)
    assert torch.equal(logits[:, 0], torch.zeros(4))
    binary = nn.functional.binary_cross_entropy_with_logits(logits[:, 1], labels.float())
    torch.testing.assert_close(nn.functional.cross_entropy(logits, labels), binary)
    torch.testing.assert_close(logits.softmax(dim=1)[:, 1], logits[:, 1].sigmoid())


def test_the_other_reading_takes_the_first_number_for_the_side_of_the_input():
    asked = {"variant": "cbfb_myh11", "reading": "side"}
    network = AmlCnn(2, **asked)
    convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    assert [one.out_channels for one in convolutions] == [128, 256, 256]
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 2)
    assert SYSTEM.side(asked) == 32
    assert SYSTEM.side({"variant": "npm1"}) == 144
    assert SYSTEM.side({"image_px": 96}) == 96


@pytest.mark.parametrize(
    ("settings", "flattened"),
    [({}, 6 * 6 * 6), ({"padding": "valid"}, 4 * 4 * 6), ({"pool": 3}, 2 * 2 * 6), ({"kernel": 5}, 6 * 6 * 6)],
)
def test_what_the_deck_does_not_say_can_be_set(settings, flattened):
    network = small(**settings)
    assert network.hidden[0].in_features == flattened
    assert network(torch.rand(2, 3, 24, 24)).shape == (2, 2)


def test_activation_and_dropout_are_those_asked_for():
    network = small(activation="elu", dropout=0.5)
    assert isinstance(network.features[1], nn.ELU)
    network.train()
    images = torch.rand(2, 3, 24, 24)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "npm2"}, "no variant 'npm2': choose from pml_rara, "),
        ({"reading": "guess"}, "no reading 'guess': choose from filters, side"),
        ({"activation": "swish"}, "no activation 'swish'"),
        ({"image_px": 3}, "nothing is left of the input"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        small(**settings)
