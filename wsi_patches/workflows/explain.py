"""``wsi-patches explain``: the most similar known patches of others, where they are alike, and what they vote for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.neighbour_shares import NeighbourShares, measure_neighbours
from wsi_patches.evaluate.neighbours import Vote, find_neighbours, own_rows, vote
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import write_whole
from wsi_patches.workflows.explain_cases import Cases, find_cases
from wsi_patches.workflows.explain_files import CSV, PAGE, Answer, FoundNeighbour, write_answers
from wsi_patches.workflows.explain_page import Compared, Told, explained_page
from wsi_patches.workflows.explain_settings import ExplainSettings
from wsi_patches.workflows.explain_vectors import colours_of, describe_cases
from wsi_patches.workflows.output import Existing, check_output, clear_output, make_folder

if TYPE_CHECKING:
    from wsi_patches.counting.centred import PatchScale
    from wsi_patches.models.described import DescribedNetwork

__all__ = ["ExplainSettings", "Explained", "explain"]

AT_ONCE = 256
NAMED = 3


@dataclass(frozen=True)
class Explained:
    """What was explained."""

    page: Path
    table: Path
    answers: tuple[Answer, ...]
    agreement: NeighbourShares | None
    """None where no query's class is known."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _EncoderScale:
    """How much of a slide an encoder sees around a cell."""

    name: str
    patch_cell_diameters: float
    patch_um: float | None = None


@dataclass(frozen=True)
class _Network:
    """What describes patches, and what is told of it."""

    described: DescribedNetwork
    sha256: str
    scale: PatchScale
    title: str


def explain(settings: ExplainSettings, progress: Progress | None = None) -> Explained:
    """Find the most similar known patches of each query, none of its own slide or patient, and write what they say.

    Raises
    ------
    UsageError
        What was asked cannot be done; nothing was written.
    OutputExists
        There is an explanation, and it is not to be replaced.
    ModelError
        The model cannot be used, or has no maps of likeness.
    SlideError, StoreError
        A patch cannot be read.
    MissingExtra
        The extras ``train`` and ``explain`` are not installed.
    """
    ours = any((settings.out / name).is_file() for name in (PAGE, CSV))
    there = check_output(settings.out, Existing(overwrite=settings.overwrite), ours=ours, what="an explanation")
    network = _network(settings)
    compared, notes = _compared(settings, network, progress)
    votes = [vote(near.tolist(), settings.tie) for near in compared.neighbour_classes]
    agreement = _agreement(settings, compared, votes)
    answers = tuple(_answer(compared, row, votes[row]) for row in range(len(compared.queries)))
    told = Told(answers, agreement, notes)
    page, more = explained_page(settings, network.described, network.title, compared, told, progress)
    make_folder(settings.out)
    if there:
        clear_output(settings.out)
    write_answers(settings.out, answers, _plain(settings, network), agreement)
    write_whole(settings.out / PAGE, page.encode("utf-8", "surrogateescape"), durable=False)
    return Explained(settings.out / PAGE, settings.out / CSV, answers, agreement, (*notes, *more))


def _network(settings: ExplainSettings) -> _Network:
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.described import DescribedNetwork
    from wsi_patches.models.encoders import FrozenEncoder

    if settings.model is not None:
        classifier = CellClassifier.load(settings.model, settings.device)
        card = classifier.card
        return _Network(DescribedNetwork.of_classifier(classifier), classifier.sha256, card, f"model {card.name}")
    encoder = FrozenEncoder.load(settings.encoder or "", settings.device)
    name = encoder.encoder.name
    scale = _EncoderScale(name, settings.cell_diameters)
    return _Network(DescribedNetwork.of_encoder(encoder), encoder.encoder.sha256, scale, f"frozen encoder {name}")


def _compared(
    settings: ExplainSettings, network: _Network, progress: Progress | None
) -> tuple[Compared, tuple[str, ...]]:
    """Read and describe both sides, and find the neighbours."""
    side = network.described.frame.input_px
    how = (network.scale, side, settings.rule, settings.target)
    known_cases = find_cases(settings.reference, *how)
    reference, left_out = _with_classes(known_cases)
    same = settings.queries == settings.reference
    queries = _as_known(known_cases if same else find_cases(settings.queries, *how), reference)
    whole = same and len(queries) == len(reference)
    total, so_far = len(reference) + (0 if whole else len(queries)), 0

    def done(count: int) -> None:
        nonlocal so_far
        so_far += count
        if progress is not None:
            progress(so_far, total)

    known = describe_cases(reference, network.described, network.sha256, done)
    asked = known if whole else describe_cases(queries, network.described, network.sha256, done)
    in_logits = settings.space != "embedding" and settings.encoder is None
    pairs = (asked.logits, known.logits) if in_logits else (asked.features, known.features)
    own = [_codes(getattr(queries, name), getattr(reference, name)) for name in ("patients", "slides")]
    mine, theirs = (np.stack([pair[number] for pair in own], axis=1) for number in (0, 1))
    near = find_neighbours(*pairs, mine, theirs, settings.neighbours)
    compared = Compared(queries, reference, asked.features, known.features, near, mine, theirs)
    return compared, tuple(dict.fromkeys((*reference.notes, *queries.notes, *left_out, *_whose(queries))))


def _with_classes(cases: Cases) -> tuple[Cases, tuple[str, ...]]:
    """Return the known patches that have a class."""
    known = np.flatnonzero(cases.labels != "")
    classes = sorted(set(cases.labels[known].tolist()))
    if len(classes) < 2:
        msg = (
            f"the reference holds {len(known)} patches with a class, of {', '.join(classes) or 'none'}: give a "
            "labelled store, or folders named as the classes, of two or more"
        )
        raise UsageError(msg)
    left = len(cases) - len(known)
    return cases.take(known), (f"{left} patches of the reference have no class and were left out.",) if left else ()


def _as_known(queries: Cases, reference: Cases) -> Cases:
    """Return queries with what the reference knows of those that are the same file: whose they are, and their class."""
    first = dict(zip(reversed(reference.slides.tolist()), reversed(range(len(reference))), strict=True))
    rows = [first.get(one) for one in queries.slides.tolist()]
    single = {one for one, count in zip(*np.unique(reference.slides, return_counts=True), strict=True) if count == 1}
    patients, labels = queries.patients.tolist(), queries.labels.tolist()
    for number, row in enumerate(rows):
        if row is not None:
            patients[number] = patients[number] or str(reference.patients[row])
            if queries.slides[number] in single:
                labels[number] = labels[number] or str(reference.labels[row])
    return replace(queries, patients=np.array(patients, str), labels=np.array(labels, str))


def _codes(mine: NDArray[np.str_], theirs: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return numbers for names, the same on both sides; -1 for an empty one."""
    names, numbers = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
    codes = np.where(names[numbers] == "", -1, numbers)
    return codes[: len(mine)], codes[len(mine) :]


def _whose(queries: Cases) -> tuple[str, ...]:
    unknown = int(np.count_nonzero(queries.patients == ""))
    if not unknown:
        return ()
    return (
        f"Of {unknown} of {len(queries)} queries nobody says which patient they are of: only their own picture or "
        "slide is kept out of their neighbours, and other pictures of the same patient may be among them.",
    )


def _agreement(settings: ExplainSettings, compared: Compared, votes: list[Vote]) -> NeighbourShares | None:
    """Measure how often neighbours are right, where classes of queries are known."""
    truth = compared.query_classes
    rows = np.flatnonzero(truth >= 0)
    if not len(rows):
        return None
    known = colours_of(compared.reference)
    mean, spread = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)
    asked = (colours_of(compared.queries.take(rows)) - mean) / spread
    by_colour = find_neighbours(
        asked.astype(np.float32),
        ((known - mean) / spread).astype(np.float32),
        compared.own[rows],
        compared.others,
        settings.neighbours,
    )
    said = np.array([-1 if votes[row].label is None else votes[row].label for row in rows], np.int64)
    patients, slides = compared.queries.patients[rows], compared.queries.slides[rows]
    return measure_neighbours(
        truth[rows],
        said,
        compared.neighbour_classes[rows],
        compared.reference_classes[by_colour.rows],
        _chance(compared, rows),
        np.where(patients == "", slides, patients),
        "patient" if (patients != "").all() else "slide",
        settings.draws,
        settings.seed,
    )


def _chance(compared: Compared, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each query's class among all that might have been its neighbours."""
    shares = []
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        allowed = ~own_rows(compared.own[some], compared.others)
        alike = compared.reference_classes[None, :] == compared.query_classes[some][:, None]
        shares.append((allowed & alike).sum(axis=1) / allowed.sum(axis=1))
    return np.concatenate(shares)


def _answer(compared: Compared, row: int, said: Vote) -> Answer:
    queries, reference, near = compared.queries, compared.reference, compared.near
    found = tuple(
        FoundNeighbour(
            name=str(reference.names[one]),
            label=str(reference.labels[one]),
            distance=float(distance),
            file=str(reference.files[one]),
            patient=str(reference.patients[one]),
        )
        for one, distance in zip(near.rows[row].tolist(), near.distances[row].tolist(), strict=True)
    )
    label = "" if said.label is None else compared.class_names[said.label]
    return Answer(
        name=str(queries.names[row]),
        file=str(queries.files[row]),
        patient=str(queries.patients[row]),
        truth=str(queries.labels[row]),
        vote=label,
        margin=said.margin,
        neighbours=found,
    )


def _plain(settings: ExplainSettings, network: _Network) -> Mapping[str, object]:
    """Return settings as JSON values."""
    values = {name: _as_text(value) for name, value in asdict(settings).items()}
    return {**values, "network": network.title, "sha256": network.sha256}


def _as_text(value: object) -> object:
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return str(value) if isinstance(value, Path) else value
