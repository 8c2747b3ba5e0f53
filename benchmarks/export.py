"""How fast and in how much memory `export` writes, beside what encoding the same patches alone allows.

    python benchmarks/export.py [--patches 10000] [--work DIR] [--codec zstd] [--workers N] [--only png,parquet:jpeg]
                                [--save FILE.md]

For 100,000 patches the disk must hold the store (14 GB by zstd) and the largest export (20 GB); an export is deleted
once it was measured. One painted field stands for all slides, so that painting does not take the time; the store is
made once in ``--work`` and kept there. Each export is a process of its own, and its memory is that process's own peak
(VmHWM). The encoder alone has as many threads and its patches in memory, and what it makes is thrown away; it runs
before and after each export, so that a busy machine is busy for both. Then the format's own library loads some
patches, which are compared with the store's. ``clock`` is the export's patches a second over the encoder's, ``CPU`` the
same of processor time, user and system.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import cv2
import export_loaders
import numpy as np

from wsi_patches.cells import Cells
from wsi_patches.export.images import ImageSettings, encode
from wsi_patches.geometry import Size
from wsi_patches.stores import open_store
from wsi_patches.synthetic import SmearSettings, paint_smear, write_slide
from wsi_patches.workflows.extract import ExtractSettings, extract

FIELD = Size(3328, 2304)
"""Of 13 x 9 patches of 256 px."""
OF_FIELD = 13 * 9
IN_MEMORY, ENCODED = 512, 2048
LOADED = 1000
FORGET_S = 40
"""Linux passes over the inodes of ext4 that were freed in the last 35 seconds, one by one, at each file that it makes:
an export after the deletion of another one would pay for that."""
CASES = [
    *(("imagefolder", image) for image in ("png", "jpeg", "webp")),
    *(("csv", image) for image in ("png", "jpeg")),
    *(("webdataset", image) for image in ("png", "jpeg")),
    *(("parquet", image) for image in ("png", "jpeg")),
    ("coco", "png"),
    ("yolo", "png"),
    ("hdf5", "pixels"),
    ("all-idb", "tiff"),
]
CHILD = """
import json, resource, sys, time
from pathlib import Path
from wsi_patches.export import find_format
from wsi_patches.workflows.export import ExportSettings, export
store, out, name, image, workers = sys.argv[1:]
image = image if image in ("png", "jpeg", "webp") else "png"
find_format(name)  # which imports what it needs
start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
result = export(ExportSettings(Path(store), Path(out), name, image=image, split="none", workers=int(workers)))
seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
status = Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
print(json.dumps({"patches": result.patches, "seconds": seconds, "cpu": cpu, "peak": peak}))
"""
TITLES = [
    "format",
    "picture",
    "patches/s",
    "encoder/s",
    "clock",
    "CPU",
    "peak MiB",
    "KiB/patch",
    "loaded by",
    "differs",
]


def make_store(folder: Path, patches: int, codec: str) -> Path:
    """Extract as many fields as hold that many patches; all are one file under many names, with marked cells."""
    path = folder / f"{codec}-{patches}.zarr"
    if path.is_dir():
        return path
    suffix, fields = (".tif" if codec == "jpeg" else ".png"), folder / f"fields-{codec}-{patches}"
    shutil.rmtree(fields, ignore_errors=True)
    (fields / "marks").mkdir(parents=True)
    settings = SmearSettings.random(1, blasts=12, others=9)
    first, marks = fields / f"f00000{suffix}", fields / "marks" / "f00000.xyc"
    if codec == "jpeg":
        cells = write_slide(first, FIELD, settings)
    else:
        pixels, cells = paint_smear(FIELD, settings)
        cv2.imwrite(str(first), pixels[:, :, ::-1])
    marks.write_text(sections(cells))
    for number in range(1, -(-patches // OF_FIELD)):
        (fields / f"f{number:05d}{suffix}").hardlink_to(first)
        (fields / "marks" / f"f{number:05d}.xyc").hardlink_to(marks)
    slides = tuple(sorted(fields.glob(f"*{suffix}")))
    asked = ExtractSettings(slides, path, annotations=fields / "marks", codec=codec, fsync=False, overwrite=True)
    failed = [one.error for one in extract(asked).outcomes if one.error]
    if failed:
        raise SystemExit(failed[0])
    return path


def sections(cells: Cells) -> str:
    """Return the lines of an xyc file, whose sections begin with a class's name; points are counted from 1."""
    points = np.round(cells.xy + 1).astype(int).tolist()
    of_class = {
        code: [f"{x} {y}" for (x, y), of in zip(points, cells.class_index, strict=True) if of == code]
        for code in (0, 1)
    }
    return "\n".join(["blasts", *of_class[0], "normal", *of_class[1], ""])


def processor_s() -> float:
    """Return the processor time of this process so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def encoder_alone(pictures: np.ndarray, image: str, workers: int) -> tuple[float, float]:
    """Return the seconds, by the clock and of the processors, that a patch takes."""
    settings = ImageSettings(image)
    batches = [pictures[at : at + 16] for at in range(0, len(pictures), 16)] * (ENCODED // len(pictures))
    start, before = time.perf_counter(), processor_s()
    with ThreadPoolExecutor(workers) as pool:
        count = sum(pool.map(lambda batch: len([encode(one, settings) for one in batch]), batches))
    return (time.perf_counter() - start) / count, (processor_s() - before) / count


def measured(store: Path, out: Path, name: str, image: str, workers: int) -> dict[str, float]:
    """Export in a process of its own and return what that took."""
    words = [str(word) for word in (store, out, name, image, workers)]
    child = subprocess.run([sys.executable, "-c", CHILD, *words], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(child.stdout))


def compared(store: Path, out: Path, name: str) -> str:
    """Load some patches in a process of its own and return how far they are from the store's."""
    words = [str(word) for word in (out, name, store, LOADED)]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(out.parent / "cache")}
    loading = [sys.executable, export_loaders.__file__, *words]
    child = subprocess.run(loading, stdout=subprocess.PIPE, text=True, check=True, env=quiet)
    told = json.loads(child.stdout.splitlines()[-1])
    off = "not" if told["largest"] == 0 else f"by {told['largest']}, {told['mean']:.2f} on average"
    return f"{off} (of {told['loaded']})"


def row_of(store: Path, scratch: Path, case: tuple[str, str], workers: int) -> list[str]:
    """Measure one case and return its row of the table."""
    name, image = case
    pictures = open_store(store).read(np.arange(IN_MEMORY))
    alone = [encoder_alone(pictures, image, workers)] if image != "pixels" else []
    out = scratch / f"{name}-{image}"
    took = measured(store, out, name, image, workers)
    alone += [encoder_alone(pictures, image, workers)] if alone else []
    patches = took["patches"]
    bound, ratios = ["-"], ["-", "-"]
    if alone:
        seconds, cpu = np.mean(alone, axis=0)
        bound = [f"{1 / seconds:.0f}"]
        ratios = [f"{seconds * patches / took['seconds']:.2f}", f"{cpu * patches / took['cpu']:.2f}"]
    files = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    size = f"{sum(files) / patches / 1024:.0f}"
    told = [export_loaders.LOADERS[name][0], compared(store, out, name)]
    shutil.rmtree(out)
    if len(files) > patches:
        time.sleep(FORGET_S)
    return [name, image, f"{patches / took['seconds']:.0f}", *bound, *ratios, f"{took['peak']:.0f}", size, *told]


def wanted(only: str | None) -> list[tuple[str, str]]:
    """Return the cases that were asked for: formats, pictures, or both as ``csv:png``."""
    words = None if only is None else only.split(",")
    return [one for one in CASES if words is None or {*one, ":".join(one)} & set(words)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=10_000)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--codec", default="zstd", choices=["zstd", "lz4", "none", "jpeg"])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only")
    parser.add_argument("--save", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        store = make_store(work, asked.patches, asked.codec)
        scratch = Path(tempfile.mkdtemp(dir=work))
        head = (
            f"{datetime.now(UTC):%Y-%m-%d}, {len(open_store(store))} patches of 256 px, store {asked.codec}, "
            f"{asked.workers} threads, {platform.processor() or platform.machine()}, load {os.getloadavg()[0]:.1f}"
        )
        lines = [head, "", f"| {' | '.join(TITLES)} |", f"|{'---|' * len(TITLES)}"]
        print("\n".join(lines), flush=True)
        for case in wanted(asked.only):
            lines.append(f"| {' | '.join(row_of(store, scratch, case, asked.workers))} |")
            print(lines[-1], flush=True)
        shutil.rmtree(scratch)
    if asked.save:
        asked.save.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
