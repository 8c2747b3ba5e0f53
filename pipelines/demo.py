"""The main job on painted slides: paint, extract, infer, compare. Run by `wsi-patches demo`, or as a script."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wsi_patches.workflows import demo, extract, infer
from wsi_patches.workflows.leading import SILENT, Watch


@dataclass(frozen=True)
class Settings:
    """What the demo is asked to do."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    out: Path = Path("demo-out")
    model: str = "painted-cells-lbp"
    seed: int = 1
    slide_px: int = 8192
    workers: int | None = None
    overwrite: bool = False


def run(settings: Settings, tell: Callable[[str], None] = print, watch: Watch = SILENT) -> int:
    """Run the demo and tell what it does."""
    out, slides = settings.out, settings.out / "slides"
    tell(f"wsi-patches demo: painting a {settings.slide_px} px slide and two ALL-IDB1 fields into {slides}")
    demo.start_demo(out, overwrite=settings.overwrite)
    truth = demo.paint_demo_slides(slides, settings.seed, settings.slide_px)
    inputs, marks = (slides / "painted_slide.svs", slides / "all_idb1"), slides / "annotations"
    tell("extract: cutting them into labelled patches; then infer: finding white cells, telling blasts from others")
    cut = extract.ExtractSettings(inputs, out / "patches.zarr", annotations=marks, workers=settings.workers)
    count = infer.InferSettings(inputs, out / "counts", model=settings.model, workers=settings.workers)
    demo.tell_demo(extract.extract(cut, watch), infer.infer(count, watch), truth, tell)
    return 0


if __name__ == "__main__":
    run(Settings())
