"""Memory of ``wsi-patches infer`` on large slides, and what a thousand small fields in one call cost.

    python benchmarks/infer_batch.py -o FOLDER [--model FILE] [--sides 8192 30208] [--fields 1000] [--only memory]

Large slides are painted once, and counted by the command itself; memory is the peak of all its processes together. The
fields are painted once too. The engine's own rate is that of counting a sample of them in this process, from arrays,
with the models loaded and nothing written, on as many threads as the command has; the command pays for starting, for
loading the models once, for reading, and for five files a field.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import psutil

from wsi_patches.executors.choose import available_cpus
from wsi_patches.geometry import Size
from wsi_patches.infer import ModelChoice, count_by
from wsi_patches.infer.processors import shared_processors
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import SmearSettings, write_slide
from wsi_patches.synthetic.smear import paint_smear

MPP, CELL_PX, FIELD_PX, SAMPLE = 0.25, 48.0, 640, 100
POLL_S = 0.05


def watched(words: list[str]) -> tuple[float, float]:
    """Run the program; return seconds and the peak memory of its processes, MB."""
    began, peak = time.monotonic(), 0
    process = psutil.Popen([sys.executable, "-m", "wsi_patches", *words, "-q"])
    while process.poll() is None:
        peak = max(peak, memory(process))
        time.sleep(POLL_S)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.monotonic() - began, peak / 1e6


def memory(process: psutil.Process) -> int:
    """Return the resident bytes of a process and its children, 0 for one that has ended."""
    try:
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def slide_of(folder: Path, side: int) -> Path:
    """Return a painted slide, painting it if it is not there."""
    path = folder / f"slide_{side}.tif"
    if not path.exists():
        partial_path = folder / "painting.tif"
        settings = SmearSettings.random(1, cell_diameter_px=CELL_PX)
        write_slide(partial_path, Size(side, side), settings, MPP, overwrite=True)
        partial_path.rename(path)
    return path


def fields_of(folder: Path, count: int) -> Path:
    """Return a folder of painted fields, painting those that are not there."""
    fields = folder / "fields"
    fields.mkdir(exist_ok=True)
    for seed in range(count):
        path = fields / f"field_{seed:04}.jpg"
        if not path.exists():
            image, _ = paint_smear(Size(FIELD_PX, FIELD_PX), SmearSettings.random(seed, cell_diameter_px=CELL_PX))
            cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return fields


def own_rate(fields: Path, choice: ModelChoice) -> float:
    """Return how many fields a second are counted from arrays, models loaded, nothing written."""
    paths = sorted(fields.glob("*.jpg"))[:SAMPLE]
    slides = [ArraySlide(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)) for path in paths]
    with ThreadPoolExecutor(available_cpus()) as pool, shared_processors(available_cpus()):
        count = partial(count_by, choice, slide_id="field")
        list(pool.map(lambda slide: count(slide=slide), slides[:4]))
        began = time.monotonic()
        list(pool.map(lambda slide: count(slide=slide), slides))
        return len(slides) / (time.monotonic() - began)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", default="painted-cells-lbp")
    parser.add_argument("--sides", type=int, nargs="*", default=[8192, 30208])
    parser.add_argument("--fields", type=int, default=1000)
    parser.add_argument("--only", choices=("memory", "fields"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.only != "fields":
        print("| slide | seconds | patches of 256 px a second | peak memory, MB |\n|---|---|---|---|")
        for side in asked.sides:
            words = ["infer", str(slide_of(asked.out, side)), "-o", str(asked.out / f"counts_{side}"), "--overwrite"]
            seconds, peak = watched([*words, "--model", asked.model])
            print(
                f"| {side} x {side} px | {seconds:.1f} | {(side / 256) ** 2 / seconds:.1f} | {peak:.0f} |", flush=True
            )
    if asked.only != "memory":
        fields = fields_of(asked.out, asked.fields)
        own = own_rate(fields, ModelChoice(model=asked.model))
        words = ["infer", str(fields), "-o", str(asked.out / "counts_fields"), "--overwrite", "--model", asked.model]
        seconds, peak = watched(words)
        rate = asked.fields / seconds
        print(
            f"{asked.fields} fields of {FIELD_PX} px: {seconds:.1f} s, {rate:.2f} a second, peak {peak:.0f} MB; ",
            end="",
        )
        print(f"counting alone {own:.2f} a second, ratio {rate / own:.2f}")


if __name__ == "__main__":
    main()
