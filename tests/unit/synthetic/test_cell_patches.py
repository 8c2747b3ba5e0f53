import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.errors import UsageError
from wsi_patches.synthetic import SmearSettings, paint_cell_patches, paint_smear

BLAST = ALL_IDB_CLASSES.index("blast")


@pytest.fixture(scope="module")
def patches():
    return paint_cell_patches(800, seed=5)


def test_patches_have_the_stated_form(patches):
    images, class_index = patches
    assert images.shape == (800, 64, 64, 3)
    assert images.dtype == np.uint8
    assert class_index.dtype == np.int32
    assert 0.4 < np.mean(class_index == BLAST) < 0.6


def test_fewer_patches_are_the_first_of_more(patches):
    images, class_index = paint_cell_patches(20, seed=5)
    assert np.array_equal(images, patches[0][:20])
    assert np.array_equal(class_index, patches[1][:20])


def test_a_white_cell_lies_in_the_middle(patches):
    images, _ = patches
    green = images[..., 1].astype(float)
    middle, corners = green[:, 22:42, 22:42].mean(axis=(1, 2)), green[:, :8, :8].mean(axis=(1, 2))
    assert np.mean(middle < corners) > 0.9


@pytest.mark.parametrize(
    "classifier",
    [
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        RandomForestClassifier(150, min_samples_leaf=5, random_state=0),
    ],
    ids=["logistic", "forest"],
)
def test_colour_alone_does_not_tell_blasts(patches, classifier):
    images, class_index = patches
    assert _colour_auc(images, class_index == BLAST, classifier) <= 0.75


def test_colour_alone_does_not_tell_blasts_of_one_slide_either():
    settings = SmearSettings.random(
        21, blasts=80, others=80, cell_diameter_px=32.0, margin_diameters=1.0, red_coverage=0.2
    )
    pixels, cells = paint_smear((1000, 1000), settings)
    corners = cells.xy.astype(int) - 32
    images = np.stack([pixels[y : y + 64, x : x + 64] for x, y in corners])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    assert _colour_auc(images, cells.class_index == BLAST, classifier) <= 0.75


def _colour_auc(images, is_blast, classifier):
    flat = images.reshape(len(images), -1, 3).astype(float)
    statistics = np.concatenate([flat.mean(axis=1), flat.std(axis=1)], axis=1)
    scores = cross_val_predict(classifier, statistics, is_blast, cv=5, method="predict_proba")[:, 1]
    return roc_auc_score(is_blast, scores)


def test_other_sizes_and_no_patches_at_all():
    images, class_index = paint_cell_patches(3, 1, size_px=40, cell_diameters=1.3)
    assert images.shape == (3, 40, 40, 3)
    assert len(paint_cell_patches(0, 1)[0]) == 0
    assert set(class_index.tolist()) <= {0, 1}


def test_wrong_values_are_refused():
    with pytest.raises(UsageError, match="cell_diameters"):
        paint_cell_patches(1, 1, cell_diameters=0.0)
