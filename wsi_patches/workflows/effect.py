"""``wsi-patches effect``: what a preprocessing step does for a classifier, on the same patches, folds and network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets import GroupRule
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.effect import EffectFigure, Said, measure_effect
from wsi_patches.evaluate.effect_page import write_effect
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.pipeline import Progress
from wsi_patches.stores import is_store
from wsi_patches.stores.files import write_json
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.classifier_settings import ClassifierSettings
from wsi_patches.train.effect_arms import TURNED, by_neighbours, by_tuning
from wsi_patches.train.effect_network import frozen_encoder, system_of
from wsi_patches.train.features import features_of
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.train.two_arms import ARMS, Step, TwoArms, two_arms
from wsi_patches.workflows.effect_patches import Halves, Masking, folder_patches, halve, sharpening, store_patches
from wsi_patches.workflows.effect_settings import EffectSettings
from wsi_patches.workflows.output import Existing, check_output, clear_output, make_folder

__all__ = ["EffectResult", "EffectSettings", "measure_step"]

PAGE, SETTINGS, RUNS = "effect.html", "settings.json", "runs"
UNNAMED = ("out", "overwrite", "resume", "device")
"""Settings that a resumed run may have otherwise."""


@dataclass(frozen=True)
class EffectResult:
    """What was measured."""

    page: Path
    figures: tuple[EffectFigure, ...]
    patches: int
    changed: int
    """Patches that the step changed."""
    groups: int
    group_kind: str
    warnings: tuple[str, ...]


def measure_step(settings: EffectSettings, progress: Progress | None = None) -> EffectResult:
    """Classify the same patches with and without a step, in the same folds, and measure the paired difference.

    Raises
    ------
    UsageError
        There are no two classes, no step to compare, or too few groups to be halved.
    ModelError
        The network or its weights cannot be used, or a training diverged.
    StoreError
        The store, or the step that it is to hold, cannot be read.
    OutputExists
        There is an output, and it is neither to be resumed nor replaced.
    """
    existing = Existing(settings.resume, settings.overwrite)
    there = check_output(settings.out, existing, ours=(settings.out / SETTINGS).is_file(), what="an effect")
    side_px, classify = _classifier(settings, progress)  # its weights are read before any picture is
    make_folder(settings.out)
    with TemporaryDirectory(".partial", ".pixels", settings.out) as pixels:
        patches, step, notes = _patches(settings, Path(pixels))
        halves = halve(patches, settings.by, settings.repetitions, settings.seed)
        if there and settings.overwrite:  # not before it is known that what was asked can be done
            clear_output(settings.out, but=Path(pixels))
        _check_same(settings, patches, halves)
        arms = two_arms(patches, step, side_px, Path(pixels))
        notes = (*notes, *(step.told(len(patches)) if isinstance(step, Masking) else ()))
        said = classify(arms, halves)
    figures = measure_effect(said, settings.draws, settings.seed)
    result = _result(settings.out / PAGE, figures, arms, halves, notes)
    details = _details(settings, result, patches, halves)
    write_effect(result.page, _title(settings), said, figures, arms.examples, details, result.warnings)
    return result


def _result(
    page: Path, figures: tuple[EffectFigure, ...], arms: TwoArms, halves: Halves, notes: tuple[str, ...]
) -> EffectResult:
    return EffectResult(
        page=page,
        figures=figures,
        patches=len(arms.change),
        changed=int((arms.change > 0).sum()),
        groups=len(np.unique(halves.groups)),
        group_kind=halves.group_kind,
        warnings=(*halves.warnings, *notes, *_doubts(arms, halves)),
    )


Classify = Callable[[TwoArms, Halves], Said]


def _classifier(settings: EffectSettings, progress: Progress | None) -> tuple[int, Classify]:
    """Return the side of patches that a classifier takes, and what it says of them."""
    return _frozen(settings, progress) if settings.how == "frozen" else _tuned(settings, progress)


def _frozen(settings: EffectSettings, progress: Progress | None) -> tuple[int, Classify]:
    encoder = frozen_encoder(
        settings.network, settings.weights, settings.layer, settings.subtract_mean, settings.input_px, settings.device
    )

    def classify(arms: TwoArms, halves: Halves) -> Said:
        predicted, in_rank = _unsaid(halves), np.zeros((len(ARMS), *halves.train.shape), np.bool_)
        for arm, patches in enumerate(arms.sets):
            told = None if progress is None else _shifted(progress, arm * len(patches), len(ARMS) * len(patches))
            features = features_of(ArrayPatches(patches.images), encoder, told)
            for number, train in enumerate(halves.train):
                learnt, test = np.flatnonzero(train), np.flatnonzero(~train)
                said, ranked = by_neighbours(features, patches.truth, learnt, test)
                predicted[arm, number, test], in_rank[arm, number, test] = said, ranked
        return Said(arms.without.truth, halves.groups, ~halves.train, predicted, in_rank)

    return encoder.encoder.input_px, classify


def _tuned(settings: EffectSettings, progress: Progress | None) -> tuple[int, Classify]:
    asked = _training(settings)
    epochs = settings.training.epochs

    def classify(arms: TwoArms, halves: Halves) -> Said:
        predicted, done = _unsaid(halves), 0
        for number, train in enumerate(halves.train):
            learnt, test = np.flatnonzero(train), np.flatnonzero(~train)
            for arm, patches in enumerate(arms.sets):
                told = None if progress is None else _shifted(progress, done, predicted[..., 0].size * epochs)
                run = settings.out / RUNS / f"{number}-{ARMS[arm]}"
                predicted[arm, number, test] = _once(run, asked, settings, patches, learnt, test, told)
                done += epochs
        return Said(arms.without.truth, halves.groups, ~halves.train, predicted)

    return asked.input_px, classify


def _once(
    run: Path,
    asked: ClassifierSettings,
    settings: EffectSettings,
    patches: PatchSet,
    learnt: NDArray[np.int64],
    test: NDArray[np.int64],
    told: Progress | None,
) -> NDArray[np.int32]:
    """Return what one fine-tuned network says; what an earlier run that was killed has left is not done again."""
    kept = run.with_suffix(".npy")
    if kept.is_file():
        return np.asarray(np.load(kept, allow_pickle=False), np.int32)
    tell = None if told is None else lambda epoch: told(epoch.epoch, settings.training.epochs)
    said = by_tuning(asked, settings.subtract_mean, patches, learnt, test, run, tell)
    partial = run.with_suffix(".partial.npy")
    np.save(partial, said, allow_pickle=False)
    partial.replace(kept)
    return said


def _training(settings: EffectSettings) -> ClassifierSettings:
    system = system_of(settings.network)
    if settings.pretrained and settings.weights is None and system.pretrained is None:
        msg = (
            f"{system.name} has no weights here to start from: give their file with --weights, as torchvision "
            "publishes it, or pretrained: false in a recipe to start from chance"
        )
        raise UsageError(msg)
    training = replace(settings.training, device=settings.device, seed=settings.seed)
    return ClassifierSettings(
        architecture=system.name,
        pretrained=settings.pretrained,
        start=settings.weights,
        input_px=settings.input_px,
        batch_size=settings.batch_size,
        augmentation=TURNED,
        training=training,
    )


def _patches(settings: EffectSettings, pixels: Path) -> tuple[PatchSet, Step, tuple[str, ...]]:
    """Return the patches, the step that they go through, and sentences on what was left out."""
    fresh: Step | None = None
    if settings.sharpen is not None:
        fresh = sharpening(SharpenSettings(settings.sharpen))
    elif settings.mask_part is not None:
        fresh = Masking(settings.mask_part, settings.mask_by)
    if is_store(settings.source):
        patches, kept = store_patches(settings.source, settings.target, pixels)
        return patches, fresh or kept(settings.step), ()
    if fresh is None:
        msg = (
            f"{settings.source} is no store that holds a step: give the focus score to sharpen at with --sharpen, or "
            "--step cell-mask or nucleus-mask"
        )
        raise UsageError(msg)
    groups = GroupRule(settings.group_pattern, settings.group_table)
    patches, notes = folder_patches(settings.source, settings.patch_px, groups, pixels)
    return patches, fresh, notes


def _check_same(settings: EffectSettings, patches: PatchSet, halves: Halves) -> None:
    """Keep what a run depends on beside it, and refuse to go on with one of other settings or patches."""
    path = settings.out / SETTINGS
    mine = {name: str(value) for name, value in asdict(settings).items() if name not in UNNAMED}
    mine |= {"patches": str(len(patches)), "halves": str(np.packbits(halves.train).tobytes().hex())}
    if settings.resume and path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(name for name in {*mine, *before} if mine.get(name) != before.get(name))
        if other:
            msg = f"{settings.out} was begun with another {', '.join(other)}: give that again, or --overwrite"
            raise UsageError(msg)
    write_json(path, mine, durable=False)


def _unsaid(halves: Halves) -> NDArray[np.int32]:
    return np.full((len(ARMS), *halves.train.shape), -1, np.int32)


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _total: progress(before + done, total)


def _doubts(arms: TwoArms, halves: Halves) -> tuple[str, ...]:
    told = []
    if not (arms.change > 0).any():
        told.append("The step changed no patch, so that there is nothing to compare: both arms are the same.")
    repetitions, different = len(halves.train), len({train.tobytes() for train in halves.train})
    if different < repetitions:
        told.append(
            f"The {repetitions} repetitions hold {different} different pairs of halves, some of them repeated: so few "
            "blocks or groups have no more."
        )
    if halves.by == "none":
        told.append("Patches of one slide or patient lie in both halves, as published: the accuracies flatter.")
    return tuple(told)


def _title(settings: EffectSettings) -> str:
    step = "sharpening" if settings.sharpen is not None or settings.step == "sharpened" else settings.step
    if settings.mask_part is not None:
        step = f"showing the {settings.mask_part} alone ({settings.mask_by})"
    return f"What {step} does for {settings.network}, {settings.how}, on {settings.source.name}"


def _details(settings: EffectSettings, result: EffectResult, patches: PatchSet, halves: Halves) -> Mapping[str, str]:
    counts: Any = np.bincount(patches.truth, minlength=len(patches.class_names)).tolist()
    classes = ", ".join(f"{count} {name}" for name, count in zip(patches.class_names, counts, strict=True))
    step = f"sharpened where the focus score is above {settings.sharpen:g}" if settings.sharpen is not None else ""
    if settings.mask_part is not None:
        step = f"black outside of the {settings.mask_part}, found by {settings.mask_by}"
    frozen = f"frozen, {settings.layer} layer, nearest neighbour by the Euclidean distance"
    mean = "left as it is" if settings.subtract_mean == "none" else f"subtracted ({settings.subtract_mean})"
    tuned = f"fine-tuned, {settings.training.epochs} epochs of batches of {settings.batch_size}, the last one kept"
    return {
        "Patches": f"{result.patches} of {settings.source}: {classes}",
        "Step": f"{step or f'derived {settings.step} of the store'}; it changed {result.changed} patches",
        "Network": f"{settings.network}, {frozen if settings.how == 'frozen' else tuned}",
        "Mean of each patch": mean,
        "Split": f"{settings.repetitions} times in two halves by {halves.by}: one is learnt from, the other tested; "
        f"seed {settings.seed}, the same halves in both arms",
        "Intervals": f"95 %, {settings.draws} draws with replacement of {result.groups} groups ({result.group_kind}) "
        "and of the repetitions, the same draws in both arms",
    }
