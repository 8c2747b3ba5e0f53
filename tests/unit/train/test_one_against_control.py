"""Classifiers of one class against control: they share a split, learn what can be learnt, and vote for patients."""

import csv
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tests.painted_patients import NAMES, PATIENTS, balanced_accuracy, write_patients
from tests.unit.models.combined_odds import combined
from wsi_patches.datasets import find_inputs
from wsi_patches.datasets.splits import Split
from wsi_patches.errors import UsageError
from wsi_patches.models.classifier import CellClassifier
from wsi_patches.train.classifier import TestPatches
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import cut_fields
from wsi_patches.train.one_against_control import (
    OneAgainstControlSettings,
    SubtypeSettings,
    of_patients,
    train_against_control,
)

SMALL = OneAgainstControlSettings(
    input_px=32,
    network={"image_px": 32, "filters": [6, 8], "hidden": 8},
    subtypes={"NPM1": SubtypeSettings({"hidden": 6}, 0.004), "CBFB_MYH11": SubtypeSettings()},
    shares={"train": 0.5, "validation": 0.25, "test": 0.25},
    patch_cell_diameters=1.5,
    batch_size=8,
    training=EngineSettings(epochs=6, learning_rate=0.01, weight_decay=0.0, device="cpu"),
)

pytestmark = pytest.mark.usefixtures("one_thread")


def trained(tmp_path, settings=SMALL, **how):
    items = find_inputs([write_patients(tmp_path / "data", **how)]).items
    patches, words = cut_fields(settings, items, tmp_path / "out")
    return train_against_control(settings, patches, words, tmp_path / "out")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Two classifiers against control, of painted cells, and the folder that they were written to."""
    folder = tmp_path_factory.mktemp("three")
    return trained(folder), folder / "out"


def test_each_class_has_a_classifier_with_its_own_settings(three):
    done, out = three
    assert list(done.members) == ["NPM1", "PML_RARA"]
    cards = {name: one.card for name, one in done.members.items()}
    assert cards["NPM1"].settings["hidden"] == 6
    assert cards["PML_RARA"].settings["hidden"] == 8
    assert {name: card.classes for name, card in cards.items()} == {
        "NPM1": ("control", "NPM1"),
        "PML_RARA": ("control", "PML_RARA"),
    }
    assert all((out / name / "weights.safetensors").is_file() for name in cards)
    assert "no picture is of CBFB_MYH11: nothing was trained for it" in done.warnings


def test_all_share_a_split_of_whole_patients(three):
    done, _ = three
    sides = {}
    for member in done.members.values():
        assert isinstance(member.split, Split)
        for row, name in zip(member.split.rows, member.split.names, strict=True):
            sides.setdefault(row.group, set()).add(name)
    assert len(sides) == len(NAMES) * PATIENTS
    assert all(len(names) == 1 for names in sides.values())
    asked = {group for group, names in sides.items() if names == {"test"}}
    assert set(done.together.groups.tolist()) == asked
    assert done.together.group_kind == "patient"


def test_what_they_say_together_is_their_own_odds(three):
    done, _ = three
    assert done.together.class_names == ("control", "NPM1", "PML_RARA")
    own = {
        name: dict(zip(one.test.ids.tolist(), one.test.probabilities[:, 1].tolist(), strict=True))
        for name, one in done.members.items()
    }
    controls = [row for row, truth in enumerate(done.together.truth.tolist()) if truth == 0]
    ids = done.together.ids[controls].tolist()
    against = [[own["NPM1"][one], own["PML_RARA"][one]] for one in ids]
    np.testing.assert_allclose(done.together.probabilities[controls], combined(against), atol=1e-4)


def test_their_one_file_needs_none_of_their_own_and_says_the_same(three, tmp_path):
    done, out = three
    assert done.weights == out / "weights.safetensors"
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(done.weights.read_bytes())
    model = CellClassifier.load(moved, "cpu")
    assert model.card == done.card
    assert model.card.classes == ("control", "NPM1", "PML_RARA")
    assert model.sha256 == hashlib.sha256(moved.read_bytes()).hexdigest()
    images = done.together.images.read(range(len(done.together.truth)))
    assert np.array_equal(model.probabilities(images), done.together.probabilities)
    said = [CellClassifier.load(one.weights, "cpu").probabilities(images)[:, 1] for one in done.members.values()]
    np.testing.assert_allclose(model.probabilities(images), combined(np.stack(said, axis=1)), atol=1e-4)


def test_its_card_holds_the_members_cards_and_how_good_it_is(three):
    done, out = three
    card = done.card
    assert card.architecture == "one_against_control"
    assert [one["name"] for one in card.settings["members"]] == [one.card.name for one in done.members.values()]
    assert card.settings["members"][0] == done.members["NPM1"].card.to_dict()
    assert (card.input_px, card.patch_cell_diameters, card.temperature) == (32, 1.5, 1.0)
    assert card.scores["test_balanced_accuracy"] == pytest.approx(balanced_accuracy(done.together))
    assert card.scores["test_patches"] == len(done.together.truth)
    with (out / "split.csv").open(newline="") as stream:
        assert {row["label"] for row in csv.DictReader(stream)} == set(NAMES)


def test_painted_classes_are_learnt_and_shuffled_ones_are_not(three, tmp_path):
    learnt = balanced_accuracy(three[0].together)
    shuffled = balanced_accuracy(trained(tmp_path, shuffled=True).together)
    assert learnt > 0.75
    assert learnt > shuffled + 0.25


@pytest.fixture(scope="module")
def by_picture(tmp_path_factory):
    """The same of split pictures, whose probabilities are read off rising lines."""
    training = replace(SMALL.training, epochs=1)
    settings = replace(SMALL, by="slide", calibration="isotonic", training=training)
    return trained(tmp_path_factory.mktemp("by_picture"), settings)


def test_pictures_are_split_only_where_it_is_asked_for_and_then_it_is_said(by_picture):
    sides = {}
    for row, name in zip(by_picture.split.rows, by_picture.split.names, strict=True):
        sides.setdefault(row.group, set()).add(name)
    assert max(map(len, sides.values())) == 3
    assert "One patient may lie on both sides" in by_picture.warnings[0]


def test_isotonic_calibrations_go_into_the_one_file(by_picture):
    test = by_picture.together
    members = [CellClassifier.load(one.weights, "cpu") for one in by_picture.members.values()]
    assert all(one.card.isotonic for one in members)
    images = test.images.read(range(len(test.truth)))
    said = np.stack([one.probabilities(images)[:, 1] for one in members], axis=1)
    np.testing.assert_allclose(test.probabilities, combined(said), atol=1e-4)


def test_patients_are_the_means_of_their_pictures_and_one_of_two_classes_is_two(three):
    done, _ = three
    test = TestPatches(
        class_names=("control", "a"),
        ids=np.array(["1", "2", "3", "4", "5"]),
        groups=np.array(["P", "P", "Q", "R", "R"]),
        group_kind="patient",
        truth=np.array([0, 0, 1, 0, 1], np.int32),
        probabilities=np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9]], np.float32),
        images=done.together.images,
    )
    voted = of_patients(test)
    assert voted.ids.tolist() == ["P", "Q", "R (control)", "R (a)"]
    assert voted.groups.tolist() == ["P", "Q", "R", "R"]
    assert voted.truth.tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(voted.probabilities, [[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9]], atol=1e-6)


def test_so_many_pictures_of_a_class_are_drawn_and_no_more(tmp_path):
    items = find_inputs([write_patients(tmp_path / "data")]).items
    drawn = [cut_fields(replace(SMALL, most_per_class=25, split_seed=seed), items, tmp_path)[0] for seed in (0, 0, 1)]
    assert np.bincount(drawn[0].truth).tolist() == [25, 25, 25]
    assert drawn[0].ids.tolist() == drawn[1].ids.tolist() != drawn[2].ids.tolist()
    assert len(set(drawn[0].groups.tolist())) > len(NAMES) * PATIENTS / 2
    assert "105 pictures of classes that have more than 25 were not drawn (most_per_class)" in drawn[0].left_out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subtypes": {"control": SubtypeSettings()}}, "held against control, which cannot be one of them"),
        ({"subtypes": {"NPM1": SubtypeSettings({"image_px": 64})}}, "takes images of 64 px alone"),
        ({"subtypes": {"NPM1": SubtypeSettings({}, 100.0)}}, "learning_rate of a training must lie in"),
        ({"most_per_class": 0}, "most_per_class of a training is a count of 1 or more, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        replace(SMALL, **changes)


def test_without_controls_nothing_is_trained(tmp_path):
    items = find_inputs([write_patients(tmp_path / "data")]).items
    patches, words = cut_fields(SMALL, items, tmp_path)
    with pytest.raises(UsageError, match="no picture is of healthy, only of NPM1, PML_RARA, control: say which"):
        train_against_control(replace(SMALL, control="healthy"), patches, words, tmp_path / "out")
