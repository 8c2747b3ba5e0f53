"""Pictures of what was measured, legible in grey: lines differ by their dashes, not by colour alone.

matplotlib is in the extra ``train``, so it is imported when a picture is drawn; its figures are used as objects, which
needs no display and leaves no state behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.evaluate import scores
from wsi_patches.evaluate.classification import ClassificationResult, ClassResult
from wsi_patches.evaluate.detection import DetectionResult
from wsi_patches.evaluate.result import Result
from wsi_patches.evaluate.risk_coverage import RiskRow
from wsi_patches.evaluate.slides import SlidesResult
from wsi_patches.html_page import line_styles
from wsi_patches.stores.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_bland_altman",
    "draw_class_f1",
    "draw_confusion",
    "draw_f1_threshold",
    "draw_precision_recall",
    "draw_reliability",
    "draw_risk_coverage",
    "draw_roc",
]

DPI = 120
GREY = "0.6"
WIDE_LABEL = 36
"""Letters of a label that is too wide for two columns of a legend."""
LINE_INCH = 0.2


def draw_roc(path: Path, result: ClassificationResult) -> None:
    """Draw the ROC curve of each class against the rest; classes without a patch, or with all, have none."""
    predictions = result.predictions
    with _picture(path, "ROC, each class against the rest", result) as figure:
        axes = figure.add_subplot(xlabel="false positive rate", ylabel="true positive rate")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        for row, index, style in _classes_with_curves(result):
            curve = scores.roc(predictions.truth == index, predictions.probabilities[:, index])
            axes.plot(curve.x, curve.y, **style, label=f"{row.metrics['roc_auc'].value:.3f}  {row.name}")
        _unit_square(axes)
        _legend(figure, axes, "area  class")


def draw_precision_recall(path: Path, result: ClassificationResult) -> None:
    """Draw precision over recall of each class against the rest; classes without a patch, or with all, have none."""
    predictions = result.predictions
    with _picture(path, "Precision and recall, each class against the rest", result) as figure:
        axes = figure.add_subplot(xlabel="recall", ylabel="precision")
        for row, index, style in _classes_with_curves(result):
            curve = scores.precision_recall(predictions.truth == index, predictions.probabilities[:, index])
            name = f"{row.metrics['average_precision'].value:.3f}  {row.name}"
            axes.step(curve.x, curve.y, where="post", **style, label=name)
        _unit_square(axes)
        _legend(figure, axes, "average precision  class")


def draw_f1_threshold(path: Path, result: DetectionResult) -> None:
    """Draw F1, precision and recall of found cells over the least score that counts."""
    curve = result.curve
    with _picture(path, "Detection by the least score that counts", result) as figure:
        axes = figure.add_subplot(xlabel="threshold of the score", ylabel="F1, precision, recall", ylim=(-0.02, 1.02))
        lines = {"F1": curve.f1, "precision": curve.precision, "recall": curve.recall}
        for (name, values), style in zip(lines.items(), line_styles(3), strict=True):
            axes.plot(curve.threshold, values, **style, label=name)
        if len(curve.f1):
            best = int(np.argmax(curve.f1))
            text = f"best F1 here: {curve.f1[best]:.3f} at {curve.threshold[best]:.3g}"
            axes.plot(curve.threshold[best], curve.f1[best], "o", color="black", label=text)
        if result.threshold is not None:
            axes.axvline(result.threshold, color=GREY, linewidth=3, label=f"threshold in use: {result.threshold:.3g}")
        _legend(figure, axes, "")


def draw_class_f1(path: Path, result: ClassificationResult) -> None:
    """Draw the F1 of each class over the least probability at which a patch is called one of it, with the best."""
    predictions = result.predictions
    with _picture(path, "F1 by threshold, each class against the rest", result) as figure:
        axes = figure.add_subplot(xlabel="least probability of the class", ylabel="F1")
        for row, index, style in _classes_with_curves(result):
            curve = scores.precision_recall(predictions.truth == index, predictions.probabilities[:, index])
            f1 = scores.f1_of(curve)
            best = int(np.argmax(f1))
            name = f"{f1[best]:.3f} at {curve.threshold[best]:.2f}  {row.name}"
            axes.step(curve.threshold, f1, where="pre", **style, label=name)
            axes.plot(curve.threshold[best], f1[best], "o", color=style["color"])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        _legend(figure, axes, "best F1 here  class")


def draw_confusion(path: Path, result: ClassificationResult) -> None:
    """Draw the confusion matrix twice: counts, and shares of each true class."""
    counts, names = result.confusion, result.predictions.class_names
    rows = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(rows > 0, rows, 1)
    side = 2.4 + 0.55 * len(names)
    with _picture(path, "Confusion", result, (2 * side, side + 0.6)) as figure:
        left, right = figure.subplots(1, 2)
        _matrix(left, shares, np.char.mod("%d", counts), names, "counts")
        percents = np.where(rows > 0, np.char.mod("%.0f", 100 * shares), "-")
        _matrix(right, shares, percents, names, "% of the true class")


def draw_reliability(path: Path, result: ClassificationResult) -> None:
    """Draw how often the predicted class is right, by how probable it was said to be, over a histogram."""
    predictions = result.predictions
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.predicted == predictions.truth
    error = result.metrics["calibration_error"].value
    with _picture(path, f"Reliability, expected calibration error {error:.3f}", result, (6, 7)) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="perfectly calibrated")
        mean, share = scores.reliability(right, confidence)
        top.plot(mean, share, "ko-", label="as measured")
        top.set(ylabel="share that is right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        top.legend(loc="upper left")
        bins = np.linspace(0, 1, scores.CALIBRATION_BINS + 1)
        bottom.hist(confidence, bins=bins.tolist(), color="0.75", edgecolor="black")
        bottom.set(xlabel="probability of the predicted class", ylabel=f"{result.sampling.unit} count")


def draw_risk_coverage(path: Path, result: ClassificationResult, rows: Sequence[RiskRow]) -> None:
    """Draw the accuracy of what is kept over the share that is put aside, by each measure of doubt, with intervals."""
    kinds = list(dict.fromkeys(row.by for row in rows))
    with _picture(path, "Accuracy of what is kept when the most uncertain are put aside", result, (7, 5)) as figure:
        axes = figure.add_subplot(xlabel="share put aside", ylabel="accuracy of the rest")
        axes.axhline(rows[0].accuracy.value, color=GREY, linewidth=1, label="put aside by chance")
        for kind, style in zip(kinds, line_styles(len(kinds)), strict=True):
            own = [row for row in rows if row.by == kind]
            aside = [row.put_aside for row in own]
            axes.plot(aside, [row.accuracy.value for row in own], **style, marker="o", label=f"by {kind}")
            low, high = ([getattr(row.accuracy.interval, end) for row in own] for end in ("low", "high"))
            axes.fill_between(aside, low, high, color=style["color"], alpha=0.12, linewidth=0)
        axes.set(ylim=(None, 1.02))
        _legend(figure, axes, "")


def draw_bland_altman(path: Path, result: DetectionResult | SlidesResult) -> None:
    """Draw the difference of found and true counts over their mean; larger dots are several fields or slides.

    Raises
    ------
    UsageError
        The slides were not measured against true counts.
    """
    found, true = _counts(result)
    points, several = np.unique(np.stack([(found + true) / 2, found - true], axis=1), axis=0, return_counts=True)
    with _picture(path, "Bland-Altman, counts", result, (7, 5)) as figure:
        axes = figure.add_subplot(xlabel="mean of found and true count", ylabel="found - true")
        axes.axhline(0, color=GREY, linewidth=1)
        axes.scatter(points[:, 0], points[:, 1], s=25 * np.sqrt(several), facecolor="0.8", edgecolor="black", alpha=0.8)
        lines = {"count_limit_high": "95 % limits", "count_bias": "bias", "count_limit_low": "95 % limits"}
        for name, text in lines.items():
            value = result.metrics[name].value
            if not np.isnan(value):
                axes.axhline(value, color="black", linestyle="-" if name == "count_bias" else "--")
                axes.annotate(f"{text} {value:+.2f}", (1, value), xycoords=axes.get_yaxis_transform(), ha="right",
                              xytext=(-4, 3), textcoords="offset points")  # fmt: skip


@contextmanager
def _picture(path: Path, title: str, result: Result, size: tuple[float, float] = (6, 6)) -> Iterator[Figure]:
    """Yield a figure with a title that says of how many; write it as PNG."""
    with needs_extra("train", "evaluate"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    figure.suptitle(f"{title}\n{result.sampling}", fontsize=11, parse_math=False)
    yield figure
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def _classes_with_curves(result: ClassificationResult) -> Iterator[tuple[ClassResult, int, dict[str, Any]]]:
    styles = line_styles(len(result.classes))
    for index, (row, style) in enumerate(zip(result.classes, styles, strict=True)):
        if 0 < row.support < len(result.predictions):
            yield row, index, style


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def _legend(figure: Figure, axes: Axes, title: str) -> None:
    """Put the legend below the plot, growing the figure; a name from a file is never read as mathematics."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    columns = 1 if max(map(len, labels)) > WIDE_LABEL else 2
    figure.set_figheight(figure.get_figheight() + LINE_INCH * (len(labels) / columns + 1))
    legend = figure.legend(
        handles, labels, loc="outside lower center", title=title, fontsize=9, handlelength=4, ncols=columns
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _matrix(
    axes: Axes, shares: NDArray[np.float64], texts: NDArray[np.str_], names: tuple[str, ...], title: str
) -> None:
    """Draw shares as greys with a text in each cell."""
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    axes.set(title=title, xlabel="predicted", ylabel="truth")
    ticks = np.arange(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    for (row, column), text in np.ndenumerate(texts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(text), ha="center", va="center", color=colour, fontsize=9)


def _counts(result: DetectionResult | SlidesResult) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if isinstance(result, DetectionResult):
        return np.asarray(result.found, np.float64), np.asarray(result.true, np.float64)
    if result.counts.true is None:
        msg = "a Bland-Altman picture needs true counts: these slides were measured without"
        raise UsageError(msg)
    return result.counts.predicted, result.counts.true
