"""What the pages of the documentation take for granted, under the names that they use: small, and all of it painted.

Each is made when a page first asks for it; one may be made of another.
"""

import csv
import hashlib
import shutil
from functools import partial

import cv2
import numpy as np
import yaml

from tests import made_datasets
from tests.painted_attributes import write_leukemia_attri
from tests.painted_diagnoses import TYPES, write_counts
from tests.tiny_blip import write_tiny_blip
from tests.unit.models.counter_card import CARD as COUNTER
from tests.unit.train.small_fields import painted_fields
from wsi_patches.geometry import Size
from wsi_patches.models import ALLNet, ModelCard, save_weights
from wsi_patches.models.aggregators import AttentionMil
from wsi_patches.models.bag_card import BagCard
from wsi_patches.models.count_network import CellCountNet
from wsi_patches.models.encoders import ENCODERS
from wsi_patches.models.patient_labels import PatientCard, PatientModel
from wsi_patches.models.table import find_model
from wsi_patches.stores import open_store
from wsi_patches.synthetic import SmearSettings, paint_cell_patches, paint_smear, write_all_idb1, write_slide
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer

DEMO_MODEL = "painted-cells-lbp"
FIELD = Size(420, 320)
PATIENTS = 6
SCANNED = SmearSettings.random(3, cell_diameter_px=48.0, blasts=5, others=5)
PRESENCE = ModelCard(
    name="presence", title="Has a patch a blast?", architecture="allnet", settings={"widths": [4, 8]},
    classes=("blast", "none"), input_px=32, mean=(0.8, 0.7, 0.8), std=(0.2, 0.25, 0.1), trained_on="nothing",
    limits="knows nothing", licence="Apache-2.0", patch_cell_diameters=5.0,
)  # fmt: skip


class Given:
    """Things that lie ready, each made once."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        """Return the path of a thing, which is made if it is not there."""
        path = self.folder / name
        if not path.exists():
            MAKERS[name](self, path)
        return path

    def lay(self, name, folder):
        """Copy a thing into a page's folder."""
        made = self(name)
        (shutil.copytree if made.is_dir() else shutil.copy2)(made, folder / name)


def write_marks(path, cells):
    """Write cells as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(("x", "y", "class"))
        for (x, y), index in zip(cells.xy, cells.class_index, strict=True):
            rows.writerow((x, y, cells.class_names[index]))


def slides(given, path):
    """Photographs of six patients' smears; their marks lie in ``marks``."""
    path.mkdir()
    (given.folder / "marks").mkdir()
    for number in range(1, PATIENTS + 1):
        settings = SmearSettings.random(60 + number, cell_diameter_px=36.0, blasts=number, others=3, touching=0.0)
        pixels, cells = paint_smear(FIELD, settings)
        cv2.imwrite(str(path / f"P{number}_a.png"), pixels[..., ::-1])
        write_marks(given.folder / "marks" / f"P{number}_a.csv", cells)


def one_slide(given, path):
    """A scanner's file, with marks of its own."""
    given("slides")
    write_marks(given.folder / "marks" / f"{path.stem}.csv", write_slide(path, Size(768, 640), SCANNED))


def field(given, path):
    """One of the photographs, under a name of its own."""
    first = cv2.imread(str(given("slides") / "P1_a.png"))
    cv2.imwrite(str(path), first)
    shutil.copy2(given("marks") / "P1_a.csv", given.folder / "marks" / f"{path.stem}.csv")


def patients(given, path):
    """Whose slide is whose."""
    path.write_text("image,patient\n" + "".join(f"P{number}_a,P{number}\n" for number in range(1, PATIENTS + 1)))


def store(given, path):
    """The patches of the slides, with marks and patients."""
    whose = "^(?P<patient>P[0-9]+)"
    extract(ExtractSettings((given("slides"),), path, annotations=given("marks"), patch_size=128, group_pattern=whose))


def labelled_cells(given, path):
    """A store of single cells of ten patients, blasts and others."""
    images, classes = paint_cell_patches(40, 3, 64, 1.5)
    for row, (image, index) in enumerate(zip(images, classes.tolist(), strict=True)):
        folder = given.folder / "class-folders" / ("blast", "other")[index]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"P{row // 4}_{row}.png"), image[..., ::-1])
    extract(ExtractSettings((given.folder / "class-folders",), path, group_pattern="^(?P<patient>P[0-9]+)"))


def predictions(given, path):
    """What somebody's model says of the cells of ``cells.zarr``."""
    records = open_store(given("cells.zarr")).slides
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(("id", "group", "truth", "p_blast", "p_other"))
        for number, record in enumerate(records):
            sure = (0.9 if record.label == "blast" else 0.1) if number % 7 else 0.4
            rows.writerow((record.id, record.group, record.label, sure, 1 - sure))


def weights(_given, path, network=None, card=None):
    """A classifier of cells, the demo's, or an untrained network."""
    if network is None:
        shutil.copy2(find_model(DEMO_MODEL)[0], path)
    else:
        save_weights(path, network(), card)


def encoder(given, path):
    """A small network as an encoder, with weights that lie elsewhere."""
    weights = given("classifier.safetensors")
    values = {
        "name": "mine", "library": "wsi-patches", "network": "allnet", "options": {"widths": [4, 8]}, "dim": 8,
        "weights": str(weights), "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "input_px": 32,
        "mean": list(PRESENCE.mean), "std": list(PRESENCE.std),
    }  # fmt: skip
    path.write_text(yaml.safe_dump(values))


def counts(given, path):
    """What ``infer`` counted on the slides."""
    infer(InferSettings((given("slides"),), path, model=DEMO_MODEL))


def corrected(given, path):
    """Cells of the scanner's file as QuPath exports them."""
    counted = given.folder / "counted-for-qupath"
    infer(InferSettings((given("slide.tif"),), counted, model=DEMO_MODEL))
    path.mkdir()
    shutil.copy2(counted / "slide" / "cells.geojson", path / "slide.geojson")


def blip(_given, path):
    """A captioner of some thousand weights, drawn by chance."""
    path.mkdir()
    write_tiny_blip(path)


def patients_model(_given, path):
    """Write a model of patients that learnt nothing."""
    labels = ("painted_all", "painted_normal")
    card = PatientCard(
        name="labels", title="Two labels", architecture="logistic_regression", settings={}, classes=labels,
        types=tuple(TYPES), trained_on="nothing", limits="knows nothing", licence="Apache-2.0", split="none",
    )  # fmt: skip
    PatientModel(card, np.zeros((len(TYPES), 2)), np.zeros(2)).save(path)


def bags_model(_given, path):
    """Write a model of slide bags that learnt nothing, for features of the encoder that comes with the package."""
    encoder = ENCODERS["lite0"]
    card = BagCard(
        name="bags", title="Two labels", architecture="attention_mil", settings={"dim": encoder.dim, "gated": True},
        classes=("control", "leukemic"), trained_on="nothing", limits="knows nothing", licence="Apache-2.0",
        bag="patient", encoder=encoder.identity, patches={"size_px": 128}, split="none",
    )  # fmt: skip
    save_weights(path, AttentionMil(2, encoder.dim, gated=True), card)


MAKERS = {
    "ALL_IDB1": lambda _given, path: write_all_idb1(path, painted_fields(10)),
    "blip": blip,
    "bags.safetensors": bags_model,
    "BCCD": lambda _given, path: made_datasets.bccd(path),
    "C-NMC": lambda _given, path: made_datasets.c_nmc(path),
    "cells.zarr": labelled_cells,
    "class-folders": lambda given, _path: given("cells.zarr"),
    "classifier.safetensors": partial(weights, network=partial(ALLNet, widths=(4, 8), seed=11), card=PRESENCE),
    "corrected": corrected,
    "counter.safetensors": partial(weights, network=partial(CellCountNet, width=8), card=COUNTER),
    "counts": counts,
    "field.jpg": field,
    "field.png": field,
    "LEUKEMIA_ATTRI": lambda _given, path: write_leukemia_attri(path, 3),
    "marked": lambda given, path: shutil.copytree(given("slides"), path),
    "marks": lambda given, _path: given("slides"),
    "patches.safetensors": partial(weights, network=partial(ALLNet, widths=(4, 8), seed=11), card=PRESENCE),
    "patches.zarr": store,
    "patients.csv": patients,
    "my_encoder.yaml": encoder,
    "predictions.csv": predictions,
    "slide.svs": one_slide,
    "slide.tif": one_slide,
    "slides": slides,
    "type-counts": lambda _given, path: write_counts(path, 30),
    "diagnosis.safetensors": patients_model,
    "weights.safetensors": weights,
}
"""Name to what makes it."""
