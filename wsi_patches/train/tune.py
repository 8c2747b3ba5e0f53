"""Search for settings: Optuna behind one function, its trials kept in a file so that a killed search goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wsi_patches.errors import ModelError, UsageError, needs_extra
from wsi_patches.stores.files import write_whole

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

__all__ = ["Choice", "FloatRange", "IntRange", "Objective", "Space", "Tuned", "applied", "read_space", "tune"]

JOURNAL, SEARCH = "trials.log", "search.json"
STUDY = "tune"
Setting = float | int | str | bool
"""A value that is tried."""
Objective = Callable[[Mapping[str, Setting], Path], float]
"""Told the settings of a trial and a folder of its own; returns the figure that is sought."""


@dataclass(frozen=True)
class FloatRange:
    """Any number from ``low`` to ``high``, both included; ``log`` tries each power of ten as often."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class IntRange:
    """Any whole number from ``low`` to ``high``, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    values: tuple[Setting, ...]


Space = Mapping[str, FloatRange | IntRange | Choice]


@dataclass(frozen=True)
class Tuned:
    """What a search came to."""

    best: Mapping[str, Setting]
    """The settings with the best figure."""
    value: float
    trial: int
    """Its number, from 0; its folder is called so, in four digits."""
    trials: int
    """How many have a figure; the others diverged."""


def read_space(recipe: Mapping[str, Any]) -> dict[str, FloatRange | IntRange | Choice]:
    """Return a recipe's ``tune:`` mapping as a search space.

    ``name: [a, b, c]`` is a choice; ``name: {low: 1e-4, high: 1e-2, log: true}`` is a range, of whole numbers where
    both ends are. Names may have dots, for settings within settings (see `applied`).

    Raises
    ------
    UsageError
        An entry is neither.
    """
    return {name: _entry(name, one) for name, one in recipe.items()}


def _entry(name: str, one: Any) -> FloatRange | IntRange | Choice:
    if isinstance(one, list) and one and all(isinstance(value, (int, float, str, bool)) for value in one):
        return Choice(tuple(one))
    if not isinstance(one, dict) or not {"low", "high"} <= one.keys() <= {"low", "high", "log"}:
        msg = f"tune.{name} must be a list of choices, or low, high and log of a range; found {one!r}"
        raise UsageError(msg)
    low, high, log = one["low"], one["high"], one.get("log", False)
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (low, high))
    if not numbers or not isinstance(log, bool) or not low < high or (log and low <= 0):
        msg = f"tune.{name} must have numbers low < high, above 0 where log is true; found {one!r}"
        raise UsageError(msg)
    if isinstance(low, int) and isinstance(high, int):
        return IntRange(low, high, log)
    return FloatRange(float(low), float(high), log)


def applied(recipe: Mapping[str, Any], settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return a recipe with the settings of a trial in it; ``training.learning_rate`` goes into its ``training``.

    Raises
    ------
    UsageError
        A name leads through what is no mapping.
    """
    out = dict(recipe)
    for name, value in settings.items():
        head, _, rest = name.partition(".")
        inner = out.get(head, {})
        if rest and not isinstance(inner, dict):
            msg = f"tune.{name} cannot be set: {head} is {inner!r} in the recipe, and holds no settings"
            raise UsageError(msg)
        out[head] = applied(inner, {rest: value}) if rest else value
    return out


def tune(
    objective: Objective,
    space: Space,
    trials: int,
    folder: Path,
    seed: int,
    *,
    higher_is_better: bool = True,
    progress: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Search the settings with the best figure, by Optuna's tree of Parzen estimators.

    The trials are kept in ``folder``. A search that was killed and is called again makes those that are missing, and
    the one that was under way first: with the same settings, in the same folder, so its training can be resumed.

    Parameters
    ----------
    objective
        What is sought. A trial whose training diverges (`ModelError`) counts as one, without a figure.
    space
        What is tried; see `read_space`.
    trials
        How many in all, those of earlier calls included.
    folder
        Where the search keeps ``trials.log``, ``search.json`` and a folder for each trial.
    seed
        Equal seeds try equal settings, as long as their figures are equal.
    higher_is_better
        Whether a larger figure is better.
    progress
        Told the number of each new trial, from 0, and its figure, NaN if it has none.

    Raises
    ------
    UsageError
        There is nothing to try, or the folder is of another search.
    ModelError
        Every trial diverged.
    MissingExtra
        Optuna is not installed.
    """
    if trials < 1 or not space:
        msg = f"tuning needs a trial and a setting to try, got {trials} trials of {len(space)} settings"
        raise UsageError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    study = _study(folder / JOURNAL, higher_is_better)
    _check_search(folder / SEARCH, space, seed, higher_is_better)
    for number in range(len(_finished(study)), trials):
        study.sampler = _sampler(seed, number)
        value = _one_trial(study, objective, space, folder / f"{number:04d}")
        if progress is not None:
            progress(number, value)
    finished = _finished(study)
    judged = [trial for trial in finished if trial.value is not None]
    if not judged:
        msg = f"each of {len(finished)} trials diverged: search lower learning rates, in another folder than {folder}"
        raise ModelError(msg)
    best = study.best_trial
    return Tuned(best.params, study.best_value, [one.number for one in finished].index(best.number), len(judged))


def _one_trial(study: Study, objective: Objective, space: Space, folder: Path) -> float:
    """Make one trial; return its figure, NaN where it diverged."""
    from optuna.trial import TrialState

    trial = study.ask()
    try:
        value = float(objective(_suggested(trial, space), folder))
    except ModelError:
        study.tell(trial, state=TrialState.PRUNED)
        return math.nan
    study.tell(trial, value)
    return value


def _study(journal: Path, higher_is_better: bool) -> Study:
    with needs_extra("train", "tuning"):
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    direction: Literal["maximize", "minimize"] = "maximize" if higher_is_better else "minimize"
    return optuna.create_study(storage=storage, study_name=STUDY, direction=direction, load_if_exists=True)


def _sampler(seed: int, number: int) -> BaseSampler:
    """Return the sampler of one trial: a seed of its own, so that what a kill interrupted is drawn again."""
    from optuna.samplers import TPESampler

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    # Trials run one by one, so the only other one under way is one that was killed, which is to count for nothing.
    return TPESampler(seed=own, constant_liar=False)


def _finished(study: Study) -> list[FrozenTrial]:
    """Return the trials that came to an end, diverged ones included; a killed one stays under way for ever."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _suggested(trial: Trial, space: Space) -> dict[str, Setting]:
    """Return the settings that a trial is to try."""
    settings: dict[str, Any] = {}
    for name, one in space.items():
        if isinstance(one, Choice):
            settings[name] = trial.suggest_categorical(name, one.values)
        elif isinstance(one, IntRange):
            settings[name] = trial.suggest_int(name, one.low, one.high, log=one.log)
        else:
            settings[name] = trial.suggest_float(name, one.low, one.high, log=one.log)
    return settings


def _check_search(path: Path, space: Space, seed: int, higher_is_better: bool) -> None:
    """Keep what is searched beside the trials, and refuse to go on with another search."""
    settings = {name: {"kind": type(one).__name__, **vars(one)} for name, one in space.items()}
    search = {"space": settings, "seed": seed, "higher_is_better": higher_is_better}
    text = json.dumps(search, indent=1) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        msg = f"{path.parent} holds a search of other settings: go on with the same, or give another folder"
        raise UsageError(msg)
    write_whole(path, text.encode(), durable=False)
