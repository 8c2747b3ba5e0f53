"""What the focus score and sharpening do on painted smears of known blur.

    python benchmarks/sharpening.py [--slides 20] [--side 1024] [--threshold 7.1]

Ranks: of two blurs one step apart, how often the blurrier patch has the higher FQPath score. Then the demo's model: F1
of the blasts it finds on sharp and on blurred smears, without and with sharpening, and the difference with a 95 %
interval (bootstrap over slides, paired).
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from wsi_patches.cells import Cells
from wsi_patches.counting import match_points_to_boxes
from wsi_patches.geometry import Size
from wsi_patches.imaging.focus import fqpath
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer import count_slide, load_classifier
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import SmearSettings, paint_smear

SIGMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
CLASSIFIED = (0.0, 1.0, 2.0, 3.0)
PATCH, RESAMPLES = 256, 10_000
MODEL, DIAMETER_PX = "painted-cells-lbp", 60.0


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur as a lens out of focus, roughly: by a Gaussian."""
    return image if not sigma else cv2.GaussianBlur(image, (0, 0), sigma)


def patches_of(image: np.ndarray) -> np.ndarray:
    """Cut into whole patches."""
    rows, columns = (length // PATCH for length in image.shape[:2])
    cut = image[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH, 3)
    return cut.swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3)


def ranked(images: list[np.ndarray]) -> None:
    """Print how often one step more of blur scores higher."""
    scores = np.array([[fqpath(patches_of(blurred(image, sigma))) for sigma in SIGMAS] for image in images])
    right = np.diff(scores, axis=1) > 0
    print("| blur, sigma px | median score | ranked right against the next |\n|---|---|---|")
    for step, sigma in enumerate(SIGMAS):
        share = f"{right[:, step].mean():.4f}" if step < len(SIGMAS) - 1 else "-"
        print(f"| {sigma:g} | {np.median(scores[:, step]):.2f} | {share} |")
    print(f"\nranked right in {right.mean():.4f} of {right.size} pairs\n")


def hits(image: np.ndarray, truth: Cells, sharpen: SharpenSettings | None) -> np.ndarray:
    """Return true positives, false positives and misses of the blasts on one smear."""
    _, cells = count_slide(ArraySlide(image), "smear", load_classifier(MODEL, "cpu"), sharpen)
    found = cells.class_index == cells.class_names.index("blast")
    centres = truth.xy[truth.class_index == truth.class_names.index("blast")]
    boxes = np.hstack([centres - DIAMETER_PX / 2, centres + DIAMETER_PX / 2])
    return np.array(match_points_to_boxes(cells.xy[found], cells.score[found], boxes))


def f1(counts: np.ndarray) -> float:
    """Return F1 of summed counts."""
    true, false, missed = counts.sum(axis=0)
    return 2 * true / max(1, 2 * true + false + missed)


def classified(smears: list[tuple[np.ndarray, Cells]], threshold: float) -> None:
    """Print what sharpening does to F1."""
    draw = np.random.default_rng(1)
    print(
        "| blur, sigma px | sharpening | F1 without | F1 with | difference | 95 % interval |\n|---|---|---|---|---|---|"
    )
    for sigma in CLASSIFIED:
        images = [(blurred(image, sigma), truth) for image, truth in smears]
        without = np.array([hits(image, truth, None) for image, truth in images])
        for keep in ("last", "best"):
            settings = SharpenSettings(threshold, keep=keep)
            with_it = np.array([hits(image, truth, settings) for image, truth in images])
            rows = draw.integers(0, len(images), (RESAMPLES, len(images)))
            differences = [f1(with_it[row]) - f1(without[row]) for row in rows]
            low, high = np.percentile(differences, [2.5, 97.5])
            one, other = f1(without), f1(with_it)
            print(f"| {sigma:g} | {keep} | {one:.3f} | {other:.3f} | {other - one:+.3f} | {low:+.3f} to {high:+.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--threshold", type=float, default=7.1)
    asked = parser.parse_args()
    size = Size(asked.side, asked.side)
    seeds = range(1000, 1000 + asked.slides)
    smears = [paint_smear(size, SmearSettings.random(seed, cell_diameter_px=DIAMETER_PX)) for seed in seeds]
    ranked([image for image, _ in smears])
    classified(smears, asked.threshold)


if __name__ == "__main__":
    main()
