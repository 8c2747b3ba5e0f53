"""The search finds what is best, repeats itself, and goes on after a kill."""

import math
import sys

import pytest

from wsi_patches.errors import MissingExtra, ModelError, UsageError
from wsi_patches.train.tune import tune
from wsi_patches.train.tune_space import Choice, FloatRange, IntRange

SPACE = {"rate": FloatRange(1e-4, 1, log=True), "depth": IntRange(1, 9), "kind": Choice(("good", "bad"))}


def score(settings, folder):
    """Best, 0, at 0.01, 5 and good."""
    return -((math.log10(settings["rate"]) + 2) ** 2) - (settings["depth"] - 5) ** 2 / 10 - (settings["kind"] == "bad")


class Recorded:
    def __init__(self, killed_at=None):
        self.tried, self.folders, self.killed_at = [], [], killed_at

    def __call__(self, settings, folder):
        self.tried.append(dict(settings))
        self.folders.append(folder.name)
        if len(self.tried) == self.killed_at:
            raise KeyboardInterrupt
        return score(settings, folder)


def test_it_finds_better_settings_than_it_began_with(tmp_path):
    objective, told = Recorded(), []

    tuned = tune(objective, SPACE, 40, tmp_path, 1, progress=told.append)

    values = [score(settings, None) for settings in objective.tried]
    assert told[-1] == tuned.tried
    assert [len(some) for some in told] == list(range(1, 41))
    assert [(one.number, one.settings, one.value) for one in tuned.tried] == list(
        zip(range(40), objective.tried, values, strict=True)
    )
    assert tuned.best.value == max(values) > -0.3
    assert tuned.best.settings == objective.tried[tuned.best.number]
    assert all(1e-4 <= one["rate"] <= 1 and 1 <= one["depth"] <= 9 for one in objective.tried)
    assert objective.folders == [f"{number:04d}" for number in range(40)]


def test_the_least_is_found_where_less_is_better(tmp_path):
    tuned = tune(lambda settings, folder: settings["x"], {"x": IntRange(1, 4)}, 12, tmp_path, 0, higher_is_better=False)

    assert tuned.best.value == 1


def test_the_first_trial_may_be_given(tmp_path):
    first, objective = {"rate": 0.02, "depth": 4, "kind": "good"}, Recorded(killed_at=1)

    with pytest.raises(KeyboardInterrupt):
        tune(objective, SPACE, 3, tmp_path, 0, first=first)
    resumed = Recorded()
    tuned = tune(resumed, SPACE, 3, tmp_path, 0, first=first)

    assert objective.tried == [first]
    assert resumed.tried[0] == first == tuned.tried[0].settings
    assert first not in resumed.tried[1:]


def test_interrupted_it_goes_on_as_if_it_had_not_been(tmp_path):
    whole, first, second = Recorded(), Recorded(killed_at=14), Recorded()
    undisturbed = tune(whole, SPACE, 20, tmp_path / "whole", 3)

    with pytest.raises(KeyboardInterrupt):
        tune(first, SPACE, 20, tmp_path / "killed", 3)
    resumed = tune(second, SPACE, 20, tmp_path / "killed", 3)

    assert first.tried + second.tried[1:] == whole.tried
    assert first.folders[-1] == second.folders[0]
    assert first.tried[-1] == second.tried[0]
    assert resumed == undisturbed


def test_more_trials_are_added_and_no_finished_one_is_made_again(tmp_path):
    first, second = Recorded(), Recorded()
    tune(first, SPACE, 3, tmp_path, 0)
    tune(second, SPACE, 5, tmp_path, 0)

    assert second.folders == ["0003", "0004"]
    assert len(tune(Recorded(killed_at=1), SPACE, 5, tmp_path, 0).tried) == 5


def test_a_trial_that_diverges_has_no_figure_and_the_search_goes_on(tmp_path):
    def diverges_at_high_rates(settings, folder):
        if settings["rate"] > 0.01:
            raise ModelError("diverged")
        return settings["rate"]

    tuned = tune(diverges_at_high_rates, SPACE, 15, tmp_path, 0)

    assert [one.value is None for one in tuned.tried] == [one.settings["rate"] > 0.01 for one in tuned.tried]
    assert 0 < sum(one.value is None for one in tuned.tried) < 15
    assert tuned.best.value <= 0.01
    with pytest.raises(ModelError, match="each of 2 trials diverged"):
        tune(lambda settings, folder: diverges_at_high_rates({"rate": 1}, folder), SPACE, 2, tmp_path / "b", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"higher_is_better": False},
        {"space": {"rate": FloatRange(1, 2)}},
        {"depends_on": {"recipe": {"epochs": 9}}},
        {"first": {"rate": 0.1, "depth": 2, "kind": "bad"}},
    ],
)
def test_another_search_is_not_continued(tmp_path, change):
    given = {"space": SPACE, "trials": 1, "folder": tmp_path, "seed": 7}
    tune(score, **given)

    with pytest.raises(UsageError, match="of other settings"):
        tune(score, **{**given, **change})


def test_nothing_to_try_is_refused(tmp_path):
    with pytest.raises(UsageError, match="0 trials"):
        tune(score, SPACE, 0, tmp_path, 0)
    with pytest.raises(UsageError, match="0 settings"):
        tune(score, {}, 1, tmp_path, 0)


def test_without_optuna_it_says_how_to_have_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(MissingExtra, match=r"tuning needs optuna.*wsi-patches\[train\]"):
        tune(score, SPACE, 1, tmp_path, 0)
