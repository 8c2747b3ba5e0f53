"""Kill `wsi-patches extract` at random moments, resume it, and compare with an undisturbed run, over all codecs.

    python benchmarks/kill.py SLIDE [--kills 50] [--work DIR] [--patch-size 256]

SLIDE must be tiled in JPEGs of the patches' size, so that the codec jpeg applies. After each kill the store must verify
but for what is missing; after --resume it must equal the undisturbed one to the byte, with no file more or less.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from wsi_patches.stores import is_store, open_store, verify_store

CODECS = ("zstd", "lz4", "none", "jpeg")


def digests(folder: Path) -> dict[str, str]:
    """Return a hash of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def command(asked: argparse.Namespace, out: Path, codec: str) -> list[str]:
    """Return the command without its ways of dealing with what is there."""
    words = ["extract", asked.slide, "-o", out, "--codec", codec, "--patch-size", asked.patch_size, "-q"]
    return [sys.executable, "-m", "wsi_patches", *map(str, words)]


def kill_once(asked: argparse.Namespace, out: Path, codec: str, after_s: float) -> tuple[bool, list[str]]:
    """Start, kill, and return whether a part was left unfinished, and what in the store is torn."""
    process = subprocess.Popen(command(asked, out, codec))
    time.sleep(after_s)
    process.kill()
    process.wait()
    if not is_store(out):
        return False, []
    problems = [one for one in verify_store(out) if "never completed" not in one and "complete parts" not in one]
    return bool(open_store(out).unfinished), problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    parser.add_argument("--patch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    draw, out = random.Random(asked.seed), asked.work / "killed.zarr"
    asked.work.mkdir(parents=True, exist_ok=True)
    print("| codec | kills | left a part unfinished | torn | unlike the undisturbed store |\n|---|---|---|---|---|")
    for number, codec in enumerate(CODECS):
        whole = asked.work / f"whole_{codec}.zarr"
        began = time.perf_counter()
        subprocess.run([*command(asked, whole, codec), "--overwrite"], check=True)
        seconds, expected = time.perf_counter() - began, digests(whole)
        kills = asked.kills // len(CODECS) + (number < asked.kills % len(CODECS))
        unfinished = torn = unlike = 0
        for _ in range(kills):
            shutil.rmtree(out, ignore_errors=True)
            left, problems = kill_once(asked, out, codec, draw.uniform(0.1, seconds))
            unfinished, torn = unfinished + left, torn + bool(problems)
            subprocess.run([*command(asked, out, codec), "--resume"], check=True)
            unlike += digests(out) != expected
        print(f"| {codec} | {kills} | {unfinished} | {torn} | {unlike} |", flush=True)


if __name__ == "__main__":
    main()
