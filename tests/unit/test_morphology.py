"""Attributes of a cell in words: all seven, some, further ones, and never more than is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.morphology import SEVEN, in_words, shares_in_words

FULL = {
    "cell_size": "large",
    "nuclear_chromatin": "coarse",
    "nuclear_shape": "irregular",
    "nucleus": "prominent",
    "cytoplasm": "scanty",
    "cytoplasmic_basophilia": "moderate",
    "cytoplasmic_vacuoles": "absent",
}
SENTENCE = (
    "A large cell with an irregular nucleus, coarse chromatin, prominent nucleoli and scanty, moderately basophilic "
    "cytoplasm without vacuoles."
)


def test_all_seven_make_one_sentence():
    assert in_words(FULL) == SENTENCE
    assert in_words(FULL, "lymphoblast") == SENTENCE.replace("A large cell", "A large cell of the type lymphoblast")


@pytest.mark.parametrize(
    ("attributes", "kind", "said"),
    [
        ({}, "", ""),
        ({"cell_size": "", "nucleus": " "}, "", ""),
        ({"cell_size": "small"}, "", "A small cell."),
        ({}, "abnormal_promyelocyte", "A cell of the type abnormal promyelocyte."),
        ({"nuclear_shape": "regular"}, "none", "A cell with a regular nucleus."),
        ({"cytoplasm": "abundant", "cytoplasmic_vacuoles": "prominent"}, "",
         "A cell with abundant cytoplasm with prominent vacuoles."),
        ({"cytoplasmic_basophilia": "deep"}, "", "A cell with cytoplasm of deep basophilia."),
        ({"auer_rods": "Present", "granules": "many"}, "myeloblast",
         "A cell of the type myeloblast. Auer rods present and granules many."),
        ({"auer_rods": "present"}, "", "Auer rods present."),
    ],
)  # fmt: skip
def test_what_is_not_known_is_left_out_and_what_is_further_is_told_by_name(attributes, kind, said):
    assert in_words(attributes, kind) == said


@given(st.fixed_dictionaries({one.name: st.sampled_from(["", *one.values]) for one in SEVEN}))
def test_every_known_value_is_in_the_sentence_and_no_other(attributes):
    said = in_words(attributes)
    words = {"slight": "slightly", "moderate": "moderately", "absent": "without"}
    for one in SEVEN:
        for value in one.values:
            if value != "prominent":  # of two attributes
                expected = words.get(value, value)
                assert (expected in said.lower().replace(",", "").replace(".", "").split()) == (
                    attributes[one.name] == value
                )
    assert said == "" or (said[0].isupper() and said.endswith("."))
    assert "diagnos" not in said.lower()
    assert "leuk" not in said.lower()


def test_shares_are_of_those_that_are_known():
    said = shares_in_words(
        {"nuclear_shape": ["irregular", "irregular", "regular", ""], "dots": ["", "", "", ""]}, "blasts"
    )
    assert said == "Of 4 blasts, as far as known: irregular nuclei 67 %, regular nuclei 33 %."
    assert shares_in_words({"dots": ["few"]}, "blasts") == "Of 1 blasts, as far as known: dots few 100 %."
    assert shares_in_words({}, "blasts") == ""
