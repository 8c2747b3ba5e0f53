"""A detector that is trained in seconds, on painted fields."""

from tests.unit.train.plain_crops import PLAIN
from wsi_patches.train.detector_settings import DetectorSettings
from wsi_patches.train.engine import EngineSettings

MPP = 12.0 / 36.0
"""At which the painted cells, 36 px wide, are 12 um wide."""
SMALL = DetectorSettings(
    width=32,
    convs=1,
    pretrained=False,
    shares={"train": 0.5, "validation": 0.25, "test": 0.25},
    crop_px=96,
    batch_size=4,
    look=PLAIN,
    slide_mpp=MPP,
    training=EngineSettings(epochs=2, steps_per_epoch=8, learning_rate=3e-3, device="cpu"),
)
