"""The seven networks up to the layer that the paper takes, and what patches go through before them."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import nn

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.models.system import IMAGENET, Colours
from wsi_patches.train.effect_arms import by_neighbours
from wsi_patches.train.effect_network import MeanSubtracted, frozen_encoder, system_of
from wsi_patches.train.nearest import nearest

PX = 64


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a function that writes random weights as torchvision publishes them, and returns path and network."""
    folder, made = tmp_path_factory.mktemp("weights"), {}

    def write(name):
        if name not in made:
            from torchvision import models

            torch.manual_seed(9)
            network = getattr(models, name)(weights=None).eval()
            torch.save(network.state_dict(), folder / "new.pth")
            digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
            made[name] = ((folder / "new.pth").rename(folder / f"{name}-{digest[:8]}.pth"), network)
        return made[name]

    return write


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (2, PX, PX, 3), dtype=np.uint8)


def scaled(images):
    pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
    return (pixels - torch.tensor(IMAGENET.mean).view(3, 1, 1)) / torch.tensor(IMAGENET.std).view(3, 1, 1)


@torch.inference_mode()
def features_of(name, path, images, layer="published", subtract="none"):
    return frozen_encoder(name, path, layer, subtract, PX, "cpu").features(images)


def test_alexnet_gives_fc6_before_its_relu(published, images):
    path, network = published("alexnet")
    with torch.inference_mode():
        maps = network.avgpool(network.features(scaled(images))).flatten(1)
        expected = network.classifier[1](maps)
        pooled = network.features(scaled(images)).mean(dim=(2, 3))
    assert (expected < 0).any()
    np.testing.assert_allclose(features_of("alexnet", path, images), expected, rtol=1e-3, atol=1e-4)
    assert expected.shape == (2, 4096)
    np.testing.assert_allclose(features_of("alexnet", path, images, "pooled"), pooled, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "densenet201"])
def test_resnet_and_densenet_give_their_logits(published, images, name):
    path, network = published(name)
    with torch.inference_mode():
        expected = network(scaled(images))
    features = features_of(name, path, images)
    assert features.shape == (2, 1000)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    wide = {"resnet18": 512, "densenet201": 1920}[name]
    assert features_of(name, path, images, "pooled").shape == (2, wide)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_vggs_fc6_is_the_first_layer_of_its_classifier(name):
    """On the meta device: the files would be half a gigabyte."""
    with torch.device("meta"):
        network = system_of(name).build(1000)
    first, second = network.classifier[:2]
    assert (first.in_features, first.out_features) == (512 * 7 * 7, 4096)
    assert isinstance(second, nn.ReLU)


def test_lite0_needs_no_file(images):
    assert features_of("lite0", None, images).shape == (2, 1280)


def test_logits_need_the_files_own_last_layer(tmp_path, images):
    network = system_of("resnet18").build(3)
    torch.save(network.state_dict(), tmp_path / "new.pth")
    digest = hashlib.sha256((tmp_path / "new.pth").read_bytes()).hexdigest()
    path = (tmp_path / "new.pth").rename(tmp_path / f"resnet18-{digest[:8]}.pth")
    with pytest.raises(ModelError, match=r"holds weights of another network: .* fc\."):
        features_of("resnet18", path, images)
    assert features_of("resnet18", path, images, "pooled").shape == (2, 512)


def test_without_weights_there_is_a_sentence(images):
    with pytest.raises(UsageError, match=r"resnet18 has no weights here: give their file with --weights.*lite0"):
        features_of("resnet18", None, images)
    with pytest.raises(ModelError, match="no architecture 'resnet19'"):
        features_of("resnet19", None, images)


def test_the_mean_is_subtracted_as_numbers_or_as_the_code_does_it(images):
    pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
    own = images.reshape(2, -1).mean(axis=1)
    colours = Colours((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))

    def through(subtract):
        shown = MeanSubtracted(nn.Identity(), colours, subtract)(pixels).permute(0, 2, 3, 1).numpy()
        return shown * 0.5

    numbers = through("float")
    np.testing.assert_allclose(numbers, images / 255 - own[:, None, None, None] / 255, atol=1e-5)
    assert abs(numbers.mean()) < 1e-5
    clipped = np.floor(np.clip(images - own[:, None, None, None] + 0.5, 0, 255))  # MATLAB's uint8: rounded, no sign
    np.testing.assert_allclose(through("uint8") + colours.mean, clipped / 255, atol=1e-5)
    assert 0.4 < (clipped == 0).mean() < 0.6  # half of the range is lost, which is why it is no default
    np.testing.assert_allclose(through("none") + colours.mean, images / 255, atol=1e-5)


def test_neighbours_are_scikit_learns(rng):
    gallery, queries = rng.normal(size=(300, 8)).astype(np.float32), rng.normal(size=(270, 8)).astype(np.float32)
    expected = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(gallery).kneighbors(queries)[1]
    assert np.array_equal(nearest(gallery, queries, 5), expected)
    assert nearest(gallery[:3], queries, 5).shape == (270, 3)
    with pytest.raises(UsageError, match="empty gallery"):
        nearest(gallery[:0], queries, 5)


def test_of_equally_near_ones_the_first_counts():
    gallery = np.array([[1.0], [0.0], [0.0]], np.float32)
    assert nearest(gallery, np.zeros((1, 1), np.float32), 2).tolist() == [[1, 2]]


def test_a_patch_is_never_its_own_neighbour(rng):
    """With classes dealt by chance a patch that were in the gallery would be right each time."""
    features, truth = rng.normal(size=(200, 4)).astype(np.float32), rng.integers(0, 2, 200).astype(np.int32)
    train, test = np.arange(0, 200, 2), np.arange(1, 200, 2)
    predicted, in_rank = by_neighbours(features, truth, train, test)
    expected = KNeighborsClassifier(1, algorithm="brute").fit(features[train], truth[train])
    assert np.array_equal(predicted, expected.predict(features[test]))
    assert 0.3 < (predicted == truth[test]).mean() < 0.7
    five = truth[train][NearestNeighbors(n_neighbors=5).fit(features[train]).kneighbors(features[test])[1]]
    assert np.array_equal(in_rank, (five == truth[test][:, None]).any(axis=1))
    assert (in_rank >= (predicted == truth[test])).all()
