"""The main job on painted slides: paint, extract, infer, compare. Run by `wsi-patches demo`, or as a script."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wsi_patches.workflows.demo import compare_with_truth, paint_demo_slides, start_demo
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer


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


def run(settings, tell=print):
    """Run the demo and tell what it does."""
    tell("wsi-patches demo: painted slides with known cells, for research use only, never a diagnosis")
    start_demo(settings.out, overwrite=settings.overwrite)
    slides = settings.out / "slides"
    tell(f"1 of 3  painting a {settings.slide_px} px slide and two ALL-IDB1 fields into {slides}")
    truth = paint_demo_slides(slides, settings.seed, settings.slide_px)
    inputs, annotations = (slides / "painted_slide.svs", slides / "all_idb1"), slides / "annotations"
    tell("2 of 3  extract: cutting them into labelled patches")
    store = extract(ExtractSettings(inputs, settings.out / "patches.zarr", annotations=annotations, workers=settings.workers))
    tell(f"3 of 3  infer: counting white cells and blasts (store: {store.patches} patches in {store.out})")
    counted = infer(InferSettings(inputs, settings.out / "counts", model=settings.model, workers=settings.workers))
    for line in ("", *compare_with_truth(counted.reports, truth), "", f"counts: {counted.counts}", "look at:"):
        tell(line)
    for report in counted.reports:
        tell(f"  {counted.out / report.slide_id / 'overlay.png'}   page: {counted.out / report.slide_id / 'report.html'}")


if __name__ == "__main__":
    run(Settings())
