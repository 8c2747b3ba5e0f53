"""Names of devices."""

import pytest
import torch

from wsi_patches.errors import UsageError
from wsi_patches.models.backends import choose_device, list_devices


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_gpus_are_listed_one_by_one(two_gpus):
    assert list_devices("auto") == list_devices("cuda") == ("cuda:0", "cuda:1")
    assert list_devices("cuda:1") == ("cuda:1",)
    assert list_devices("cpu") == ("cpu",)


def test_one_gpu_of_several_can_be_named(two_gpus):
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="cuda:2 was asked for and there are 2 GPUs"):
        choose_device("cuda:2")


def test_without_a_gpu_there_is_the_processor(no_gpu):
    assert list_devices() == ("cpu",)
    with pytest.raises(UsageError, match=r"cuda:0 was asked for .* use --device cpu"):
        choose_device("cuda:0")


@pytest.mark.parametrize("name", ["tpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1 "])
def test_other_names_are_refused(two_gpus, name):
    with pytest.raises(UsageError, match=r"no device .*: choose auto, cpu or cuda"):
        choose_device(name)
