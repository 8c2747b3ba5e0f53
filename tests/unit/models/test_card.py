"""Cards go to JSON and back, and refuse what cannot be."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import ModelError
from wsi_patches.models.card import CounterCard, ModelCard
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.reference import InputReference

shares = st.floats(0.01, 1)
cards = st.builds(
    ModelCard,
    name=st.text(),
    title=st.text(),
    architecture=st.text(),
    settings=st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers())),
    classes=st.lists(st.text(), min_size=2, max_size=4, unique=True).map(tuple),
    input_px=st.integers(1, 1000),
    mean=st.tuples(shares, shares, shares),
    std=st.tuples(shares, shares, shares),
    trained_on=st.text(),
    limits=st.text(),
    licence=st.text(),
    patch_um=st.none() | st.floats(0.1, 500),
    patch_cell_diameters=st.floats(0.5, 5),
    temperature=st.floats(0.01, 100),
    scores=st.dictionaries(st.text(), st.floats(-1, 1)),
)


@given(cards)
def test_round_trip_through_json(card):
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


def test_unknown_and_missing_keys_are_named(card):
    values = {**card.to_dict(), "colour": "blue"}
    del values["limits"]

    with pytest.raises(ModelError) as caught:
        ModelCard.from_dict(values)

    assert "colour" in str(caught.value)
    assert "limits" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("input_px", "64"), ("classes", "blast"), ("mean", [0.1, 0.2]), ("temperature", None)]
)
def test_values_of_another_kind_are_named(card, name, value):
    with pytest.raises(ModelError, match=name):
        ModelCard.from_dict({**card.to_dict(), name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_px": 0}, "input_px must be above 0"),
        ({"std": (0.1, 0.0, 0.1)}, "std must be above 0"),
        ({"patch_cell_diameters": -1.0}, "patch_cell_diameters must be above 0"),
        ({"patch_cell_diameters": 0.0}, "patch_cell_diameters must be above 0"),
        ({"patch_cell_diameters": None}, "how large a patch is on the slide"),
        ({"classes": ("blast", "blast")}, "two or more different class names"),
    ],
)
def test_values_that_cannot_be_are_refused(card, change, message):
    with pytest.raises(ModelError, match=message):
        replace(card, **change)


def test_isotonic_points_are_kept_and_impossible_ones_refused(card):
    calibrated = replace(card, isotonic=((0.1, 0.05), (0.6, 0.05), (0.9, 1.0)))

    assert ModelCard.from_dict(json.loads(json.dumps(calibrated.to_dict()))) == calibrated
    for points in (((0.5, 0.2), (0.4, 0.3)), ((0.4, 0.3), (0.5, 0.2)), ((0.1, 0.0), (0.9, 1.1))):
        with pytest.raises(ModelError, match="isotonic must be rising points"):
            replace(card, isotonic=points)


MARKED = {
    "name": "ours",
    "title": "",
    "architecture": "",
    "settings": {},
    "classes": ("blast", "other"),
    "trained_on": "",
    "limits": "",
    "licence": "",
    "red_cell_px": 26.0,
    "split": "",
}
COUNTER = CounterCard(**MARKED, calibration=dict.fromkeys(("blast", "other", "white_cell"), CountCalibration()))


@pytest.mark.parametrize("card", [COUNTER, DetectorCard(**MARKED, threshold=0.4, nms=0.5)])
def test_what_slides_looked_like_is_kept_and_older_cards_have_none(card, rng):
    told = replace(card, reference=InputReference.fit(rng.normal(size=(14, 11)), (0.2, 0.25)))
    assert type(card).from_dict(json.loads(json.dumps(told.to_dict()))) == told

    older = card.to_dict()
    del older["reference"]
    assert type(card).from_dict(older) == card
