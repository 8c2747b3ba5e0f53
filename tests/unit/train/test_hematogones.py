"""Hematogones are a class of their own: neither a blast nor silently another cell, in training and in counts."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.painted_discs import paint_disc
from tests.two_painted_sets import write_c_nmc
from wsi_patches.cells import Cells
from wsi_patches.datasets import find_inputs
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.infer.types import TYPES, are_blasts, type_columns, with_types
from wsi_patches.models import CellClassifier
from wsi_patches.outcome import DONE, SlideReport
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.train.annotated import cell_class
from wsi_patches.train.dss_xai import TURNS_AND_FLIPS
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings, cut_fields, train_fields

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = 48
LOOKS = {"Benign": (False, False), "Early": (False, True), "Pre": (True, False), "Pro": (True, True)}
"""Of the class of a field: whether nuclei are large, and whether there is a red cell."""


def recipe():
    values = read_recipe(find_recipe("hematogones"))
    values.pop("command")
    return settings_from(FieldSettings, {}, values, "hematogones")


def small():
    training = EngineSettings(epochs=8, optimizer="adamw", learning_rate=5e-3, device="cpu", keep="last")
    return replace(
        recipe(), architecture="dss_xai", network={"width": 8}, pretrained=False, input_px=SIDE, by="slide",
        patch_cell_diameters=1.5, augmentation=TURNS_AND_FLIPS, training=training,
        shares={"train": 0.6, "validation": 0.2, "test": 0.2},
    )  # fmt: skip


def write_sets(folder, each=16, *, shuffled=False):
    """Write the four-class set and C-NMC, painted; ``shuffled`` deals the four classes out by chance."""
    rng = np.random.default_rng(0)
    names = np.repeat(list(LOOKS), each)
    for number, (name, look) in enumerate(zip(rng.permutation(names) if shuffled else names, names, strict=True)):
        kind = name if name == "Benign" else f"Malignant-{name}"
        path = folder / "four" / name / f"WBC-{kind}-{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        large, marked = LOOKS[look]
        cv2.imwrite(str(path), paint_disc(rng, SIDE, large=large, marked=marked)[..., ::-1])
    write_c_nmc(folder / "c_nmc", 2 * each, SIDE)
    return find_inputs([folder / "four", folder / "c_nmc"]).items


def test_two_sets_become_five_classes_of_which_hematogones_are_one(tmp_path):
    patches, words = cut_fields(small(), write_sets(tmp_path, 6), tmp_path / "cut")
    assert patches.class_names == ("early", "hematogone", "other", "pre", "pro")
    counts = dict(zip(patches.class_names, np.bincount(patches.truth).tolist(), strict=True))
    assert counts == {"early": 6, "hematogone": 6, "other": 6, "pre": 6, "pro": 6}
    assert words.blasts == ("early", "pre", "pro")
    assert any("6 of 36 pictures have no class" in told for told in patches.left_out)  # C-NMC's ALL names no stage
    (alone,) = [told for told in patches.left_out if "one data set alone" in told]
    assert "hematogone (of all-four-classes)" in alone
    assert "other (of c-nmc)" in alone


def test_one_set_says_nothing_of_sets(tmp_path):
    write_sets(tmp_path, 4)
    patches, _ = cut_fields(replace(small(), blasts=None), find_inputs([tmp_path / "four"]).items, tmp_path / "cut")
    assert not any("one data set alone" in told for told in patches.left_out)


def test_blasts_that_are_no_class_are_refused(tmp_path):
    with pytest.raises(UsageError, match="blasts: profound are none of the classes of the pictures, early, hematogone"):
        cut_fields(replace(small(), blasts=("profound",)), write_sets(tmp_path, 2), tmp_path / "cut")


@pytest.mark.parametrize("name", ["hematogone", "Hematogones", "haematogone"])
def test_a_marked_hematogone_is_neither_blast_nor_other_before_somebody_says(name):
    with pytest.raises(UsageError, match="which may or may not be blasts: say in the recipe"):
        cell_class(name, {})
    assert cell_class(name, {"hematogone": "other"}) == "other"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    few = replace(small(), training=replace(small().training, epochs=1))
    return train_fields(few, write_sets(folder, 10), folder / "out")


def test_counts_keep_hematogones_apart_and_say_so(trained):
    card = CellClassifier.load(trained.weights, "cpu").card
    assert are_blasts(card).tolist() == [True, False, False, True, True]
    with pytest.raises(ModelError, match="may or may not be blasts: early, hematogone, pre, pro"):
        are_blasts(replace(card, blasts=None))
    said = np.eye(5, dtype=np.float32)[[1, 1, 0, 2]]
    cells = replace(Cells.at(np.zeros((4, 2)), ("white_cell",)), attributes=type_columns(card, said))
    report, _ = with_types(SlideReport("one", "one.png", "", DONE), cells, card)
    assert report.extra[TYPES]["counts"] == [1, 2, 1, 0, 0]
    assert report.warnings == (
        "2 cells are by their type hematogones, normal precursors of B cells: counted among the other white cells, and "
        "not among the blasts",
    )


@pytest.mark.slow
def test_a_small_training_beats_dealt_labels(tmp_path):
    learnt = train_fields(small(), write_sets(tmp_path / "set"), tmp_path / "learnt")
    chance = train_fields(small(), write_sets(tmp_path / "dealt", shuffled=True), tmp_path / "chance")
    scores = [one.card.scores["test_f1_hematogone"] for one in (learnt, chance)]
    assert scores[0] > 0.8 > 0.6 > scores[1]
