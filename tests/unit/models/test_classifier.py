"""Loading by name or file, and what comes out for patches."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models import MODELS, CellClassifier, ShippedModel
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.weights import save_weights


def test_listing_models_loads_no_torch():
    code = "import sys, wsi_patches.models as m; assert list(m.MODELS); print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_probabilities_are_those_of_the_network(weight_file, network, card, rng):
    images = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    images.flags.writeable = False

    classifier = CellClassifier.load(weight_file, "cpu")
    probabilities = classifier.probabilities(images)

    pixels = (images / 255 - np.array(card.mean)) / np.array(card.std)
    logits = network.eval()(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, logits.softmax(1).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)


def test_an_isotonic_card_reads_probabilities_off_its_points(weight_file, rng):
    images = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    plain = CellClassifier.load(weight_file, "cpu")
    calibrated = replace(plain, card=replace(plain.card, isotonic=((0.0, 0.5), (1.0, 0.7))))

    said, meant = plain.probabilities(images), calibrated.probabilities(images)

    np.testing.assert_allclose(meant[:, 0], 0.5 + 0.2 * said[:, 0], atol=1e-6)
    np.testing.assert_allclose(meant.sum(1), 1, atol=1e-6)


def test_batches_do_not_change_the_answer(weight_file, rng):
    images = rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    classifier = CellClassifier.load(weight_file, "cpu")

    whole, parts = classifier.probabilities(images), [classifier.probabilities(images[i : i + 1]) for i in range(7)]

    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-6)


@pytest.mark.parametrize("side", [20, 75])
def test_patches_of_another_side_are_resized(weight_file, side):
    classifier = CellClassifier.load(weight_file, "cpu")
    flat = [np.full((1, size, size, 3), 120, np.uint8) for size in (side, classifier.card.input_px)]

    np.testing.assert_allclose(classifier.probabilities(flat[0]), classifier.probabilities(flat[1]), atol=1e-5)


def test_no_patch_is_no_row(weight_file):
    assert CellClassifier.load(weight_file, "cpu").probabilities(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 2)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 9, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)]
)
def test_arrays_of_another_kind_are_refused(weight_file, images):
    with pytest.raises(UsageError, match="patches must be uint8"):
        CellClassifier.load(weight_file, "cpu").probabilities(images)


def test_an_unknown_name_lists_the_known():
    known = r"no classifier 'best': give a \.safetensors file or one of painted-cells-lbp"
    with pytest.raises(ModelError, match=known):
        CellClassifier.load("best")


def test_an_altered_shipped_file_is_refused(weight_file, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", ShippedModel(str(weight_file), "0" * 64, "a test's"))

    with pytest.raises(ModelError, match="is not the file that was shipped"):
        CellClassifier.load("tiny", "cpu")


def test_a_gpu_that_is_not_there_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(UsageError, match="use --device cpu"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="choose auto, cpu or cuda"):
        choose_device("tpu")
    assert choose_device("auto") == torch.device("cpu")


def test_a_network_in_training_answers_with_the_weights_that_it_has(network, card, rng):
    images = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    classifier = CellClassifier(network.eval(), card, "", torch.device("cpu"))
    classifier.probabilities(images)

    with torch.no_grad():
        network.fc.weight.zero_()
        network.fc.bias.copy_(torch.tensor([np.log(3.0), 0.0]))

    np.testing.assert_allclose(classifier.probabilities(images), [[0.75, 0.25]] * 3, atol=1e-6)


def test_probabilities_are_computed_in_float32_unless_bf16_is_asked_for(tmp_path, network, card, rng):
    images, weight_file = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), tmp_path / "mild.safetensors"
    with torch.no_grad():
        network.fc.weight *= 1e-10  # fixed kernels of -1, 0 and 1 make large logits
    save_weights(weight_file, network, card)
    auto, fp32, bf16 = (CellClassifier.load(weight_file, "cpu", one) for one in ("auto", "fp32", "bf16"))

    assert (auto.runner.bf16, fp32.runner.bf16, bf16.runner.bf16) == (False, False, True)
    assert np.array_equal(auto.probabilities(images), fp32.probabilities(images))
    assert 0.01 < fp32.probabilities(images).min() < 0.49
    np.testing.assert_allclose(bf16.probabilities(images), fp32.probabilities(images), atol=0.1)


def test_what_a_backend_cannot_do_is_said_when_a_model_is_loaded(weight_file):
    with pytest.raises(UsageError, match="openvino runs on the processor"):
        CellClassifier.load(weight_file, "cuda:0", backend="openvino")
    with pytest.raises(UsageError, match="no backend 'best'"):
        CellClassifier.load(weight_file, backend="best")


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_processor(weight_file, rng):
    images = rng.integers(0, 256, (9, 40, 40, 3), dtype=np.uint8)

    on_cpu, on_gpu = (CellClassifier.load(weight_file, device).probabilities(images) for device in ("cpu", "cuda"))

    np.testing.assert_allclose(on_cpu, on_gpu, atol=2e-3)
