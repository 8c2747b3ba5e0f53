"""``wsi-patches train aml_one_against_control``: a classifier for each class against control, alone and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from wsi_patches.evaluate.classification import ClassificationResult, measure_classes
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.html_page import details_table, html_document, warnings_box
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import write_json, write_whole
from wsi_patches.train.fields import cut_fields
from wsi_patches.train.one_against_control import (
    OneAgainstControlSettings,
    TrainedAgainstControl,
    of_patients,
    train_against_control,
)
from wsi_patches.workflows.evaluation_files import write_evaluation
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import (
    DRAWS,
    PAGE,
    FolderTraining,
    TrainingData,
    measured_test,
    measured_training,
    open_training,
    plain,
)

__all__ = ["AgainstControlTraining", "train_against_control_on_folder"]

TOGETHER, PATIENTS = "all_classes", "patients"
NOT_DONE = "<p>This training is not done: it is under way, or was stopped, and goes on with --resume.</p>"


@dataclass(frozen=True)
class AgainstControlTraining:
    """What was trained, and how good it is."""

    trained: TrainedAgainstControl
    members: Mapping[str, FolderTraining]
    """By class."""
    together: Mapping[str, ClassificationResult]
    """``all_classes``, a row a picture, and ``patients``, where they are known, of the test split."""
    pages: Mapping[str, Path]
    """Of these."""
    page: Path
    weights: Path
    """The file of all classes together; each class has its own, against control, in its folder."""
    notes: tuple[str, ...]

    @property
    def results(self) -> dict[str, ClassificationResult]:
        """On the test split: each class against control, then all together."""
        return {**{name: member.result for name, member in self.members.items()}, **self.together}

    @property
    def baselines(self) -> dict[str, ClassificationResult]:
        """None that all results share; what colour alone reaches is on each page."""
        return {}

    @property
    def evaluations(self) -> dict[str, Path]:
        """The page of each result."""
        return {**{name: member.evaluation for name, member in self.members.items()}, **self.pages}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return self.trained.warnings


def train_against_control_on_folder(
    settings: OneAgainstControlSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> AgainstControlTraining:
    """Train a classifier for each class against control, and measure each and all together on one test split.

    Parameters
    ----------
    settings
        What to train, and how.
    data
        What is learnt from: labelled pictures, best in folders class / patient / image.
    out
        The folder to write: a folder a class, ``weights.safetensors`` and ``card.json`` of all together, ``test/`` and
        ``test_patients/`` of what these say, and the page ``training.html``.
    existing
        What to do with a training that is there.
    progress
        Told how many pictures are read, then how many epochs are done.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    ModelError
        A training diverged.
    OutputExists
        There is a training, and it is neither to be resumed nor replaced.
    """
    items, notes = open_training(data, out, existing)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    out.mkdir(parents=True, exist_ok=True)
    patches, words = cut_fields(settings, items, out, told)
    _write_page(settings, (), {}, out)  # by which the folder is known for a training, should it be killed
    trained = train_against_control(settings, patches, words, out, told, resume=existing.resume)
    members = {name: measured_training(settings.of(name), one, out / name, ()) for name, one in trained.members.items()}
    write_json(out / "card.json", trained.card.to_dict(), durable=False)
    together, pages, more = _measured_together(settings, trained, out)
    all_pages = {**{name: one.evaluation for name, one in members.items()}, **pages}
    page = _write_page(settings, trained.warnings, all_pages, out)
    notes = (*notes, *(f"{name}: {note}" for name, one in members.items() for note in one.notes), *more)
    return AgainstControlTraining(trained, members, together, pages, page, trained.weights, notes)


def _measured_together(
    settings: OneAgainstControlSettings, trained: TrainedAgainstControl, out: Path
) -> tuple[dict[str, ClassificationResult], dict[str, Path], tuple[str, ...]]:
    """Measure what all classifiers say together of pictures, and of patients where they are known."""
    test, title = trained.together, f"{settings.name} on its test split"
    details = {
        "Models": ", ".join(trained.members),
        "Together": f"odds of each class against {trained.control}, divided by their sum with 1, the odds of "
        f"{trained.control}",
    }
    result, _, page, notes = measured_test(test, settings.split_seed, out / "test", title, details)
    if test.group_kind != "patient":
        return {TOGETHER: result}, {TOGETHER: page}, (*notes, "Patients are not known: only pictures were measured.")
    voted = of_patients(test)
    predictions = Predictions(voted.class_names, voted.ids, voted.groups, voted.truth, voted.probabilities)
    patients = measure_classes(predictions, draws=DRAWS, seed=settings.split_seed, group_kind="patient", unit="patient")
    voting = {**details, "Patient": "the mean of the probabilities of its pictures"}
    of_them = write_evaluation(out / "test_patients", f"{title}: patients", patients, details=voting)
    return {TOGETHER: result, PATIENTS: patients}, {TOGETHER: page, PATIENTS: of_them}, notes


def _write_page(
    settings: OneAgainstControlSettings, warnings: Sequence[str], pages: Mapping[str, Path], out: Path
) -> Path:
    """Write the page that leads to all others; without any it says that the training is not done."""
    title = f"Training of {settings.name}"
    hrefs = {name: quote(page.relative_to(out).as_posix()) for name, page in pages.items()}
    links = [f'<li><a href="{href}">{escape(name)}</a></li>' for name, href in hrefs.items()]
    body = [
        f"<h1>{escape(title)}</h1>",
        warnings_box(warnings),
        f"<h2>On the test split</h2><ul>{''.join(links)}</ul>" if pages else NOT_DONE,
        "<h2>How this was trained</h2>",
        details_table({name: plain(value) for name, value in asdict(settings).items()}),
    ]
    write_whole(out / PAGE, html_document(title, "\n".join(body)).encode(), durable=False)
    return out / PAGE
