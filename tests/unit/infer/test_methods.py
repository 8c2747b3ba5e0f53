"""What slides are counted with: checked when it is asked for, and one result of all methods."""

import pytest

from wsi_patches.cells import WHITE_CELL
from wsi_patches.errors import ModelError, UsageError
from wsi_patches.geometry import Size
from wsi_patches.infer import ModelChoice, count_by
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import SmearSettings
from wsi_patches.synthetic.smear import paint_smear

MODEL = "painted-cells-lbp"


@pytest.fixture(scope="module")
def painted():
    image, truth = paint_smear(Size(700, 600), SmearSettings.random(5, blasts=4, others=4, cell_diameter_px=48.0))
    return ArraySlide(image), truth


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"method": "votes"}, "method must be one of cells, patches, detector, found 'votes'"),
        ({"method": "detector", "tta": 2}, "--tta goes with --method cells, not with detector"),
        ({"method": "patches", "sharpen": 8.0}, "--sharpen goes with --method cells"),
        ({"overlap": 0.5}, "--overlap goes with --method patches, not with cells"),
        ({"ensemble": (MODEL,)}, "--ensemble adds to a --model"),
    ],
)
def test_what_does_not_go_together_is_told(asked, told):
    with pytest.raises(UsageError, match=told):
        ModelChoice(**asked)


def test_patches_need_a_model():
    with pytest.raises(UsageError, match="--method patches needs --model FILE"):
        ModelChoice(method="patches").weights_sha256()


def test_a_model_of_another_kind_is_told():
    with pytest.raises(ModelError):
        ModelChoice(method="detector", model=MODEL).weights_sha256()


def test_boxes_of_the_finder_lie_around_the_cells_that_it_finds(painted):
    slide, truth = painted
    cells, boxes = (count_by(ModelChoice(method=method), slide, "a") for method in ("cells", "detector"))

    assert boxes.report.method == "detector"
    assert boxes.report.white_cells == cells.report.white_cells
    assert boxes.report.white_cells.low <= len(truth) <= boxes.report.white_cells.high
    assert boxes.report.blasts is None
    edges = boxes.cells.attributes
    assert (edges["left_px"] < boxes.cells.x).all()
    assert (edges["bottom_px"] > boxes.cells.y).all()
    assert boxes.cells.class_names == (WHITE_CELL,)


def test_views_and_members_say_how_unsure_they_are(painted):
    slide, _ = painted
    alone = count_by(ModelChoice(model=MODEL), slide, "a")
    several = count_by(ModelChoice(model=MODEL, ensemble=(MODEL,), tta=4), slide, "a")

    assert {"entropy", "disagreement"} <= several.cells.attributes.keys()
    assert not {"entropy", "disagreement"} & alone.cells.attributes.keys()
    assert (several.cells.attributes["disagreement"] <= several.cells.attributes["entropy"]).all()
    assert several.report.extra["tta"] == 4
    assert several.report.weights_sha256 != alone.report.weights_sha256
    assert "tta" not in alone.report.extra
