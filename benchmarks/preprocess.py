"""Focus scores and sharpening, on one core: patches a second, and each beside what it is to be measured by.

    python benchmarks/preprocess.py [--patches 60] [--rounds 5] [--side 256]

Patches are cut from a painted smear. Each figure is the fastest of some rounds, the rounds of all rows taking turns,
so that a busy moment of the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from scipy.ndimage import correlate1d, gaussian_filter
from skimage.color import lab2rgb, rgb2lab
from threadpoolctl import threadpool_limits

from wsi_patches.geometry import Box, Size
from wsi_patches.imaging.focus import GREY_WEIGHTS, fqpath, grey, laplacian_variance
from wsi_patches.imaging.focus_taps import BAND_PASS, LOW_PASS
from wsi_patches.imaging.focus_torch import fqpath_torch
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively, unsharp
from wsi_patches.synthetic import Smear, SmearSettings

SOFT_SIGMAS_PX = (1.0, 1.5, 2.0, 4.0)
"""Blur of the soft patches; 4 px is beyond what sharpening brings back, so that every radius is tried."""


def transcription(patch: np.ndarray) -> float:
    """Score one patch, uint8 RGB, by the steps of the method in float64, as one would write them down with SciPy."""
    plane = np.floor(patch @ np.array(GREY_WEIGHTS) + 0.5) / 255

    def filtered(axis: int) -> np.ndarray:
        low = correlate1d(plane, LOW_PASS, axis, mode="reflect")
        return correlate1d(low, BAND_PASS, axis, mode="reflect")

    across, down = filtered(1), filtered(0)
    mask = (across > 0) & (down > 0)
    across, down = across[mask], down[mask]
    frequency, edges = np.histogram(np.concatenate([across, down]), 50)
    centres, cumulated = (edges[:-1] + edges[1:]) / 2, np.cumsum(frequency) / frequency.sum()
    bins = np.count_nonzero(cumulated < cumulated[0] + 0.95 * (1 - cumulated[0]))
    share = (1 - math.tanh(60 * (centres[bins - 1] / centres[-1] - 0.095))) / 4 + 0.09
    features = np.sort((np.sqrt(across) + np.sqrt(down)) ** 2)[::-1]
    top = features[: math.floor(share * len(features) + 0.5)]
    return -math.log10(np.mean((top - top.mean()) ** 4))


def painted_patches(number: int, side: int) -> np.ndarray:
    """Cut patches from a painted smear, uint8 RGB of shape (n, h, w, 3)."""
    columns = math.ceil(math.sqrt(number))
    smear = Smear(Size(columns * side, columns * side), SmearSettings(seed=11))
    pixels = smear.paint_window(Box(0, 0, columns * side, columns * side))
    cut = pixels.reshape(columns, side, columns, side, 3).swapaxes(1, 2)
    return np.ascontiguousarray(cut.reshape(-1, side, side, 3)[:number])


def plain_unsharp(image: np.ndarray, radius: int) -> np.ndarray:
    """Sharpen the lightness of one image through scikit-image's L*a*b*."""
    lab = rgb2lab(image)
    soft = gaussian_filter(lab[..., 0], radius, mode="nearest", radius=2 * radius)
    lab[..., 0] += 0.8 * (lab[..., 0] - soft)
    return np.floor(255 * lab2rgb(lab) + 0.5).astype(np.uint8)


def one_in_five_soft(sharp: np.ndarray, sigma_px: float) -> np.ndarray:
    """Blur every fifth patch."""
    patches = sharp.copy()
    for index in range(0, len(patches), 5):
        patches[index] = cv2.GaussianBlur(patches[index], (0, 0), sigma_px)
    return patches


def fastest(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least seconds of each work, taking turns; once before to warm up."""
    seconds = dict.fromkeys(works, math.inf)
    for turn in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                seconds[name] = min(seconds[name], time.perf_counter() - began)
    return seconds


def scoring(patches: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return the ways to score, the one to measure by first."""
    works: dict[str, Callable[[], object]] = {
        "FQPath, plain SciPy transcription, float64": lambda: [transcription(patch) for patch in patches],
        "FQPath, batch, float64": lambda: fqpath(patches),
        "FQPath, batch, float32": lambda: fqpath(patches, precision="float32"),
        "FQPath, torch on the CPU, float32": lambda: fqpath_torch(patches),
        "variance of the Laplacian": lambda: laplacian_variance(patches),
        "grey alone": lambda: grey(patches),
    }
    if torch.cuda.is_available():
        on_gpu = torch.as_tensor(patches, device="cuda")
        works["FQPath, torch on the GPU, float32, patches there"] = lambda: fqpath_torch(on_gpu).cpu()
        works["FQPath, torch on the GPU, float32, with the copy"] = lambda: fqpath_torch(patches, "cuda").cpu()
    return works


def unsharping(patches: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return the ways to sharpen whatever comes, the one to measure by first."""
    works: dict[str, Callable[[], object]] = {
        "scikit-image's L*a*b*, radius 9 px": lambda: [plain_unsharp(patch, 9) for patch in patches]
    }
    for radius in (1, 9, 17):
        works[f"unsharp, radius {radius} px"] = lambda radius=radius: [unsharp(patch, radius) for patch in patches]
    return works


def print_table(title: str, seconds: dict[str, float], patches: int) -> None:
    """Print a Markdown table whose first row is the measure of the others."""
    measure = next(iter(seconds.values()))
    print(f"\n| {title} | ms/patch | patches/s | times as fast as the first |\n|---|---|---|---|")
    for name, spent in seconds.items():
        print(f"| {name} | {1e3 * spent / patches:.3f} | {patches / spent:.0f} | {measure / spent:.2f} |", flush=True)


def print_loop(sharp: np.ndarray, rounds: int) -> None:
    """Print what the adaptive loop costs beside scoring alone."""
    sharp = sharp[np.argsort(fqpath(sharp))]
    # The blurriest tenth of the painted patches is left out: here "sharp" is what is not blurred and scores so.
    sharp = sharp[: len(sharp) * 9 // 10]
    threshold = float(fqpath(sharp).max())
    print(f"\n| adaptive loop, threshold {threshold:.2f}, one in five blurred by | scoring alone, ms/patch |", end="")
    print(" loop, ms/patch | sharpened | tries for each | loop / scoring |\n|---|---|---|---|---|---|")
    for sigma_px in SOFT_SIGMAS_PX:
        patches = one_in_five_soft(sharp, sigma_px)
        settings = SharpenSettings(threshold)
        works: dict[str, Callable[[], object]] = {
            "score": lambda patches=patches: fqpath(patches, precision="float32"),
            "loop": lambda patches=patches, settings=settings: sharpen_adaptively(patches, settings),
        }
        radius = sharpen_adaptively(patches, settings).radius_px.astype(int)
        score, loop = (1e3 * spent / len(patches) for spent in fastest(works, rounds).values())
        counts = f"{np.count_nonzero(radius) / len(radius):.0%} | {((radius[radius > 0] + 1) / 2).mean():.1f}"
        print(f"| {sigma_px:g} px | {score:.3f} | {loop:.3f} | {counts} | {loop / score:.2f} |", flush=True)


def print_tables(options: argparse.Namespace) -> None:
    """Print all tables, on as many cores as are allowed."""
    sharp = painted_patches(options.patches, options.side)
    apart = max(abs(transcription(patch) - fqpath(patch)) for patch in sharp[:10])
    print(f"{len(sharp)} painted patches of {options.side} px, one core; batch and transcription differ by {apart:.1e}")
    print_table("score", fastest(scoring(sharp), options.rounds), len(sharp))
    print_table("unsharp masking", fastest(unsharping(sharp[:20]), options.rounds), len(sharp[:20]))
    print_loop(sharp, options.rounds)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=256, help="of the patches, in pixels")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        print_tables(options)


if __name__ == "__main__":
    main()
