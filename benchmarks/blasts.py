"""A lab's own blasts, from a folder of marked fields to counts on others: painted ALL-IDB1, by the commands themselves.

    python benchmarks/blasts.py -o OUT [--finder classical] [--fields 108] [--seed 0] [--epochs N]

Paints fields laid out like ALL-IDB1, runs ``wsi-patches train all_idb1_blasts`` on them, and counts the fields of the
training's test split with the new weights: as they are, out of focus, and painted anew in another stain under another
lamp. A found blast is right when it is the surest found near a painted one. Every step that is done is kept under OUT,
and a run that was killed goes on there. Cells are found by what ``infer`` uses unless ``--finder`` names another.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from wsi_patches.datasets.split_file import read_split
from wsi_patches.evaluate.result import Metric
from wsi_patches.synthetic import AllIdbField, SmearSettings, all_idb1_fields, write_all_idb1
from wsi_patches.workflows.evaluate import EvaluateSettings, evaluate

LEUKEMIC_SHARE = 49 / 108
BLUR_PX = 2.0
"""Further standard deviation of the blur, in pixels, on cells of 62 to 120 px."""
STAIN, LAMP = 1.35, (225.0, 235.0, 215.0)
COLUMNS = "| fields | slides | blasts | blast F1 | precision | recall | blasts a slide, error | white cells F1 |"


def restained(settings: SmearSettings) -> SmearSettings:
    """Return a smear's settings with a stronger stain of other hues, under a greener lamp."""
    return replace(
        settings,
        stain_strength=settings.stain_strength * STAIN,
        nucleus_hue=1 - settings.nucleus_hue,
        red_hue=1 - settings.red_hue,
        lamp_rgb=LAMP,
    )


VERSIONS: dict[str, Callable[[SmearSettings], SmearSettings]] = {
    "sharp": lambda settings: settings,
    "blurred": lambda settings: replace(settings, blur_px=settings.blur_px + BLUR_PX),
    "restained": restained,
}


class Clock:
    """Adds up how long each step took, in a file, over all runs that it took: by the wall, and on processors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, list[float]] = json.loads(path.read_text()) if path.exists() else {}

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Time a step that runs in processes of its own."""
        began = _now()
        try:
            yield
        finally:
            taken = [now - then for now, then in zip(_now(), began, strict=True)]
            before = self.seconds.get(step, [0.0, 0.0])
            self.seconds[step] = [one + more for one, more in zip(before, taken, strict=True)]
            self.path.write_text(json.dumps(self.seconds, indent=1))


def _now() -> tuple[float, float]:
    used = getrusage(RUSAGE_CHILDREN)
    return time.monotonic(), used.ru_utime + used.ru_stime


def paint(folder: Path, fields: Sequence[AllIdbField]) -> None:
    """Paint fields, unless they are there; a folder that was begun is begun again."""
    if folder.exists():
        return
    begun = folder.with_suffix(".begun")
    shutil.rmtree(begun, ignore_errors=True)
    write_all_idb1(begun, fields)
    begun.rename(folder)


def run(clock: Clock, step: str, *words: object) -> None:
    """Run a command of the program, and let it speak."""
    with clock.of(step):
        subprocess.run([sys.executable, "-m", "wsi_patches", *map(str, words)], check=True)


def train(asked: argparse.Namespace, clock: Clock, data: Path) -> Path:
    """Train by the recipe, or go on with it; return the weights."""
    out = asked.out / "trained"
    weights = out / "weights.safetensors"
    if not (out / "training.html").exists():  # the last file that it writes
        flags = [*(["--epochs", asked.epochs] if asked.epochs else []), *(["--resume"] if out.exists() else [])]
        run(clock, "train", "train", "all_idb1_blasts", "--data", data, "-o", out, "--device", "cpu", *flags)
    return weights


def counted(asked: argparse.Namespace, clock: Clock, name: str, data: Path, weights: Path) -> Mapping[str, Any]:
    """Count the test fields of one version, and measure that against what was painted."""
    finder = asked.finder or "default"
    out = asked.out / f"counts_{name}_{finder}"
    flags = [*(["--finder", finder] if asked.finder else []), *(["--resume"] if out.exists() else [])]
    step = f"count {name} with the {finder} finder"
    run(clock, step, "infer", data, "-o", out, "--model", weights, "--device", "cpu", *flags)
    settings = EvaluateSettings(out, out.with_name(f"measured_{name}_{finder}"), annotations=data, overwrite=True)
    return evaluate(settings).results


def told(metric: Metric) -> str:
    """Return a figure with its 95 % interval."""
    return f"{metric.value:.3f} [{metric.interval.low:.3f}, {metric.interval.high:.3f}]"


def row(name: str, results: Mapping[str, Any]) -> str:
    """Return one version's line of the table."""
    blasts, cells, slides = (results[target].metrics for target in ("blasts", "white_cells", "slides"))
    figures = [blasts["f1"], blasts["precision"], blasts["recall"], slides["count_mae"], cells["f1"]]
    painted = int(results["blasts"].true.sum())
    return " | ".join([f"| {name}", str(slides["count_mae"].n), str(painted), *map(told, figures)]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--finder", help="Name or file, as infer takes it; infer's own default if not given.")
    parser.add_argument("--fields", type=int, default=108)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    clock = Clock(asked.out / "seconds.json")
    fields = all_idb1_fields(asked.fields, asked.seed, round(asked.fields * LEUKEMIC_SHARE))
    data = asked.out / "ALL_IDB1"
    paint(data, fields)
    weights = train(asked, clock, data)
    split = read_split(asked.out / "trained" / "split.csv")
    test = {of.id for of, side in zip(split.rows, split.names, strict=True) if side == "test"}
    lines = [COLUMNS, "|" + "---|" * (COLUMNS.count("|") - 1)]
    for name, change in VERSIONS.items():
        folder = asked.out / f"test_{name}"
        paint(folder, [replace(one, settings=change(one.settings)) for one in fields if one.name in test])
        lines.append(row(name, counted(asked, clock, name, folder, weights)))
    print("\n".join(lines))
    print("\n| step | minutes | processor minutes |\n|---|---|---|")
    for step, seconds in clock.seconds.items():
        print(f"| {step} | {seconds[0] / 60:.1f} | {seconds[1] / 60:.1f} |")


if __name__ == "__main__":
    main()
