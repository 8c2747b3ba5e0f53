"""How fast and in how much memory `export` writes, beside what encoding the same patches alone allows.

    python benchmarks/export.py [--patches 10000] [--workers 2]

One painted field stands for all slides, so that painting does not take the time; each export is a process of its own.
The encoder alone has as many threads and its patches in memory, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from wsi_patches.export.images import ImageSettings, encode
from wsi_patches.stores import Store, open_store
from wsi_patches.synthetic import LARGE_FIELD, SmearSettings, paint_smear
from wsi_patches.workflows.extract import ExtractSettings, extract

IN_MEMORY = 512
CASES = [
    ("imagefolder", "png"),
    ("imagefolder", "jpeg"),
    ("imagefolder", "webp"),
    ("csv", "png"),
    ("webdataset", "png"),
    ("webdataset", "jpeg"),
    ("all-idb", "tiff"),
]
CHILD = """
import json, resource, sys, time
from pathlib import Path
from wsi_patches.workflows.export import ExportSettings, export
store, out, name, image, workers = sys.argv[1:]
start = time.perf_counter()
image = "png" if image == "tiff" else image
result = export(ExportSettings(Path(store), Path(out), name, image=image, split="none", workers=int(workers)))
seconds = time.perf_counter() - start
print(json.dumps([result.patches, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def make_store(folder: Path, patches: int) -> Store:
    """Extract as many fields as hold that many patches; all are one file under many names."""
    fields = folder / "fields"
    fields.mkdir()
    pixels, _ = paint_smear(LARGE_FIELD, SmearSettings.random(1, blasts=8, others=6))
    cv2.imwrite(str(fields / "f00000.png"), pixels[:, :, ::-1])
    of_field = 13 * 9
    for number in range(1, -(-patches // of_field)):
        (fields / f"f{number:05d}.png").hardlink_to(fields / "f00000.png")
    extract(ExtractSettings((fields,), folder / "a.zarr", overlap=0.25, edge="drop", fsync=False))
    return open_store(folder / "a.zarr")


def encoder_alone(pictures: np.ndarray, image: str, workers: int, patches: int) -> float:
    """Return the seconds for that many patches."""
    settings = ImageSettings(image)
    batches = [pictures[at : at + 16] for at in range(0, len(pictures), 16)]
    wanted = max(1, min(patches, 4000) // len(pictures))
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(wanted):
            list(pool.map(lambda batch: [encode(one, settings) for one in batch], batches))
    return (time.perf_counter() - start) * patches / (wanted * len(pictures))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = make_store(Path(scratch), asked.patches)
        pictures = store.read(np.arange(min(IN_MEMORY, len(store))))
        print(f"{len(store)} patches of 256 px, {asked.workers} threads")
        print(f"{'format':12} {'image':5} {'patches/s':>10} {'encoder/s':>10} {'ratio':>6} {'peak MiB':>9}")
        for name, image in CASES:
            alone = encoder_alone(pictures, image, asked.workers, len(store))
            words = [store.path, Path(scratch, f"{name}-{image}"), name, image, asked.workers]
            child = subprocess.run(
                [sys.executable, "-c", CHILD, *map(str, words)], capture_output=True, text=True, check=True
            )
            patches, seconds, peak = json.loads(child.stdout)
            rates = f"{patches / seconds:10.0f} {patches / alone:10.0f} {alone / seconds:6.2f}"
            print(f"{name:12} {image:5} {rates} {peak:9.0f}", flush=True)


if __name__ == "__main__":
    main()
