"""The network against the counts, shapes and names of the released one."""

import hashlib

import pytest
import torch
import torchvision
from torch import nn

from wsi_patches.errors import ModelError
from wsi_patches.models.allnet import ALLNet, LBPConv2d, count_parameters, lbp_convolution
from wsi_patches.models.start import load_start
from wsi_patches.train.engine import fit
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.optimisers import build_optimizer


@pytest.mark.parametrize(
    ("depth", "classes", "total", "frozen"),
    [
        (18, 2, 752578, 488448),
        (18, 9, 756169, 488448),
        (18, 26, 764890, 488448),
        (18, 38, 771046, 488448),
        (34, 2, 1365058, 1022976),
        (34, 9, 1368649, 1022976),
        (34, 26, 1377370, 1022976),
        (34, 38, 1383526, 1022976),
    ],
)
def test_parameter_counts_of_the_paper(depth, classes, total, frozen):
    counts = count_parameters(ALLNet(classes, depth))

    assert counts.frozen == frozen
    assert counts.trainable == total - frozen


def test_it_trains_a_sixtieth_of_what_resnet_34_does():
    of_resnet = sum(one.numel() for one in torchvision.models.resnet34(num_classes=2).parameters())

    assert count_parameters(ALLNet(2, 34)).trainable / of_resnet == pytest.approx(0.01607, abs=1e-5)


@pytest.mark.parametrize("depth", [18, 34])
def test_each_replaced_convolution_has_as_many_values_as_the_paper_says(depth):
    for name, module in ALLNet(2, depth).named_modules():
        if name.endswith((".conv1", ".conv2")):
            before, after = module[1].weight.shape[1], module[2].weight.shape[0]
            assert count_parameters(module) == (2 * before + 17 * after, 144 * before)


def test_stage_shapes_and_logits():
    net, shapes = ALLNet(classes=2).eval(), []
    for name in net.stages:
        net.get_submodule(name).register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape)))

    with torch.inference_mode():
        logits = net(torch.zeros(2, 3, 224, 224))

    assert logits.shape == (2, 2)
    assert shapes == [(2, 64, 56, 56), (2, 128, 28, 28), (2, 256, 14, 14), (2, 512, 7, 7)]


def test_names_are_those_of_the_released_checkpoint():
    state = ALLNet(classes=9).state_dict()

    assert state["layer1.0.conv1.1.weight"].shape == (16, 64, 3, 3)
    assert state["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert {"conv1.weight", "bn1.weight", "layer4.1.conv2.2.bias", "layer4.1.bn2.weight", "fc.weight"} <= set(state)


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_binary_kernels_are_sparse_and_balanced(sparsity):
    values = LBPConv2d(512, "binary", sparsity, torch.Generator().manual_seed(3)).weight

    assert set(values.unique().tolist()) == {-1.0, 0.0, 1.0}
    drawn, kept = values.numel(), int((values != 0).sum())
    assert abs(kept - sparsity * drawn) < 3 * (drawn * sparsity * (1 - sparsity)) ** 0.5
    assert abs(int((values > 0).sum()) - kept / 2) < 3 * (kept / 4) ** 0.5


def test_gaussian_kernels_are_dense_noise_of_the_released_width():
    values = LBPConv2d(64, "gaussian", generator=torch.Generator().manual_seed(3)).weight

    assert len(values.unique()) > 9000
    assert float(values.std()) == pytest.approx(0.1179, rel=0.03)


def kernels_of(state):
    return {name: state[name] for name in state if name.endswith((".conv1.1.weight", ".conv2.1.weight"))}


def assert_kernels_are(net, before):
    after = kernels_of(net.state_dict())
    assert len(after) == 8
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kernel", ["binary", "gaussian"])
@pytest.mark.parametrize(
    "settings",
    [
        EngineSettings(optimizer="sgd", learning_rate=0.5, momentum=0.9, weight_decay=0.5),
        EngineSettings(optimizer="adamw", learning_rate=0.5, weight_decay=0.5),
    ],
    ids=["sgd", "adamw"],
)
def test_fixed_kernels_survive_optimisers_that_decay_weights(settings, kernel):
    net = ALLNet(widths=(8, 16), kernel=kernel)
    before, head = kernels_of(net.state_dict()), net.fc.weight.detach().clone()
    before = {name: tensor.clone() for name, tensor in before.items()}
    for optimiser in (build_optimizer(net, settings), torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.5)):
        for _ in range(2):
            net(torch.rand(4, 3, 32, 32)).square().mean().backward()
            optimiser.step()

    assert_kernels_are(net, before)
    assert not torch.equal(net.fc.weight, head)


@pytest.mark.parametrize("how", [nn.init.kaiming_normal_, nn.init.xavier_uniform_, nn.init.zeros_])
def test_fixed_kernels_survive_initialisers(how):
    net = ALLNet(widths=(8, 16))
    before = {name: tensor.clone() for name, tensor in kernels_of(net.state_dict()).items()}
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            how(module.weight)
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    for parameter in net.parameters():
        nn.init.normal_(parameter)

    assert_kernels_are(net, before)


def test_fixed_kernels_survive_the_training_loop_and_its_running_average(tmp_path):
    class Task:
        network, watched, higher_is_better = ALLNet(widths=(8, 16)), "loss", False

        def batches(self, epoch):
            return [torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(epoch))] * 3

        def loss(self, batch, device):
            return self.network(batch.to(device)).square().mean()

        def validate(self, network, device):
            return {"loss": float(self.loss(torch.rand(4, 3, 32, 32), device))}

    task = Task()
    before = {name: tensor.clone() for name, tensor in kernels_of(task.network.state_dict()).items()}
    settings = EngineSettings(epochs=2, optimizer="sgd", weight_decay=0.5, ema_decay=0.9, clip_norm=1.0, device="cpu")
    fitted = fit(task, settings, tmp_path)

    assert_kernels_are(task.network, before)
    task.network.load_state_dict(fitted.best_state)
    assert_kernels_are(task.network, before)


def test_a_checkpoint_as_released_is_started_from_and_brings_its_kernels(tmp_path):
    """The released files hold nine labels' weights and gaussian kernels, under these names."""
    released = ALLNet(9, kernel="gaussian", widths=(8, 16), seed=5)
    torch.save(released.state_dict(), tmp_path / "whole")
    digits = hashlib.sha256((tmp_path / "whole").read_bytes()).hexdigest()[:8]
    path = (tmp_path / "whole").rename(tmp_path / f"allnet-{digits}.pth")
    net = ALLNet(2, widths=(8, 16), seed=1)
    load_start(net, "fc", path)

    assert_kernels_are(net, kernels_of(released.state_dict()))
    assert torch.equal(net.conv1.weight, released.conv1.weight)
    assert net.fc.weight.shape == (2, 16)


def test_replacement_is_linear_between_the_fixed_kernels_and_the_1x1_convolution():
    block = lbp_convolution(4, 8, stride=2).eval()

    assert [type(layer) for layer in block] == [nn.BatchNorm2d, LBPConv2d, nn.Conv2d, nn.MaxPool2d]
    assert block(torch.zeros(1, 4, 10, 10)).shape == (1, 8, 5, 5)
    assert block[2].bias is not None


def test_a_seed_makes_the_same_network_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = ALLNet(widths=(8,), seed=1), ALLNet(widths=(8,), seed=1), ALLNet(widths=(8,), seed=2)

    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not torch.equal(one.state_dict()["layer1.0.conv1.1.weight"], other.state_dict()["layer1.0.conv1.1.weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 50}, "no ALLNet of depth 50: choose from 18, 34"),
        ({"widths": ()}, "one to four stages"),
        ({"kernel": "ternary"}, "choose from binary, gaussian"),
        ({"sparsity": 0}, "above 0 and at most 1"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ModelError, match=message):
        ALLNet(**{"widths": (8,), **settings})
