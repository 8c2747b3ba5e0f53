"""The paired difference of two arms: exact where it must be, and its interval by draws of groups and repetitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.effect import Said, measure_effect
from wsi_patches.evaluate.effect_page import format_effect, write_effect

PATCHES, REPETITIONS, CLASSES = 60, 4, 3


def said(seed=0, better=0.0, ranks=False, groups=20):
    """Two arms of which the second is right where the first is, and besides in a share of the other cases."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(PATCHES) % CLASSES).astype(np.int32)
    tested = np.array([rng.permutation(PATCHES) < PATCHES // 2 for _ in range(REPETITIONS)])
    first = np.where(rng.random(tested.shape) < 0.6, truth, (truth + 1) % CLASSES)
    second = np.where((first == truth) | (rng.random(tested.shape) < better), truth, (truth + 1) % CLASSES)
    predicted = np.where(tested, np.stack([first, second]), -1).astype(np.int32)
    in_rank = np.ones(predicted.shape, bool) if ranks else None
    return Said(truth, np.array([f"P{row % groups}" for row in range(PATCHES)]), tested, predicted, in_rank)


def by_name(figures):
    return {one.name: one for one in figures}


@given(st.integers(0, 1000))
def test_arms_that_say_the_same_differ_by_exactly_nothing(seed):
    figures = measure_effect(said(seed, ranks=True), draws=50)
    assert [one.name for one in figures] == ["accuracy", "balanced_accuracy", "rank_5"]
    for one in figures:
        assert (one.difference.value, one.difference.low, one.difference.high) == (0.0, 0.0, 0.0)
        assert np.array_equal(*one.values)


def test_figures_of_each_repetition_are_scikit_learns():
    made = said(1, better=0.5)
    figures = by_name(measure_effect(made, draws=20))
    for number, tested in enumerate(made.tested):
        for arm in (0, 1):
            truth, predicted = made.truth[tested], made.predicted[arm, number, tested]
            assert figures["accuracy"].values[arm, number] == pytest.approx((truth == predicted).mean())
            expected = balanced_accuracy_score(truth, predicted)
            assert figures["balanced_accuracy"].values[arm, number] == pytest.approx(expected)
    means = figures["accuracy"].means
    assert figures["accuracy"].difference.value == pytest.approx(means[1] - means[0])


def test_a_real_gain_has_an_interval_above_nothing_and_a_lucky_one_has_not():
    gain = by_name(measure_effect(said(2, better=0.5)))["accuracy"].difference
    assert 0 < gain.low < gain.value < gain.high
    rng = np.random.default_rng(0)
    made = said(2)
    for arm in (0, 1):  # each arm wrong by chance, in the same share of cases
        right = rng.random(made.tested.shape) < 0.6
        made.predicted[arm] = np.where(made.tested, np.where(right, made.truth, (made.truth + 1) % CLASSES), -1)
    nothing = by_name(measure_effect(made))["accuracy"].difference
    assert nothing.low < 0 < nothing.high


def test_pairing_makes_the_interval_narrower_than_arms_that_err_on_different_patches():
    """Hard patches are hard for both arms, and fall out; the same accuracies on other patches do not."""
    made, rng = said(3, better=0.1), np.random.default_rng(1)
    paired = by_name(measure_effect(made))["accuracy"]
    for number, tested in enumerate(made.tested):
        right = rng.permutation((made.predicted[1, number] == made.truth)[tested])
        made.predicted[1, number, tested] = np.where(right, made.truth[tested], (made.truth[tested] + 1) % CLASSES)
    apart = by_name(measure_effect(made))["accuracy"]
    assert np.array_equal(paired.values, apart.values)
    width = [one.difference.high - one.difference.low for one in (paired, apart)]
    assert width[0] < 0.7 * width[1]


def test_fewer_groups_make_it_wider_and_one_makes_none():
    many = by_name(measure_effect(said(4, better=0.5, groups=60)))["accuracy"].difference
    few = by_name(measure_effect(said(4, better=0.5, groups=2)))["accuracy"].difference
    one = by_name(measure_effect(said(4, better=0.5, groups=1)))["accuracy"].difference
    assert few.value == many.value == one.value
    assert np.isnan([one.low, one.high]).all()
    assert not np.isnan([few.low, few.high]).any()


def test_equal_seeds_give_equal_intervals():
    assert (
        measure_effect(said(5, better=0.3), 50, 7)[0].difference
        == measure_effect(said(5, better=0.3), 50, 7)[0].difference
    )
    with pytest.raises(UsageError, match="draws must be 0 or more"):
        measure_effect(said(5), draws=-1)


def test_tables_and_page_tell_both_arms(tmp_path):
    made = said(6, better=0.4, ranks=True)
    figures = measure_effect(made, draws=30)
    before = np.full((8, 8, 3), 10, np.uint8)
    write_effect(
        tmp_path / "effect.html", "A <step>", made, figures, [(before, before + 5)], {"Split": "halves"}, ["Beware"]
    )
    page = (tmp_path / "effect.html").read_text()
    assert "A &lt;step&gt;" in page
    assert "Beware" in page
    assert page.count("data:image/png") == 1
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    assert rows[0] == "repetition,patch,group,truth,without,with"
    assert len(rows) == 1 + REPETITIONS * PATCHES // 2
    assert len((tmp_path / "repetitions.csv").read_text().splitlines()) == 1 + 3 * REPETITIONS
    lines = format_effect(figures, ["Beware"])
    assert lines[-1] == "warning: Beware"
    assert lines[1].startswith("accuracy")
    assert "rank-5" in lines[3]
