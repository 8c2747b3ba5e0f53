"""How often the 95 % intervals hold the truth, and whether infer abstains where a slide is unlike the training.

    python benchmarks/coverage.py --model OUT_OF_BLASTS/trained/weights.safetensors -o OUT [--fields 2000] [--workers 2]
                                  [--method cells|patches|detector]

The model is trained on painted fields by ``benchmarks/blasts.py``, or, of another method, by ``wsi-patches train`` on
such fields. Fields of other seeds are painted, half of them like those, the others at two further levels of blur and
two of stain, and counted as ``infer`` does it; their pixel size is stated, which saves looking at each from ten
distances. A field is covered where its painted number of blasts, or of white cells, lies in the interval. Every field
that is done is a row of OUT/fields.csv, and a run that was killed goes on there.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from wsi_patches.counting.intervals import fraction_interval
from wsi_patches.infer import METHODS, ModelChoice, count_by
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import AllIdbField, SmearSettings, all_idb1_fields
from wsi_patches.synthetic.all_idb1 import SMALL_FIELD
from wsi_patches.synthetic.smear import paint_smear

FIRST_SEED = 500
"""No training paints fields of this seed and the next ones."""
CELL_UM = 12.0
LAMPS = ((225.0, 240.0, 200.0), (205.0, 240.0, 175.0))


def blurred(settings: SmearSettings, more_px: float) -> SmearSettings:
    return replace(settings, blur_px=settings.blur_px + more_px)


def stained(settings: SmearSettings, strength: float, lamp: int) -> SmearSettings:
    return replace(settings, stain_strength=settings.stain_strength * strength, lamp_rgb=LAMPS[lamp])


LEVELS: dict[str, Callable[[SmearSettings], SmearSettings]] = {
    "as in training": lambda settings: settings,
    "blur + 2 px": partial(blurred, more_px=2.0),
    "blur + 3.5 px": partial(blurred, more_px=3.5),
    "stain x 1.7, yellow lamp": partial(stained, strength=1.7, lamp=0),
    "stain x 2.3, green lamp": partial(stained, strength=2.3, lamp=1),
}
"""The training has cells of 40 to 72 px, a blur of 0.5 to 1.4 px, and a stain of 1 give or take a fifth."""
COLUMNS = (
    "row",
    "level",
    "blasts",
    "found",
    "low",
    "high",
    "white",
    "white_found",
    "white_low",
    "white_high",
    "unlike",
)


def fields() -> Iterator[tuple[int, str, AllIdbField]]:
    """Yield fields without end: every second one as in training, the others of each level in turn."""
    shifted, row, seed = list(LEVELS)[1:], 0, FIRST_SEED
    while True:
        for field in all_idb1_fields(108, seed, 49):
            level = "as in training" if row % 2 == 0 else shifted[row // 2 % len(shifted)]
            yield row, level, replace(field, settings=LEVELS[level](field.settings), size=SMALL_FIELD)
            row += 1
        seed += 1


def counted(choice: ModelChoice, asked: tuple[int, str, AllIdbField]) -> tuple[object, ...]:
    """Paint and count one field."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    row, level, field = asked
    image, truth = paint_smear(field.size, field.settings)
    slide = ArraySlide(image, mpp=CELL_UM / field.settings.cell_diameter_px)
    report = count_by(choice, slide, field.name).report
    white, blasts = report.white_cells, report.blasts
    told = (blasts.value, blasts.low, blasts.high, len(truth), white.value, white.low, white.high)
    return row, level, truth.count("blast"), *told, report.unlike_training


def covered(rows: list[dict[str, str]], truth: str, low: str, high: str) -> str:
    """Return the share of fields whose truth lies in the interval, with its own interval, and the mean width."""
    inside = sum(float(one[low]) <= float(one[truth]) <= float(one[high]) for one in rows)
    share = fraction_interval(inside, len(rows))
    width = np.mean([float(one[high]) - float(one[low]) for one in rows])
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f}), width {width:.2f}"


def table(rows: list[dict[str, str]]) -> None:
    """Print a row a level."""
    print("| fields | n | blasts covered | white cells covered | blasts off by | abstained |")
    print("|---|---|---|---|---|---|")
    for level in LEVELS:
        those = [one for one in rows if one["level"] == level]
        if not those:
            continue
        error = np.mean([abs(float(one["found"]) - float(one["blasts"])) for one in those])
        away = np.mean([bool(one["unlike"]) and float(one["unlike"]) > 1 for one in those])
        blasts = covered(those, "blasts", "low", "high")
        white = covered(those, "white", "white_low", "white_high")
        print(f"| {level} | {len(those)} | {blasts} | {white} | {error:.2f} | {away:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--fields", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / "fields.csv"
    done = set()
    if path.exists():
        with path.open(newline="") as stream:
            done = {int(one["row"]) for one in csv.DictReader(stream)}
    choice = ModelChoice(method=asked.method, model=asked.model, device="cpu")
    todo = [one for one in islice(fields(), asked.fields) if one[0] not in done]
    with path.open("a", newline="") as stream, ProcessPoolExecutor(asked.workers, get_context("spawn")) as pool:
        writer = csv.writer(stream)
        if not done:
            writer.writerow(COLUMNS)
        for result in pool.map(partial(counted, choice), todo, chunksize=4):
            writer.writerow(result)
            stream.flush()
    with path.open(newline="") as stream:
        table(list(csv.DictReader(stream)))


if __name__ == "__main__":
    main()
