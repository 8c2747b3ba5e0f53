"""Search for settings: Optuna behind one function, its trials kept in a file so that a killed search goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wsi_patches.errors import ModelError, UsageError, needs_extra
from wsi_patches.stores.files import write_whole
from wsi_patches.train.tune_space import Choice, IntRange, Setting, Space

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler

__all__ = ["Objective", "Tried", "Tuned", "best_of", "trial_folder", "tune"]

JOURNAL, SEARCH = "trials.log", "search.json"
STUDY = "tune"
Objective = Callable[[Mapping[str, Setting], Path], float]
"""Told the settings of a trial and a folder of its own; returns the figure that is sought."""


@dataclass(frozen=True)
class Tried:
    """One trial that came to an end."""

    number: int
    """From 0."""
    settings: Mapping[str, Setting]
    value: float | None
    """Its figure; None where it diverged."""


@dataclass(frozen=True)
class Tuned:
    """What a search came to."""

    best: Tried
    tried: tuple[Tried, ...]
    """All trials in their order."""


Progress = Callable[[Sequence[Tried]], None]
"""Told all trials that have come to an end, whenever another one has."""


def tune(
    objective: Objective,
    space: Space,
    trials: int,
    folder: Path,
    seed: int,
    *,
    higher_is_better: bool = True,
    first: Mapping[str, Setting] | None = None,
    depends_on: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
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
    first
        Settings of the first trial, within the space; drawn like the others if None.
    depends_on
        What else the figures depend on, as plain values: a search is not gone on with under others.
    progress
        Told of each new trial.

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
    search = {"seed": seed, "higher_is_better": higher_is_better, "first": first, "depends_on": depends_on}
    _check_search(folder / SEARCH, space, search)
    tried = _tried(study)
    for number in range(len(tried), trials):
        study.sampler = _sampler(seed, number)
        if number == 0 and first is not None:
            _queue(study, first)
        _one_trial(study, objective, space, trial_folder(folder, number))
        tried = _tried(study)
        if progress is not None:
            progress(tried)
    best = best_of(tried, higher_is_better=higher_is_better)
    if best is None:
        msg = f"each of {len(tried)} trials diverged: search lower learning rates, in another folder than {folder}"
        raise ModelError(msg)
    return Tuned(best, tried)


def trial_folder(folder: Path, number: int) -> Path:
    """Return where a search in a folder keeps one of its trials."""
    return folder / f"{number:04d}"


def best_of(tried: Sequence[Tried], *, higher_is_better: bool) -> Tried | None:
    """Return the first of the trials with the best figure, None where none has one."""
    judged = [(one.value, one) for one in tried if one.value is not None]
    sign = 1 if higher_is_better else -1
    return max(judged, key=lambda pair: sign * pair[0])[1] if judged else None


def _one_trial(study: Study, objective: Objective, space: Space, folder: Path) -> None:
    from optuna.trial import TrialState

    trial = study.ask()
    try:
        value = float(objective(_suggested(trial, space), folder))
    except ModelError:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, value)


def _queue(study: Study, first: Mapping[str, Setting]) -> None:
    # A search that was killed just here has it queued already.
    if not any(trial.state.name == "WAITING" for trial in study.trials):
        study.enqueue_trial(dict(first))


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


def _tried(study: Study) -> tuple[Tried, ...]:
    """Return the trials that came to an end, diverged ones included; a killed one stays under way for ever."""
    ended = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    return tuple(Tried(number, trial.params, trial.value) for number, trial in enumerate(ended))


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


def _check_search(path: Path, space: Space, search: Mapping[str, Any]) -> None:
    """Keep what is searched beside the trials, and refuse to go on with another search."""
    settings = {name: {"kind": type(one).__name__, **vars(one)} for name, one in space.items()}
    text = json.dumps({"space": settings, **search}, indent=1, default=str) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        msg = f"{path.parent} holds a search of other settings: go on with the same, or give another folder"
        raise UsageError(msg)
    write_whole(path, text.encode(), durable=False)
