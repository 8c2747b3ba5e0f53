"""Many labels at once: what is learnt, how they are weighed and split, and how it begins and ends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.painted_tissue import write_tissue
from wsi_patches.datasets.label_folder import find_label_table
from wsi_patches.datasets.multi_labels import MultiLabels, read_multi_labels
from wsi_patches.errors import UsageError
from wsi_patches.recipe import settings_from
from wsi_patches.train.classifier_network import colours_for
from wsi_patches.train.engine import EngineSettings
from wsi_patches.train.label_set import LabelSet, LabelView, cut_labels, split_labels
from wsi_patches.train.label_settings import LabelSettings
from wsi_patches.train.label_task import LabelTask, label_weights
from wsi_patches.train.labels import train_labels

SMALL = LabelSettings(
    labels=("E", "C", "A"),
    architecture="allnet",
    network={"widths": (8, 16)},
    input_px=32,
    crop_px=60,
    batch_size=16,
    shares={"train": 0.6, "validation": 0.2, "test": 0.2},
    training=EngineSettings(
        epochs=8, optimizer="sgd", learning_rate=0.02, weight_decay=5e-4, schedule="triangle", device="cpu"
    ),
)

pytestmark = pytest.mark.usefixtures("one_thread")


def cut(folder, settings, **painted):
    table, images = find_label_table(write_tissue(folder / "ADP", **painted))
    return cut_labels(settings, read_multi_labels(table, images, settings.columns), folder / "out")


def made_up(slides, values):
    paths = tuple(f"{slide}.png_crop_{row}.png" for row, slide in enumerate(slides))
    labels = MultiLabels(paths, ("E", "C"), np.array(values, np.uint8), tuple(slides))
    return LabelSet(labels, np.zeros((len(slides), 8, 8, 3), np.uint8))


def test_a_label_weighs_all_images_over_those_that_bear_it_or_over_ten():
    values = np.zeros((40, 3), np.uint8)
    values[:20, 0] = values[:4, 1] = 1

    assert label_weights(values).tolist() == [2, 4, 4]


def test_a_level_of_adp_names_its_labels_and_no_undifferentiated_one():
    columns = settings_from(LabelSettings, {}, {"task": "labels", "level": 3}, "recipe").columns

    assert len(columns) == 38
    assert not [one for one in columns if one.endswith(".X")]
    assert LabelSettings(labels=("E",)).columns == ("E",)
    assert LabelSettings().columns is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level": 2, "labels": ["E"]}, "level: 2 names ADP's labels"),
        ({"level": 4}, "level"),
        ({"crop_px": 0}, "crop_px of a training must be 1 or more"),
        ({"normalisation": "some"}, "normalisation"),
        ({"by": "chance"}, "by"),
    ],
)
def test_settings_that_cannot_be_are_told(values, message):
    with pytest.raises(UsageError, match=message):
        settings_from(LabelSettings, {}, values, "recipe")


def test_slides_are_kept_together_unless_a_split_of_images_is_asked_for_which_is_told():
    slides = [f"{number % 20:03d}" for number in range(200)]
    patches = made_up(slides, [[number % 2, 1] for number in range(200)])
    whole, names = split_labels(patches, SMALL)
    torn, _ = split_labels(patches, replace(SMALL, by="none"))

    assert all(len(set(names[np.array(slides) == one].tolist())) == 1 for one in set(slides))
    assert not [one for one in whole.warnings if "both sides of the split: its figures flatter" in one]
    assert [one for one in torn.warnings if "of 20 slides lie on both sides" in one]


def test_a_label_that_a_split_lacks_is_told():
    patches = made_up([f"{number:03d}" for number in range(40)], [[1, 0]] * 40)

    assert [one for one in split_labels(patches, SMALL)[0].warnings if "train has no image with C; " in one]


def test_one_mean_and_deviation_scale_all_channels_or_each_has_its_own_or_none(tmp_path):
    patches = cut(tmp_path, SMALL, slides=3, patches=2)
    view = LabelView(patches, np.arange(6), 32)
    pixels = view.read(range(6)) / 255
    scalar, channels, none = (
        colours_for(replace(SMALL, normalisation=one), view) for one in ("scalar", "auto", "none")
    )

    assert scalar.mean == pytest.approx((pixels.mean(),) * 3)
    assert scalar.std == pytest.approx((pixels.std(),) * 3)
    assert channels.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)))
    assert (none.mean, none.std) == ((0, 0, 0), (1, 1, 1))


def test_the_middle_of_an_image_is_shown_and_one_that_cannot_be_read_is_left_out(tmp_path):
    table, images = find_label_table(write_tissue(tmp_path / "ADP", slides=2, patches=2))
    (images / "001.png_crop_0.png").write_bytes(b"no picture")
    labels = read_multi_labels(table, images, ["E"])
    patches = cut_labels(replace(SMALL, input_px=60), labels, tmp_path / "out")

    assert len(patches) == 3
    assert patches.images.shape == (3, 60, 60, 3)
    assert "001.png_crop_0.png was left out" in patches.left_out[0]


def test_loss_and_figures_of_an_undecided_network(tmp_path):
    class Frame:
        mean, std, input_px = (0, 0, 0), (1, 1, 1), 8

    class Undecided(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2] * 0

    patches = made_up(["a"] * 4, [[1, 1], [0, 0], [1, 0], [0, 0]])
    view = LabelView(patches, np.arange(4), 8)
    task = LabelTask(Undecided(), Frame(), view, view, replace(SMALL, batch_size=4))
    (batch,) = task.batches(1)
    figures = task.validate(task.network, torch.device("cpu"))

    # of training and validation there are 8, so both labels weigh 8 / 10; an undecided label costs ln 2
    assert float(task.loss(batch, torch.device("cpu"))) == pytest.approx(0.8 * np.log(2))
    assert figures == pytest.approx({"loss": 0.8 * np.log(2), "one_minus_hamming": 5 / 8, "jaccard": 0.5})


def test_it_learns_painted_tissue_and_nothing_from_labels_dealt_by_chance(tmp_path):
    """Also what HistoTNet and ALLNet do first: same loss, same schedule."""
    figures = []
    for name in (False, True):
        patches = cut(tmp_path / str(name), SMALL, slides=15, patches=16, shuffled=name)
        trained = train_labels(SMALL, patches, tmp_path / str(name) / "out")
        true = trained.test.values.astype(bool)
        figures.append(float(((trained.probabilities > 0.5) == true).mean()))

    assert figures[0] > 0.85
    assert figures[1] < 0.7


def test_a_resumed_run_goes_on_and_other_labels_are_refused(tmp_path):
    short = replace(SMALL, training=replace(SMALL.training, epochs=1))
    patches = cut(tmp_path, short, slides=6, patches=4)
    first = train_labels(short, patches, tmp_path / "out")
    again = train_labels(short, patches, tmp_path / "out", resume=True)
    other = replace(patches, labels=replace(patches.labels, values=1 - patches.labels.values))

    assert np.array_equal(first.probabilities, again.probabilities)
    with pytest.raises(UsageError, match="labels"):
        train_labels(short, other, tmp_path / "out", resume=True)
