"""A detector's head with attributes: nothing is learnt where nobody knows, to the last bit."""

import pytest
import torch

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.errors import ModelError
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.detector_network import BoxTargets, CellDetectorNet
from wsi_patches.models.weights import build_detector, save_weights

pytestmark = pytest.mark.usefixtures("one_thread")

VALUES = (2, 3)
KNOWN = torch.tensor([[60.0, 10.0, 90.0, 40.0]])
"""A cell at the right; the left 48 px of the image are unknown."""


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CellDetectorNet(3, width=32, convs=1, attributes=VALUES).eval()


@pytest.fixture
def image():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1


def targets(left=(), labels=(), attributes=(), *, unknown=True):
    """Return a known cell, and others in the left half, of which nobody knows."""
    lines = torch.cat([KNOWN, torch.tensor(left, dtype=torch.float32).reshape(-1, 4)])
    mask = torch.zeros(64, 96, dtype=torch.bool)
    mask[:, :48] = True
    said = torch.tensor([[1, -1], *attributes]).reshape(-1, 2)
    one = BoxTargets(lines, torch.tensor([1, *labels]), said, mask if unknown else None)
    nothing = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2, dtype=torch.int64))
    return [one, nothing]


def gradients(network, image, wanted):
    network.zero_grad()
    loss = network.loss(image, wanted)
    loss.backward()
    return loss.detach(), [one.grad.clone() for one in network.parameters() if one.grad is not None]


INSIDE = (
    {},
    {"left": [[8.0, 8.0, 36.0, 36.0]], "labels": [0], "attributes": [[0, 2]]},
    {"left": [[4.0, 20.0, 40.0, 60.0], [2.0, 2.0, 20.0, 18.0]], "labels": [2, 0], "attributes": [[1, 0], [0, 1]]},
)


def test_marks_in_an_ignored_region_change_no_bit_of_loss_and_gradients(network, image):
    first, grown = gradients(network, image, targets(**INSIDE[0]))
    for more in INSIDE[1:]:
        loss, grads = gradients(network, image, targets(**more))
        assert torch.equal(loss, first)
        assert all(torch.equal(one, other) for one, other in zip(grads, grown, strict=True))
    # They do where the same places are known: else nothing was tested.
    assert not torch.equal(gradients(network, image, targets(**INSIDE[1], unknown=False))[0], first)


def test_what_is_said_of_an_ignored_region_changes_no_bit_and_gets_no_gradient(network, image):
    wanted = targets(**INSIDE[1])
    said = {name: one.detach().clone().requires_grad_() for name, one in network(image).items()}
    loss = network.loss_of(said, image, wanted)
    loss.backward()
    across = torch.cat([(torch.arange(8 * 12) % 12) * 8, (torch.arange(4 * 6) % 6) * 16])
    ignored = across < 48
    for name, one in said.items():
        assert not one.grad[0, ignored].any(), name
        assert one.grad[0, ~ignored].any(), name
    other = {name: one.detach().clone() for name, one in said.items()}
    for one in other.values():
        one[0, ignored] = torch.nan  # nothing of them is even looked at
    assert torch.equal(network.loss_of(other, image, wanted), loss.detach())


def test_a_region_that_holds_nothing_leaves_the_loss_of_fcos(network, image):
    open_everywhere, plain = targets(unknown=False), targets()
    nowhere = BoxTargets(plain[0].lines, plain[0].labels, plain[0].attributes, torch.zeros(64, 96, dtype=torch.bool))
    assert torch.allclose(network.loss(image, [nowhere, plain[1]]), network.loss(image, open_everywhere), rtol=1e-6)


def test_attributes_are_learnt_where_they_are_known_alone(network, image):
    said = {name: one.detach().clone().requires_grad_() for name, one in network(image).items()}
    network.loss_of(said, image, targets(unknown=False)).backward()
    first, second = said["attributes"].grad[0].split(VALUES, dim=1)
    learnt = first.abs().sum(dim=1) > 0
    assert 1 <= int(learnt.sum()) < 20  # the places of one cell
    assert not second.any()  # its second attribute is not known
    assert not said["attributes"].grad[1].any()


def test_steps_lead_to_a_cells_attributes(image):
    torch.manual_seed(0)
    network = CellDetectorNet(3, width=32, convs=1, attributes=VALUES).train()
    steps = torch.optim.AdamW(network.parameters(), 3e-3)
    wanted = [BoxTargets(KNOWN, torch.tensor([1]), torch.tensor([[1, 2]])), targets()[1]]
    for _ in range(25):
        steps.zero_grad()
        network.loss(image, wanted).backward()
        steps.step()
    seen = network.seen(image, 0.2, 0.5)[0]
    assert seen.attributes.shape[1] == sum(VALUES)
    first, second = seen.attributes[0].split(VALUES)
    assert (int(first.argmax()), int(second.argmax())) == (1, 2)


def card(**changes):
    attributes = {"cell_size": ("small", "large"), "nucleus": ("a", "b", "c")}
    told = {"classes": ("lymphoblast", "monocyte", "neutrophil"), "blasts": ("lymphoblast",), "attributes": attributes}
    words = dict.fromkeys(("name", "title", "trained_on", "limits", "licence", "split"), "a test")
    settings = {"width": 32, "convs": 1, "attributes": [2, 3]}
    network = {"architecture": "cell_detector", "settings": settings, "red_cell_px": 26.0, "threshold": 0.3, "nms": 0.5}
    return DetectorCard(**{**words, **network, **told, **changes})


def test_types_and_attributes_come_back_from_a_file(tmp_path, network):
    save_weights(tmp_path / "one.safetensors", network, card())
    built, read, _ = build_detector(tmp_path / "one.safetensors")
    assert read == card()
    assert read.blast_rows == (0,)
    assert built.fcos.head.values == VALUES


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"blasts": ("myeloblast",)}, "no type: myeloblast"),
        ({"classes": ("monocyte", "monocyte")}, "each type is named once"),
        ({"attributes": {"cell_size": ("small", "large")}}, r"its attributes have \[2\] values"),
        ({"blasts": None}, "blast and other are detected, or white_cell"),
    ],
)
def test_cards_that_contradict_themselves_are_refused(changes, told):
    with pytest.raises(ModelError, match=told):
        card(**changes)


def test_detectors_of_blasts_say_so():
    plain = card(classes=ALL_IDB_CLASSES, blasts=None, attributes={}, settings={"width": 32, "convs": 1})
    assert plain.blast_rows == (0,)
    with pytest.raises(TypeError, match="two values or more"):
        CellDetectorNet(2, 32, 1, (1,))
