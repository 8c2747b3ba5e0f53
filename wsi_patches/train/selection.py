"""Which features to keep: a population metaheuristic on what a probe reaches within the training folds.

After CoTCoNet's selection stage (Raghaw et al., Comput. Biol. Med. 179, 2024), by algorithms of pymoo (Blank and Deb,
IEEE Access 8, 2020). What is selected for a fold is selected from the other folds alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.train.checks import check_choices
from wsi_patches.train.selection_fitness import JudgedBy, fitness_of

__all__ = ["Generation", "Search", "Selected", "SelectionSettings", "chance_masks", "select", "select_in_folds"]

Search = Literal["ga", "pso"]
"""A genetic algorithm on bits, or a particle swarm in which a feature is kept above one half."""
FEWEST_MUTATED = 0.01
"""Least share of bits that a mutation flips; one bit of a thousand would take too many generations."""
Progress = Callable[[int, int], None]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """How features are searched.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    search: Search = "ga"
    judged_by: JudgedBy = "linear"
    population: int = 32
    generations: int = 25
    price: float = 0.02
    """What keeping all features costs, in balanced accuracy; each costs its part of that."""
    most_patches: int = 1000
    """Patches that a search looks at, drawn evenly from the classes where there are more."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_choices(self, {"search": Search})
        least = {"population": 4, "generations": 1, "most_patches": 20}
        for name, value in least.items():
            if getattr(self, name) < value:
                msg = f"{name} of a selection of features is {value} or more, got {getattr(self, name)}"
                raise UsageError(msg)
        if not 0 <= self.price <= 1:
            msg = f"the price of all features lies in 0..1, got {self.price}"
            raise UsageError(msg)


class Generation(NamedTuple):
    """The best so far."""

    kept: int
    """Features."""
    score: float
    """Balanced accuracy within the training folds, without the price."""


@dataclass(frozen=True)
class Selected:
    """What was selected from some folds."""

    kept: Masks
    """Shape ``(dim,)``."""
    history: tuple[Generation, ...] = field(repr=False)
    """After each generation, fewer than asked for where every mask was tried; the last one is what is kept."""
    of_all: float
    """Balanced accuracy of all features, measured as the score is."""


def select_in_folds(
    features: NDArray[Any],
    truth: NDArray[Any],
    folds: NDArray[Any],
    settings: SelectionSettings,
    progress: Progress | None = None,
) -> tuple[Selected, ...]:
    """Select features for each fold from the other folds, in the order of the folds' numbers.

    Parameters and errors are those of `select`; ``progress`` is told of generations.
    """
    numbers = np.unique(folds).tolist()
    if len(numbers) < 3:
        msg = f"training folds are predicted from one another to select features: cut 3 or more, found {len(numbers)}"
        raise UsageError(msg)
    total, found = len(numbers) * settings.generations, []
    for row, fold in enumerate(numbers):
        seen = folds != fold
        told = None if progress is None else _later(progress, row * settings.generations, total)
        found.append(select(features[seen], truth[seen], folds[seen], settings, told, stream=row))
    return tuple(found)


def select(
    features: NDArray[Any],
    truth: NDArray[Any],
    folds: NDArray[Any],
    settings: SelectionSettings,
    progress: Progress | None = None,
    *,
    stream: int = 0,
) -> Selected:
    """Select features of patches that may all be learnt from.

    Parameters
    ----------
    features
        Float ``(n, dim)``.
    truth
        Class of each, ``(n,)``.
    folds
        Fold of each, ``(n,)``, whole patients or slides in one: each is predicted from the others.
    settings
        How.
    progress
        Told of each generation.
    stream
        A number that sets apart searches of one seed.

    Raises
    ------
    UsageError
        There are fewer than two features, classes or folds, or too few patches.
    MissingExtra
        pymoo is not installed.
    """
    _check(features, truth, folds)
    seed = np.random.SeedSequence([settings.seed, stream])
    rng = np.random.default_rng(seed)
    rows = _drawn(truth, settings.most_patches, rng)
    judge = fitness_of(features[rows], truth[rows], folds[rows], settings.judged_by)
    dim, best = features.shape[1], np.ones(features.shape[1], np.bool_)
    history: list[Generation] = []
    with threadpool_limits(1):
        best_score = of_all = judge(best)
        best_fitness = of_all - settings.price
        for masks, tell in _generations(settings, dim, rng):
            scores = np.array([judge(mask) if mask.any() else 0.0 for mask in masks])
            fitness = scores - settings.price * masks.mean(axis=1)
            top = int(np.argmax(fitness))
            if masks[top].any() and fitness[top] > best_fitness:
                best, best_score, best_fitness = masks[top], float(scores[top]), float(fitness[top])
            history.append(Generation(int(best.sum()), best_score))
            tell(-fitness)
            if progress is not None:
                progress(len(history), settings.generations)
    return Selected(best, tuple(history), of_all)


def chance_masks(selected: tuple[Selected, ...], seed: int = 0) -> Masks:
    """Return for each fold as many features as were selected, drawn by chance, ``(folds, dim)``."""
    rng = np.random.default_rng([seed, len(selected)])
    return np.stack([rng.permutation(one.kept) for one in selected])


def _generations(
    settings: SelectionSettings, dim: int, rng: np.random.Generator
) -> Iterator[tuple[Masks, Callable[[NDArray[np.float64]], None]]]:
    """Yield masks ``(population, dim)``, and what takes their prices, the lower the better, of each generation.

    It ends early where there is no mask that was not tried.
    """
    with needs_extra("selection", "a selection of features"):
        from pymoo.config import Config
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.problem import Problem
        from pymoo.problems.static import StaticProblem
    Config.warnings["not_compiled"] = False  # it would be printed into the command's own output
    first = _first(settings.population, dim, rng)
    swarm = settings.search == "pso"
    start = np.where(first, 1 + rng.random(first.shape), rng.random(first.shape)) / 2 if swarm else first
    problem = Problem(n_var=dim, n_obj=1, xl=0, xu=1, vtype=float if swarm else bool)
    algorithm = _algorithm(settings, start, dim)
    algorithm.setup(problem, termination=("n_gen", settings.generations), seed=int(rng.integers(2**31)), verbose=False)
    for _ in range(settings.generations):
        asked = algorithm.ask()
        if asked is None or not len(asked):  # of few features every mask was tried
            return

        def tell(prices: NDArray[np.float64], asked: Any = asked) -> None:
            Evaluator().eval(StaticProblem(problem, F=prices[:, None]), asked)
            algorithm.tell(infills=asked)

        yield np.asarray(asked.get("X") > 0.5, np.bool_), tell


def _algorithm(settings: SelectionSettings, start: NDArray[Any], dim: int) -> Any:
    """Return pymoo's algorithm; features have no order, so that a crossover swaps single ones."""
    with needs_extra("selection", "a selection of features"):
        from pymoo.algorithms.soo.nonconvex.ga import GA
        from pymoo.algorithms.soo.nonconvex.pso import PSO
        from pymoo.operators.crossover.ux import UniformCrossover
        from pymoo.operators.mutation.bitflip import BitflipMutation
    if settings.search == "pso":
        return PSO(pop_size=settings.population, sampling=start)
    mutation = BitflipMutation(prob_var=max(FEWEST_MUTATED, 1 / dim))
    return GA(pop_size=settings.population, sampling=start, crossover=UniformCrossover(), mutation=mutation)


def _first(population: int, dim: int, rng: np.random.Generator) -> Masks:
    """Return masks that keep from a few features to all, the first one all of them."""
    shares = np.exp(rng.uniform(np.log(min(0.5, 4 / dim)), 0, (population, 1)))
    masks = rng.random((population, dim)) < shares
    masks[0] = True
    masks[np.arange(population), rng.integers(dim, size=population)] = True  # none keeps nothing
    return masks


def _drawn(truth: NDArray[Any], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return rows of so many patches at most, in their order, classes as evenly as they can be."""
    order = rng.permutation(len(truth))
    turn = np.empty(len(truth), np.int64)
    for one in np.unique(truth):
        mine = order[truth[order] == one]
        turn[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:most])


def _check(features: NDArray[Any], truth: NDArray[Any], folds: NDArray[Any]) -> None:
    found = {
        "features": (features.shape[1], "take an encoder that gives more"),
        "classes": (len(np.unique(truth)), "cut folds of which any one can be left out"),
        "folds to learn from": (len(np.unique(folds)), "cut more"),
    }
    for name, (count, remedy) in found.items():
        if count < 2:
            msg = f"a selection of features needs two {name} or more, found {count}: {remedy}"
            raise UsageError(msg)


def _later(progress: Progress, done: int, total: int) -> Progress:
    return lambda generation, _: progress(done + generation, total)
