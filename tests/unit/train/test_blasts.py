"""A classifier from marked cells, or from labelled fields: it learns, repeats itself, and its weights count."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.unit.train.small_fields import painted_fields
from wsi_patches.datasets import SlideItem, find_inputs
from wsi_patches.datasets.split_file import read_split
from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.infer import count_slide, load_classifier
from wsi_patches.models import CellClassifier
from wsi_patches.models.weights import load_weights
from wsi_patches.recipe import read_recipe, settings_from
from wsi_patches.slides import open_slide
from wsi_patches.synthetic import write_all_idb1
from wsi_patches.train.augment import HARD_COLOUR, Augmentation
from wsi_patches.train.blasts import BlastSettings, train_blasts
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.fields import FieldSettings, train_fields
from wsi_patches.train.tune_space import applied, ends, read_space

THIRDS = {"train": 0.5, "validation": 0.25, "test": 0.25}
ONE_EPOCH = EngineSettings(epochs=1, device="cpu")
SMALL = BlastSettings(
    architecture="allnet",
    network={"widths": (8, 16)},
    input_px=32,
    shares=THIRDS,
    batch_size=8,
    augmentation=Augmentation(turn="quarter", scale=0, shift=0, blur_px=0, noise=0, jpeg_share=0),
    training=EngineSettings(epochs=2, learning_rate=0.01, device="cpu"),
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Eight painted fields, half of them of patients."""
    folder = tmp_path_factory.mktemp("painted") / "ALL_IDB1"
    write_all_idb1(folder, painted_fields(8))
    return find_inputs([folder]).items


@pytest.fixture(scope="module")
def trained(items, tmp_path_factory):
    told = []
    result = train_blasts(
        SMALL, items, tmp_path_factory.mktemp("trained") / "out", lambda *progress: told.append(progress)
    )
    return result, told


def test_weights_split_and_history_are_left_behind(trained):
    result, told = trained
    folder = result.weights.parent

    assert {file.name for file in folder.iterdir()} >= {"weights.safetensors", "split.csv", "split.json", "history.csv"}
    assert told[-1] == ("epochs", 2, 2)
    assert ("slides", 8, 8) in told
    assert [epoch.epoch for epoch in result.history] == [1, 2]
    assert read_split(folder / "split.csv").counts() == result.split.counts()
    assert "WARNING: 8 of 8 rows have no patient" in result.warnings[0]
    assert json.loads((folder / "split.json").read_text())["warnings"] == list(result.split.warnings)


def test_the_card_says_what_it_was_trained_on_and_scored(trained):
    card = trained[0].card

    assert load_weights(trained[0].weights)[1] == card
    assert card.classes == ("blast", "other")
    assert (card.patch_cell_diameters, card.patch_um) == (1.75, None)
    assert "4 slides or fields (all-idb1)" in card.trained_on
    assert "measured before it is believed" in card.limits
    assert {"test_f1_blast", "test_roc_auc", "test_calibration_error", "test_patches"} <= card.scores.keys()
    assert card.temperature != 1


def test_test_patches_come_from_slides_that_were_not_learnt_from(trained):
    result, _ = trained
    sides = {row.id: name for row, name in zip(result.split.rows, result.split.names, strict=True)}

    assert {sides[group] for group in result.test.groups.tolist()} == {"test"}
    assert len(result.test.ids) == len(set(result.test.ids.tolist())) == result.card.scores["test_patches"]
    assert result.test.images.read(range(len(result.test.ids))).shape[1:] == (32, 32, 3)


def test_the_weight_file_says_what_training_measured(trained):
    test = trained[0].test
    classifier = CellClassifier.load(trained[0].weights, "cpu")

    again = classifier.probabilities(test.images.read(range(len(test.ids))))

    np.testing.assert_allclose(again, test.probabilities, atol=1e-5)


def test_the_weight_file_counts_blasts_on_a_slide(trained, items):
    classifier = load_classifier(str(trained[0].weights), "cpu")

    with open_slide(items[0].path) as slide:
        report, cells = count_slide(slide, "Im001_1", classifier)

    assert report.model == "blasts"
    assert report.blasts is not None
    assert cells.class_names == ("blast", "other")


def test_equal_seeds_give_equal_weights_and_others_do_not(trained, items, tmp_path):
    other = replace(SMALL, training=replace(SMALL.training, seed=1))

    again, differs = (train_blasts(one, items, tmp_path / str(k)) for k, one in enumerate((SMALL, other)))

    assert again.weights.read_bytes() == trained[0].weights.read_bytes()
    assert differs.weights.read_bytes() != trained[0].weights.read_bytes()


def test_a_run_goes_on_and_another_is_not_mixed_into_it(trained, items, tmp_path):
    class Killed(Exception):
        pass

    def killed(what, done, _total):
        if (what, done) == ("epochs", 1):
            raise Killed

    with pytest.raises(Killed):
        train_blasts(SMALL, items, tmp_path / "out", killed)
    with pytest.raises(OutputExists):
        train_blasts(SMALL, items, tmp_path / "out")
    with pytest.raises(UsageError):
        train_blasts(replace(SMALL, balance="weights"), items, tmp_path / "out", resume=True)

    resumed = train_blasts(SMALL, items, tmp_path / "out", resume=True)

    assert resumed.weights.read_bytes() == trained[0].weights.read_bytes()


@pytest.mark.parametrize("balance", ["effective", "oversample", "groups", "smote"])
def test_lite0_and_isotonic_and_balance(items, tmp_path, balance):
    settings = replace(
        SMALL, architecture="efficientnet_lite0", network={}, pretrained=False, balance=balance, calibration="isotonic",
        watched="balanced_accuracy", training=ONE_EPOCH, augmentation=Augmentation(),
    )  # fmt: skip

    result = train_blasts(settings, items, tmp_path / "out")

    assert result.card.isotonic
    assert CellClassifier.load(result.weights, "cpu").card == result.card
    np.testing.assert_allclose(result.test.probabilities.sum(axis=1), 1, atol=1e-6)


def test_a_small_network_learns_what_can_be_learnt(items, tmp_path):
    dyed = [replace(item, path=_dyed(item, tmp_path)) for item in items]
    settings = replace(SMALL, training=EngineSettings(epochs=16, learning_rate=0.01, device="cpu"))

    result = train_blasts(settings, dyed, tmp_path / "out")

    assert result.card.scores["test_roc_auc"] > 0.9


def _dyed(item, folder):
    """Return a copy of a field whose blasts are marked in green, which the smallest network can learn."""
    pixels = cv2.imread(item.path)
    xyc = next(file.path for file in item.annotations if "xyc" in file.path.split("/")[-2])
    for line in Path(xyc).read_text(encoding="ascii").splitlines():
        x, y = (int(value) for value in line.split())
        cv2.circle(pixels, (x, y), 8, (40, 220, 40), -1)
    path = folder / item.path.split("/")[-1].replace(".jpg", ".png")
    cv2.imwrite(str(path), pixels)
    return str(path)


def test_what_cannot_be_is_said(items, tmp_path):
    with pytest.raises(UsageError, match="input_px of a training must lie in"):
        replace(SMALL, input_px=8)
    with pytest.raises(UsageError, match="patch_um of a training must lie in"):
        replace(SMALL, patch_um=0)
    with pytest.raises(UsageError, match="name train, validation, test"):
        replace(SMALL, shares={"train": 0.5, "test": 0.5})
    with pytest.raises(UsageError, match="allnet does not know these settings"):
        train_blasts(replace(SMALL, network={"breadth": 3}), items, tmp_path / "a")
    with pytest.raises(UsageError, match="holds no blast"):
        train_blasts(SMALL, [items[0], items[1], *items[4:6]], tmp_path / "b")


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Pictures of three classes, named in order, and one whole slide and one without a label."""
    folder = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(5)
    found = []
    for number in range(24):
        label = ("benign", "early", "pro")[number % 3]
        pixels = rng.normal(200, 8, (64, 64, 3))
        pixels[20:44, 20:44, number % 3] -= 90
        path = folder / f"{label}_{number:03d}.png"
        cv2.imwrite(str(path), pixels.clip(0, 255).astype(np.uint8))
        found.append(SlideItem(str(path), label=label, unit="patch"))
    return found


FIELDS = FieldSettings(
    architecture="allnet", network={"widths": (8, 16)}, input_px=32, shares=THIRDS, batch_size=4,
    patch_cell_diameters=4, augmentation=Augmentation(stain=0, saturation=0, jpeg_share=0, blur_px=0),
    training=EngineSettings(epochs=10, learning_rate=0.01, device="cpu"),
)  # fmt: skip


def test_whole_fields_are_learnt_by_their_labels(fields, tmp_path):
    result = train_fields(FIELDS, fields, tmp_path / "out")

    assert result.card.classes == ("benign", "early", "pro")
    assert result.card.scores["test_roc_auc"] > 0.9
    assert result.card.patch_cell_diameters == 4
    assert len(result.split.rows) == 24
    assert "blocks of file-name order" in result.warnings[0]


def test_labels_can_be_merged_and_left_out(fields, tmp_path):
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), np.full((8, 5000, 3), 200, np.uint8))
    more = [*fields, SlideItem(fields[0].path), SlideItem(str(large), label="benign")]
    settings = replace(FIELDS, classes={"early": "leukemic", "pro": "leukemic"}, training=ONE_EPOCH)

    result = train_fields(settings, more, tmp_path / "out")

    assert result.card.classes == ("benign", "leukemic")
    assert "a whole slide and no field" in result.left_out[0]
    assert "1 of 26 pictures have no class" in result.left_out[1]
    with pytest.raises(UsageError, match="found 8 benign"):
        train_fields(replace(FIELDS, classes={"early": None, "pro": None}), fields, tmp_path / "one")
    with pytest.raises(UsageError, match="2 of 2 pictures have no class: give a folder for each class"):
        train_fields(FIELDS, [SlideItem(one.path) for one in fields[:2]], tmp_path / "none")


def test_the_scale_of_fields_is_measured_or_asked_for(fields, items, tmp_path):
    settings = replace(FIELDS, patch_cell_diameters=None, by="slide", training=ONE_EPOCH)

    result = train_fields(settings, items, tmp_path / "out")

    assert result.card.patch_cell_diameters == pytest.approx(320 / 38, rel=0.25)
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((64, 64, 3), 220, np.uint8))
    blank = [replace(field, path=str(tmp_path / "blank.png")) for field in fields]
    with pytest.raises(UsageError, match="say patch_cell_diameters"):
        train_fields(settings, blank, tmp_path / "none")


def test_the_four_class_set_is_split_by_blocks_and_learnt(shared_data, tmp_path):
    real = find_inputs([shared_data / "all_smears"]).items

    result = train_fields(replace(FIELDS, training=ONE_EPOCH), real, tmp_path / "out")

    assert result.card.classes == ("benign", "early", "pre", "pro")
    assert sum(sum(side.values()) for side in result.split.counts().values()) == 240
    assert "not to pass it on" in result.card.trained_on
    assert len(set(result.test.truth.tolist())) == 4


@pytest.mark.parametrize(("recipe", "kind"), [("all_idb1_blasts", BlastSettings), ("all_four_classes", FieldSettings)])
def test_the_recipes_read(recipe, kind):
    values = read_recipe(ROOT / "configs" / f"{recipe}.yaml")

    space = read_space(values.pop("tune", {}))

    settings = settings_from(kind, {}, values)

    assert all(settings_from(kind, {}, applied(values, tried)) for tried in ends(space))
    assert values["command"] == "train"
    assert settings.task == values["task"]
    if kind is FieldSettings:
        assert replace(settings.augmentation, hue=HARD_COLOUR.hue) == HARD_COLOUR
