"""Counts of painted patients, as ``infer`` writes them, without painting a pixel: types are told with known errors."""

import csv
import json

import numpy as np

from wsi_patches.synthetic import BLAST_KINDS, KINDS, paint_patients

TYPES = list(KINDS)
RIGHT = 0.85


def confused(right=RIGHT):
    """Return how often each type is taken for each: wrong ones go evenly to all others."""
    wrong = (1 - right) / (len(TYPES) - 1)
    return np.full((len(TYPES), len(TYPES)), wrong) + np.eye(len(TYPES)) * (right - wrong)


def write_counts(folder, patients=60, seed=0, *, cells=(15, 45), right=RIGHT, shuffled=False):
    """Write types.csv, types.json and patients.csv of painted patients; ``shuffled`` deals labels out by chance."""
    slides = paint_patients(patients, seed, cells=cells)
    rng, said = np.random.default_rng(seed), confused(right)
    folder.mkdir(parents=True)
    rows = [
        (
            one.slide_id,
            one.patient,
            np.sum([rng.multinomial(n, p) for (_, n), p in zip(one.settings.kinds, said, strict=True)], 0),
        )
        for one in slides
    ]
    write_types(folder, rows, np.round(said * 200).astype(int).tolist())
    labels = dict.fromkeys((one.patient, one.diagnosis) for one in slides)
    names, truth = zip(*labels, strict=True)
    truth = rng.permutation(truth) if shuffled else truth
    write_table(folder / "patients.csv", [("patient", "diagnosis"), *zip(names, truth, strict=True)])
    return folder


def write_types(folder, rows, confusion=(), types=TYPES):
    """Write counts of slides: name, patient and counts of types each."""
    head = ["slide_id", "group", "status", *(f"count_{name}" for name in types)]
    write_table(folder / "types.csv", [head, *([one, group, "done", *counts] for one, group, counts in rows)])
    blasts = [name for name in BLAST_KINDS if name in types]
    facts = {"types": types, "blasts": blasts, "confusion": list(confusion), "model": "m", "weights_sha256": "5a"}
    (folder / "types.json").write_text(json.dumps(facts))


def write_table(path, rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
