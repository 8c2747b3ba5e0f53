"""The engine of `infer` against its bare network, side by side in one run: ResNet-18, patches of 224 px.

    python benchmarks/infer.py [-o TABLE.md] [--device cpu|cuda] [--batch-size N] [--rounds 3] [--work DIR]

A slide is painted once, and extracted into a store of its JPEG tiles and one of zstd. Every case is a process of its
own that waits for its turn. In each round all cases of a precision take turns, and the bare network comes back after
every second case; a case is held against the mean of the bare runs before and after it, and the median of the rounds
counts, so that a machine that others use says something all the same. The bare network is the same module in the same
precision and batch size, on tensors that are there already. tiatoolbox's PatchPredictor joins where it is installed, or
where --tiatoolbox-python names another Python that has it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import infer_cases
import psutil

SIDE, COLUMNS = infer_cases.SIDE, 12
POLL_S = 0.02
DEFAULTS = {
    "cpu": {"patches": 96, "slide": 96, "batch_size": 32},
    "cuda": {"patches": 40960, "slide": 2052, "batch_size": 512},
}
"""On a GPU patches come round again: more than a slide's cache of decoded tiles holds."""


@dataclass
class Case:
    """One way to do the work, as a process."""

    name: str
    group: str
    """Precision: what is compared within."""
    asked: dict[str, Any]
    python: str = sys.executable
    process: Any = None
    peak: int = 0
    runs: list[dict[str, float]] = field(default_factory=list)

    def start(self) -> None:
        """Load the network and do one run that does not count."""
        command = [self.python, str(Path(infer_cases.__file__)), json.dumps(self.asked)]
        self.process = psutil.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def turn(self) -> float:
        """Do one run; return its patches a second."""
        with self.watched():
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
            self.runs.append(self._answer())
        return float(self.asked["patches"] / self.runs[-1]["wall_s"])

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, float]:
        for line in self.process.stdout:
            if line.startswith("{"):
                answer: dict[str, float] = json.loads(line)
                return answer
        msg = f"{self.name} ended: see above"
        raise SystemExit(msg)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Keep the largest memory of the process and all below it."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(POLL_S):
                self.peak = max(self.peak, resident(self.process))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def resident(process: psutil.Process) -> int:
    """Return the bytes that a process and its children hold."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended since it was listed
            total += one.memory_info().rss
    return total


def made(work: Path, patches: int) -> dict[str, str]:
    """Paint a slide of whole tiles and extract it, unless that is there; return the path of each source."""
    from wsi_patches.geometry import Size
    from wsi_patches.synthetic import SmearSettings, write_slide
    from wsi_patches.workflows.extract import ExtractSettings, extract

    work.mkdir(parents=True, exist_ok=True)
    slide = work / f"painted_{patches}.tif"
    if not slide.exists():
        settings = SmearSettings.random(3, cell_diameter_px=48.0, blasts_per_mpx=2.0, others_per_mpx=2.0)
        write_slide(slide, Size(COLUMNS * SIDE, patches // COLUMNS * SIDE), settings, 0.25, tile_px=SIDE)
    sources = {"slide": str(slide)}
    for codec in ("jpeg", "zstd"):
        store = work / f"painted_{patches}_{codec}.zarr"
        if not store.exists():
            extract(ExtractSettings((slide,), store, patch_size=SIDE, edge="drop", codec=codec))
        sources[f"{codec} store"] = str(store)
    return sources


def cases(asked: argparse.Namespace) -> Iterator[Case]:
    """Yield all that is compared; the bare network is the first of its precision."""
    sources = made(asked.work, asked.slide_patches)
    usual = {name: getattr(asked, name) for name in ("device", "batch_size", "patches", "readers", "threads")}
    usual |= {"work": str(asked.work / "tiatoolbox")}
    for precision in asked.precision or ("fp32", "bf16"):
        mine = {**usual, "precision": precision, "backend": "torch"}
        yield Case("bare network", precision, {**mine, "case": "bare"})
        for name, path in sources.items():
            yield Case(f"engine, {name}", precision, {**mine, "case": "engine", "source": path})
        for backend, library in (("openvino", "openvino"), ("onnx", "onnxruntime")):
            if asked.device == "cpu" and importlib.util.find_spec(library) and (backend, precision) != ("onnx", "bf16"):
                on_store = {**mine, "case": "engine", "source": sources["jpeg store"], "backend": backend}
                yield Case(f"engine, jpeg store, {backend}", precision, on_store)
        if precision == "fp32" and (asked.tiatoolbox_python or importlib.util.find_spec("tiatoolbox")):
            on_slide = {**mine, "case": "tiatoolbox", "source": sources["slide"], "patches": asked.slide_patches}
            yield Case("tiatoolbox, slide", precision, on_slide, asked.tiatoolbox_python or sys.executable)


def round_of(group: list[Case]) -> dict[str, float]:
    """Run the cases of a precision in turn; return each one's rate over that of the bare runs around it."""
    bare, others = group[0], group[1:]
    ratios, before = {}, bare.turn()
    for pair in (others[start : start + 2] for start in range(0, len(others), 2)):
        rates = {case.name: case.turn() for case in pair}
        after = bare.turn()
        ratios |= {name: 2 * rate / (before + after) for name, rate in rates.items()}
        before = after
    return ratios


def rows(found: list[Case], rounds: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """Yield the table's lines."""
    yield "| what | precision | patches/s | of bare | of bare, each round | device busy | peak MB |"
    yield "|---|---|---|---|---|---|---|"
    for case in found:
        rate = statistics.median(case.asked["patches"] / run["wall_s"] for run in case.runs)
        ratios = [one[case.name] for one in rounds[case.group] if case.name in one]
        busy = [run["busy_s"] / run["wall_s"] for run in case.runs if "busy_s" in run]
        cells = [case.name, case.group, f"{rate:,.1f}"]
        cells += [f"{statistics.median(ratios):.2f}", " ".join(f"{one:.2f}" for one in ratios)] if ratios else ["1", ""]
        cells += [f"{statistics.median(busy):.2f}" if busy else "", f"{case.peak / 1e6:,.0f}"]
        yield "| " + " | ".join(cells) + " |"


def report(asked: argparse.Namespace, found: list[Case], rounds: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """Yield the whole report in Markdown."""
    loads = " ".join(f"{load:.1f}" for load in os.getloadavg())
    yield f"# Inference, {datetime.now(UTC):%Y-%m-%d}\n"
    yield (
        f"ResNet-18, {SIDE} px, device {asked.device}, batches of {asked.batch_size}, {asked.patches} patches a run, "
        f"{asked.rounds} rounds. {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; "
        f"load at the end {loads}.\n"
    )
    yield from rows(found, rounds)
    if not any(case.asked["case"] == "tiatoolbox" for case in found):
        yield "\ntiatoolbox is not installed."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, help="a Markdown file to write the table to")
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="where slide and stores are made")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", action="append", choices=["fp32", "bf16"], help="one alone  [default: both]")
    parser.add_argument("--batch-size", type=int, help="of all cases  [default: 32, on a GPU 512]")
    parser.add_argument("--patches", type=int, help="of a run  [default: 96, on a GPU 40960]")
    parser.add_argument("--slide-patches", type=int, help="of the slide, in rows of 12  [default: 96, on a GPU 2052]")
    parser.add_argument("--readers", type=int, help="reader threads, and tiatoolbox's workers  [default: their own]")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch on a processor  [default: its own]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiatoolbox-python", help="a Python that has tiatoolbox")
    asked = parser.parse_args()
    for name, value in DEFAULTS[asked.device].items():
        option = "slide_patches" if name == "slide" else name
        setattr(asked, option, getattr(asked, option) or value)
    found = list(cases(asked))
    for case in found:
        print(f"{time.strftime('%H:%M:%S')} starting {case.name}, {case.group}", file=sys.stderr)
        case.start()
    rounds: dict[str, list[dict[str, float]]] = {}
    for turn in range(asked.rounds):
        print(f"{time.strftime('%H:%M:%S')} round {turn + 1}", file=sys.stderr)
        for group in dict.fromkeys(case.group for case in found):
            rounds.setdefault(group, []).append(round_of([case for case in found if case.group == group]))
    for case in found:
        case.stop()
    text = "\n".join(report(asked, found, rounds))
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
