"""One decision from models of one class against control, by cases worked out by hand and by what must always hold."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from tests.unit.models.combined_odds import combined
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.backends import make_backend
from wsi_patches.models.card import ModelCard
from wsi_patches.models.classifier import CellClassifier
from wsi_patches.models.described import DescribedNetwork
from wsi_patches.models.one_against_control import OneAgainstControl
from wsi_patches.models.similarity_maps import LastMap
from wsi_patches.models.weights import load_weights, save_weights

SIDE = 32
MEMBER = ModelCard(
    name="a", title="", architecture="aml_cnn", settings={"image_px": SIDE, "filters": [4, 6], "hidden": 5},
    classes=("control", "a"), trained_on="", limits="", licence="", input_px=SIDE, mean=(0.5, 0.4, 0.6),
    std=(0.2, 0.3, 0.25), patch_cell_diameters=1.5, temperature=0.3,
)  # fmt: skip
MEMBERS = (
    MEMBER,
    replace(MEMBER, name="b", architecture="allnet", settings={"widths": [4, 8]}, classes=("control", "b"),
            mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), temperature=2.0),
    replace(MEMBER, name="c", classes=("control", "c"),
            isotonic=((0.1, 0.05), (0.3, 0.05), (0.4, 0.4), (0.9, 1.0))),
)  # fmt: skip
"""One scaled by its own colours, one of another kind, and one whose probabilities are read off a line."""
CARD = replace(
    MEMBER, name="all", architecture="one_against_control", classes=("control", "a", "b", "c"), mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0), temperature=1.0, settings={"members": [card.to_dict() for card in MEMBERS]},
)  # fmt: skip


def by_hand(told):
    """Return the same by its formula, in numpy."""
    odds = np.concatenate([np.ones((len(told), 1)), told / (1 - told)], axis=1)
    return odds / odds.sum(axis=1, keepdims=True)


def drawn(members=MEMBERS):
    """Return a network whose members were drawn by chance, and have seen a batch of noise."""
    torch.manual_seed(5)
    network = OneAgainstControl(1 + len(members), members=[card.to_dict() for card in members])
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        network.train()(torch.rand(8, 3, SIDE, SIDE))
    return network.eval()


@pytest.fixture
def patches(rng):
    """A dark, a light and three noisy patches."""
    noise = rng.integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    return np.concatenate([np.zeros_like(noise[:1]), np.full_like(noise[:1], 255), noise])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The file of three members."""
    path = tmp_path_factory.mktemp("all") / "weights.safetensors"
    save_weights(path, drawn(), CARD)
    return path


PROBABILITIES = st.integers(1, 6).flatmap(lambda classes: arrays(np.float64, (4, classes), elements=st.floats(0, 1)))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([0.8], [0.2, 0.8]),  # one class is left as its model says it
        ([0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]),  # odds 1 : 1 : 1
        ([0.75, 0.2], [4 / 17, 12 / 17, 1 / 17]),  # odds 1 : 3 : 1/4
        ([0.9, 0.8, 0.2, 0.2], [1 / 14.5, 9 / 14.5, 4 / 14.5, 0.25 / 14.5, 0.25 / 14.5]),
        ([0.4, 0.45], [1 / (1 + 2 / 3 + 9 / 11), 2 / 3 / (1 + 2 / 3 + 9 / 11), 9 / 11 / (1 + 2 / 3 + 9 / 11)]),
    ],
)
def test_odds_against_control_are_divided_by_their_sum(told, expected):
    assert combined([told])[0] == pytest.approx(expected, abs=1e-6)


def test_it_is_bayes_rule_where_the_models_are_right():
    density = np.array([[0.2, 0.5, 0.1], [0.3, 0.1, 0.9]])  # of control and two classes, at two patches
    frequency = np.array([0.5, 0.2, 0.3])
    joint = density * frequency
    against_control = joint[:, 1:] / (joint[:, 1:] + joint[:, :1])
    np.testing.assert_allclose(combined(against_control), joint / joint.sum(axis=1, keepdims=True), atol=1e-6)


@given(PROBABILITIES)
def test_rows_sum_to_1_and_the_decision_is_the_best_class_above_a_half_or_control(told):
    found = combined(told)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    for row, probabilities in zip(found, told, strict=True):
        best = probabilities.max()
        if best < 0.499:
            assert row.argmax() == 0
        if best > 0.501:
            assert row[1:].max() == pytest.approx(row[1 + probabilities.argmax()])
            assert row[1:].max() > row[0]


@given(PROBABILITIES, st.randoms())
def test_the_order_of_the_classes_changes_nothing(told, random):
    order = list(range(told.shape[1]))
    random.shuffle(order)
    found = combined(told)
    np.testing.assert_allclose(combined(told[:, order]), found[:, [0, *(1 + one for one in order)]], atol=1e-6)


def test_nobody_is_so_sure_that_the_others_do_not_count():
    assert np.isfinite(combined([[0.0, 1.0, 1.0]])).all()
    assert combined([[0.0, 1.0, 1.0]])[0] == pytest.approx([0, 0, 0.5, 0.5], abs=1e-6)


def test_a_file_says_what_its_members_say_one_by_one(weights, patches):
    network = drawn()
    alone = [
        CellClassifier(member.network, card, "", torch.device("cpu")).probabilities(patches)[:, 1]
        for member, card in zip(network.members, MEMBERS, strict=True)
    ]
    expected = by_hand(np.stack(alone, axis=1).astype(np.float64).clip(1e-7, 1 - 1e-7))
    assert np.ptp(expected, axis=0).min() > 0.01  # else nothing was compared
    np.testing.assert_allclose(CellClassifier.load(weights, "cpu").probabilities(patches), expected, atol=1e-5)


def test_patches_of_another_size_are_shown_to_the_members_as_to_each_alone(weights, rng):
    patches = rng.integers(0, 256, (2, SIDE * 2, SIDE * 2, 3), np.uint8)
    small = torch.nn.functional.interpolate(
        torch.tensor(patches).permute(0, 3, 1, 2).float(), (SIDE, SIDE), mode="bilinear", antialias=True
    )
    with torch.no_grad():
        expected = drawn()(small / 255).softmax(dim=1)
    np.testing.assert_allclose(CellClassifier.load(weights, "cpu").probabilities(patches), expected, atol=1e-5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20, unique=True), st.data())
def test_a_calibration_is_the_line_that_numpy_draws(said, data):
    meant = data.draw(st.lists(st.floats(0, 1), min_size=len(said), max_size=len(said)))
    points = tuple(zip(sorted(said), sorted(meant), strict=True))
    line = OneAgainstControl(2, members=[replace(MEMBER, isotonic=points).to_dict()]).members[0].isotonic
    asked = np.linspace(0, 1, 41)
    expected = np.interp(asked, *zip(*points, strict=True))
    np.testing.assert_allclose(line(torch.from_numpy(asked)), expected, atol=1e-9)


def test_neither_scaling_nor_calibration_is_a_weight(weights):
    state, card, _ = load_weights(weights)
    assert {name.split(".")[:3:2][1] for name in state} == {"network"}
    assert card.settings["members"][2]["isotonic"] == [list(point) for point in MEMBERS[2].isotonic]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "needed"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_other_libraries_run_it(backend, needed, patches):
    if find_spec(needed) is None or find_spec("onnxscript") is None:
        pytest.skip(f"{needed} is not installed")
    network = drawn(MEMBERS[::2])
    expected, found = (
        make_backend(network, CARD, "cpu", "fp32", name)(torch.from_numpy(patches)) for name in ("torch", backend)
    )
    assert found.shape == (len(patches), 3)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_bfloat16_says_nearly_the_same(patches):
    network = drawn()
    logits = [make_backend(network, CARD, "cpu", kind)(torch.from_numpy(patches)) for kind in ("fp32", "bf16")]
    assert logits[0].shape == (len(patches), 4)
    np.testing.assert_allclose(logits[1].softmax(dim=1), logits[0].softmax(dim=1), atol=0.06)


def test_its_features_are_what_the_members_say_and_it_has_no_map_of_places(weights, patches):
    described = DescribedNetwork.of_classifier(CellClassifier.load(weights, "cpu"))
    logits, features = described.describe(patches)
    np.testing.assert_allclose(combined(features), torch.from_numpy(logits).softmax(dim=1), atol=1e-5)
    with pytest.raises(ModelError, match="OneAgainstControl has no last map of places that all it says comes from"):
        LastMap.of(described)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (MEMBERS[:2], "control and 3 classes take a member of two classes for each of these, got a of control, a; b"),
        ((*MEMBERS[:2], replace(CARD, settings={})), "got a of control, a; b of control, b; all of control, a, b, c"),
        ((*MEMBERS[:2], replace(MEMBER, classes=("none", "c"))), "all held against one control, got control, control"),
        ((*MEMBERS[:2], replace(MEMBER, architecture="abacus")), "no architecture 'abacus': choose from"),
        ((*MEMBERS[:2], replace(MEMBER, settings={"beads": 10})), "not those of aml_cnn: .*beads"),
        ((*MEMBERS[:2], replace(MEMBER, settings={"variant": "beads"})), "no variant 'beads'"),
    ],
)
def test_a_file_of_members_that_make_no_whole_is_refused(members, message, tmp_path):
    card = replace(CARD, settings={"members": [one.to_dict() for one in members]})
    save_weights(tmp_path / "weights.safetensors", drawn(), card)
    with pytest.raises((ModelError, UsageError), match=message):
        CellClassifier.load(tmp_path / "weights.safetensors", "cpu")


@pytest.mark.parametrize("changed", [{"input_px": 64}, {"patch_um": 10.0}, {"patch_cell_diameters": 2.0}])
def test_members_that_take_other_patches_are_refused(changed):
    (name,) = changed
    with pytest.raises(UsageError, match=f"must agree in {name}: a has .*, b "):
        OneAgainstControl(3, members=[MEMBER.to_dict(), replace(MEMBERS[1], **changed).to_dict()])


def test_a_member_with_a_key_that_is_not_known_is_refused():
    with pytest.raises(ModelError, match=r"card cannot be used: .*beads"):
        OneAgainstControl(2, members=[{**MEMBER.to_dict(), "beads": 3}])


def test_a_file_without_one_members_weights_is_refused(tmp_path):
    save_weights(tmp_path / "weights.safetensors", drawn(MEMBERS[:2]), CARD)
    with pytest.raises(ModelError, match=r"do not fit the network that its card describes.*members\.2"):
        CellClassifier.load(tmp_path / "weights.safetensors", "cpu")
