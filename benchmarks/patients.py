"""Painted patients from slides to labels: mean F1 by counts of types, with and without what the counts leave open.

    python benchmarks/patients.py
    python benchmarks/patients.py --patients 100 --slides-each 2 --folder WORK    # longer; what is there is kept

Paints patients of five painted labels, teaches the types on other painted slides, counts the patients' slides by
``infer``, and learns labels by five folds of whole patients. Beside it, on the same folds: the same with every cell's
true type in place of what infer told, the share of blasts alone, and the majority label. Intervals are over patients.
"""

import argparse
import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from wsi_patches.cli.main import main
from wsi_patches.evaluate.classification import paired_difference
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.synthetic import BLAST_KINDS, KINDS, paint_patients, write_patients
from wsi_patches.synthetic.patients import EVEN
from wsi_patches.train.diagnosis import DiagnosisSettings
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_diagnosis import WITHOUT, train_diagnosis_on_counts
from wsi_patches.workflows.train_folder import TrainingData

KNOWN_SEED, COHORT_SEED = 100, 0  # that of bags.py, whose patients and folds these are
METRICS = ("macro_f1", "accuracy", "log_loss", "calibration_error")


def run(*arguments):
    told = CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False)
    if told.exit_code:
        raise SystemExit(told.output)


def painted(folder, options):
    """Paint the slides that teach the types and those of the patients, unless they are there."""
    known, cohort = folder / "known", folder / "cohort"
    if not (known / "slides.csv").exists():
        taught = paint_patients(options.known, KNOWN_SEED, slides_each=1, cells=(38, 46), diagnoses=EVEN)
        write_patients(known, taught)
    slides = paint_patients(options.patients, COHORT_SEED, slides_each=options.slides_each)
    if not (cohort / "slides.csv").exists():
        write_patients(cohort, slides)
    return known, cohort, slides


def counted(folder, known, cohort, options):
    """Teach the types and count the patients' slides; return infer's folder."""
    types, counts = folder / "types", folder / "counts"
    if not (types / "weights.safetensors").exists():
        groups = ("--group-table", known / "slides.csv")
        run("train", "cell_types", "--data", known / "slides", "--annotations", known / "cells", *groups,
            "--epochs", options.epochs, "-o", types, "--overwrite", "-q")  # fmt: skip
    if not (counts / "types.csv").exists():
        run("infer", cohort / "slides", "-o", counts, "--model", types / "weights.safetensors",
            "--group-table", cohort / "slides.csv", "-q")  # fmt: skip
    return counts


def by_truth(folder, slides):
    """Write the counts that a reader without an error would have."""
    out = folder / "truth"
    out.mkdir(exist_ok=True)
    with (out / "types.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", *(f"count_{kind}" for kind in KINDS)])
        writer.writerows([one.patient, *(count for _, count in one.settings.kinds)] for one in slides)
    facts = {"types": list(KINDS), "blasts": list(BLAST_KINDS), "confusion": [], "weights_sha256": ""}
    (out / "types.json").write_text(json.dumps(facts))
    return out


def learnt(counts, cohort, out, options):
    values = {**read_recipe(find_recipe("diagnosis")), "labels": cohort / "patients.csv"}
    settings = replace(settings_from(DiagnosisSettings, {}, values), resamples=options.draws)
    return train_diagnosis_on_counts(settings, TrainingData((counts,)), out, Existing(overwrite=True))


def show(name, result):
    figures = "  ".join(f"{metric} {result.metrics[metric].interval}" for metric in METRICS)
    print(f"{name:34} {figures}")


def tell(folder, counts, cohort, slides, options):
    found = learnt(counts, cohort, folder / "by_infer", options)
    true = learnt(by_truth(folder, slides), cohort, folder / "by_truth", options)
    own, without = found.results["patients"], found.baselines[WITHOUT]
    show("with the counts' uncertainty", own)
    for name, result in found.baselines.items():
        show(name, result)
    show("true types, with uncertainty", true.results["patients"])
    show("true types, as they are", true.baselines[WITHOUT])
    for metric in METRICS[:3]:
        print(f"with less without, paired, {metric}: {paired_difference(own, without, metric).interval}")
    print("\n".join(found.notes))


def told_types(folder):
    card = json.loads((folder / "types" / "card.json").read_text())
    table = np.array(card["confusion"])
    print(f"cells on slides that were left out: balanced accuracy {card['scores']['test_balanced_accuracy']:.3f}; "
          f"on the calibration split {np.mean(np.diag(table) / table.sum(axis=1)):.3f}")  # fmt: skip


def main_command():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keeps what is painted and learnt")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--slides-each", type=int, default=1)
    parser.add_argument("--known", type=int, default=36, help="slides that teach the types")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap over patients")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        known, cohort, slides = painted(folder, options)
        counts = counted(folder, known, cohort, options)
        cells = [sum(count for _, count in one.settings.kinds) for one in slides]
        print(f"{options.patients} painted patients, {sum(cells)} cells, seeds {KNOWN_SEED} and {COHORT_SEED}")
        told_types(folder)
        tell(folder, counts, cohort, slides, options)


if __name__ == "__main__":
    main_command()
