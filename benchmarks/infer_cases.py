"""What benchmarks/infer.py compares: a process for each case, which runs once for every line that it is sent.

It prints one line of JSON when it is ready and one for every run, and needs nothing but what its own case imports.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

SIDE, CLASSES, SEED = 224, 2, 0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Figures = dict[str, Any]


def backend_of(asked: Figures) -> Any:
    """Return ResNet-18 with random weights, run as is asked."""
    from types import SimpleNamespace

    import torch

    from wsi_patches.models.backends import make_backend
    from wsi_patches.models.torchvision_networks import resnet18

    torch.manual_seed(SEED)
    frame = SimpleNamespace(input_px=SIDE, mean=MEAN, std=STD)
    return make_backend(resnet18(CLASSES).eval(), frame, asked["device"], asked["precision"], asked["backend"])


def turns(run: Callable[[int], Figures], asked: Figures) -> Iterator[Figures]:
    """Yield once when two batches have gone through, which sets everything up, then after every whole run."""
    run(2 * asked["batch_size"])
    yield {}
    while True:
        yield run(asked["patches"])


def bare(asked: Figures) -> Iterator[Figures]:
    """Run the same module on random tensors that are normalised, of its own type and on its device already."""
    import torch

    backend = backend_of(asked)
    type_ = torch.bfloat16 if backend.bf16 else torch.float32
    images = torch.randn(asked["batch_size"], 3, SIDE, SIDE, device=backend.device, dtype=type_)
    images = images.contiguous(memory_format=torch.channels_last)

    def run(patches: int) -> Figures:
        with torch.inference_mode(), torch.autocast(backend.device.type, torch.bfloat16, enabled=backend.bf16):
            for start in range(0, patches, asked["batch_size"]):
                outputs = backend.network(images[: patches - start])
            outputs.float().cpu()
        return {}

    yield from turns(run, asked)


def engine(asked: Figures) -> Iterator[Figures]:
    """Run the engine on a store or straight on a slide, which is opened anew each time."""
    import numpy as np

    from wsi_patches import open_slide, open_store
    from wsi_patches.grid import PatchGrid, PatchSpec
    from wsi_patches.infer.engine import Engine, EngineSettings
    from wsi_patches.patch import GridSource, SlideRecord

    runs = Engine(backend_of(asked), EngineSettings(batch_size=asked["batch_size"], readers=asked["readers"]))

    def run_on(source: Any, patches: int) -> Figures:
        positions = np.arange(patches) % len(source)
        return {"busy_s": sum(batch.seconds for batch in runs.run(source, positions))}

    def run(patches: int) -> Figures:
        if asked["source"].endswith(".zarr"):
            return run_on(open_store(asked["source"]), patches)
        with open_slide(asked["source"]) as slide:
            grid = PatchGrid(slide.info.size, PatchSpec(SIDE, edge="drop"))
            return run_on(GridSource(slide, grid, SlideRecord("slide", "", "", (0, 0), ())), patches)

    yield from turns(run, asked)


def tiatoolbox(asked: Figures) -> Iterator[Figures]:
    """Run tiatoolbox's PatchPredictor on all patches of the slide, its own ResNet-18 with random weights."""
    import torch
    from tiatoolbox.models.architecture.vanilla import CNNModel
    from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
    from tiatoolbox.models.engine.patch_predictor import PatchPredictor

    torch.manual_seed(SEED)
    model = CNNModel("resnet18", CLASSES)
    predictor = PatchPredictor(
        model, asked["batch_size"], num_workers=asked["readers"] or 0, device=asked["device"], verbose=False
    )
    config = IOPatchPredictorConfig(
        patch_input_shape=[SIDE, SIDE],
        stride_shape=[SIDE, SIDE],
        input_resolutions=[{"units": "baseline", "resolution": 1.0}],
    )

    def run(_patches: int) -> Figures:
        said = predictor.run(
            [asked["source"]],
            patch_mode=False,
            ioconfig=config,
            auto_get_mask=False,
            output_type="zarr",
            overwrite=True,
            save_dir=asked["work"],
        )
        return {"said": str(said)}

    yield from turns(run, asked)


CASES: dict[str, Callable[[Figures], Iterator[Figures]]] = {"bare": bare, "engine": engine, "tiatoolbox": tiatoolbox}


def main() -> None:
    asked = json.loads(sys.argv[1])
    if asked["threads"]:
        import torch

        torch.set_num_threads(asked["threads"])
    case = CASES[asked["case"]](asked)
    next(case)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        figures = next(case)
        print(json.dumps({**figures, "wall_s": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
