"""A classifier of fields that sees all stains as one: its file says so, and a killed run of it goes on alike."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from wsi_patches.datasets import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.models import CellClassifier
from wsi_patches.models.colour_input import OneStain
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.fields import FieldSettings, train_fields

SETTINGS = FieldSettings(
    network={"colour": "one_stain", "views": 4},
    pretrained=False,
    input_px=32,
    shares={"train": 0.5, "validation": 0.25, "test": 0.25},
    batch_size=4,
    patch_cell_diameters=4,
    training=EngineSettings(epochs=2, ema_decay=0.9, device="cpu"),
)


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Eight fields of each of two classes, of discs and of rings."""
    rng, items = np.random.default_rng(3), []
    folder = tmp_path_factory.mktemp("fields")
    for number in range(16):
        label = ("disc", "ring")[number % 2]
        image = np.full((40, 40, 3), 220, np.uint8)
        x, y = rng.integers(12, 28, 2).tolist()
        cv2.circle(image, (x, y), 8, (90, 40, 110), -1 if label == "disc" else 2)
        items.append(SlideItem(str(folder / f"{label}_{number:02}.png"), label=label))
        cv2.imwrite(items[-1].path, image)
    return items


def test_the_weight_file_brings_its_colour_along(fields, tmp_path):
    result = train_fields(SETTINGS, fields, tmp_path / "out")

    classifier = CellClassifier.load(result.weights, "cpu")

    assert classifier.card.settings == {"colour": "one_stain", "views": 4}
    assert isinstance(classifier.network.colour, OneStain)
    images = result.test.images.read(range(len(result.test.ids)))
    np.testing.assert_allclose(classifier.probabilities(images), result.test.probabilities, atol=1e-5)


def test_a_killed_run_ends_with_the_same_bits(fields, tmp_path):
    class Killed(Exception):
        pass

    def killed(what, done, _total):
        if (what, done) == ("epochs", 1):
            raise Killed

    whole = train_fields(SETTINGS, fields, tmp_path / "whole")
    with pytest.raises(Killed):
        train_fields(SETTINGS, fields, tmp_path / "killed", killed)

    resumed = train_fields(SETTINGS, fields, tmp_path / "killed", resume=True)

    assert resumed.weights.read_bytes() == whole.weights.read_bytes()


def test_another_colour_is_refused(fields, tmp_path):
    with pytest.raises(UsageError, match="choose from rgb, one_stain"):
        train_fields(replace(SETTINGS, network={"colour": "grey"}), fields, tmp_path)
