from __future__ import annotations

import importlib.util
import warnings

import pytest
import torch
from monai.networks.nets import BasicUNet

from medbundles.errors import ConfigError
from medbundles.networks import MultitaskUNet, TaskOutput, load_weights, to_device
from medbundles.networks.multitask_unet import ClassificationHead


def small(**kwargs):
    torch.manual_seed(0)
    return MultitaskUNet(**{"base_filters": 4, "depth": 3, "cls_hidden_dim": 8, **kwargs})


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("base_filters", "depth", "parameters"),
    [(32, 4, 7_782_849), (64, 4, 31_112_065), (128, 4, 124_409_601), (32, 3, 1_945_281)],
)
def test_size_without_the_head_is_that_of_the_guide(base_filters, depth, parameters):
    with torch.device("meta"):
        network = MultitaskUNet(base_filters=base_filters, depth=depth)
    assert count(network) - count(network.head) == parameters


def test_weights_of_basic_unet_give_the_same_segmentation_bit_by_bit():
    torch.manual_seed(0)
    basic = BasicUNet(spatial_dims=2, in_channels=2, out_channels=3, features=(8, 16, 32, 64, 128, 8)).eval()
    network = small(in_channels=2, seg_out_channels=3, base_filters=8, depth=4).eval()
    ours = [name for name in network.state_dict() if not name.startswith("head.")]
    theirs = list(basic.state_dict().values())
    assert len(ours) == len(theirs)
    network.load_state_dict(dict(zip(ours, theirs, strict=True)), strict=False)
    image = torch.randn(2, 2, 48, 64)
    with torch.no_grad():
        assert torch.equal(network(image)["seg"], basic(image))


def test_names_start_with_the_part_they_belong_to():
    assert {name.split(".")[0] for name in small().state_dict()} == {"encoder", "decoder", "head"}


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("size", [(64, 96), (50, 61), (33, 100)])
def test_output_is_as_large_as_the_input(depth, size):
    out = small(depth=depth, in_channels=3, seg_out_channels=2, cls_num_classes=4)(torch.randn(2, 3, *size))
    assert out["seg"].shape == (2, 2, *size)
    assert out["cls"].shape == (2, 4)


def test_padding_repeats_the_border():
    network = small().eval()
    image = torch.randn(1, 1, 21, 30)
    padded = torch.cat([image, image[:, :, -1:].expand(1, 1, 3, 30)], dim=2)
    padded = torch.cat([padded, padded[..., -1:].expand(1, 1, 24, 2)], dim=3)
    out, expected = network(image), network(padded)
    assert torch.equal(out["seg"], expected["seg"][..., :21, :30])
    assert torch.equal(out["cls"], expected["cls"])


def test_three_dimensions():
    out = small(spatial_dims=3)(torch.randn(1, 1, 16, 20, 24))
    assert out["seg"].shape == (1, 1, 16, 20, 24)


@pytest.mark.parametrize("depth", [2, 6, 3.5, "4"])
def test_a_depth_that_does_not_exist_is_refused(depth):
    with pytest.raises(ConfigError, match=r"depth: .* is unknown; use one of: 3, 4, 5"):
        MultitaskUNet(depth=depth)


@pytest.mark.parametrize("frozen", [["encoder", "neck"], "neck"])
def test_an_unknown_frozen_part_is_refused(frozen):
    with pytest.raises(ConfigError, match="frozen: 'neck' is unknown; use one of: encoder, decoder, head"):
        small(frozen=frozen)


@pytest.mark.parametrize("frozen", [("encoder",), ("encoder", "decoder"), ("decoder", "head")])
def test_frozen_parts_do_not_change_in_training(frozen):
    network = small(norm="batch", frozen=frozen)
    network.eval()
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        out = network(torch.randn(2, 1, 32, 32))
        optimizer.zero_grad()
        (out["seg"].square().mean() + out["cls"].square().sum()).backward()
        optimizer.step()
    changed = {
        name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == set(MultitaskUNet.PARTS) - set(frozen)
    assert [part for part in MultitaskUNet.PARTS if not getattr(network, part).training] == list(frozen)


def test_dropout_of_a_frozen_head_is_off():
    network = small(frozen=["head"]).train()
    features = torch.randn(4, 32, 2, 2)
    assert torch.equal(network.head(features), network.head(features))
    network = small().train()
    assert not torch.equal(network.head(features), network.head(features))


def test_the_head_learns_from_features_that_hardly_vary():
    """As measured of a frozen encoder: 0.29 with a spread of 0.015, and a class that moves some of them."""
    torch.manual_seed(0)
    label = torch.arange(128) % 2
    features = 0.29 + 0.015 * (torch.randn(128, 64) + torch.where(torch.arange(64) < 8, 1.0, 0.0) * label[:, None])
    head = ClassificationHead(64, 32, 2, dropout=0.5)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for step in range(100):
        batch = torch.arange(16) + 16 * (step % 8)
        loss = torch.nn.functional.cross_entropy(head(features[batch, :, None, None]), label[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = head.eval()(features[:, :, None, None]).argmax(dim=1)
    assert (found == label).float().mean() > 0.9


def test_the_head_is_in_evaluation_what_it_was_in_training_after_a_few_batches():
    """Features as above: torch's own running variance would still be 0.59 after five batches, instead of 0.0002."""
    torch.manual_seed(0)
    features = 0.29 + 0.015 * torch.randn(5, 32, 64)
    head = ClassificationHead(64, 32, 2, dropout=0).train()
    for batch in features:
        head(batch[:, :, None, None])
    all_of_them = features.flatten(0, 1)
    torch.testing.assert_close(head.norm.running_mean, all_of_them.mean(0))
    torch.testing.assert_close(head.norm.running_var, features.var(1).mean(0))
    for batch in features.repeat(4, 1, 1):  # later ones count a tenth each
        head(batch[:, :, None, None])
    wanted = head.norm.running_mean.clone()
    head(features[0][:, :, None, None])
    torch.testing.assert_close(head.norm.running_mean, 0.9 * wanted + 0.1 * features[0].mean(0))


def test_the_head_computes_in_float32_under_autocast():
    head = ClassificationHead(16, 8, 2, dropout=0).eval()
    features = torch.randn(64, 16, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head(features)
    assert torch.equal(inside, head(features))
    assert len(inside[:, 0].unique()) == 64


def test_a_batch_of_one_is_normalised_as_in_evaluation():
    head = ClassificationHead(16, 8, 2, dropout=0)
    features = torch.randn(1, 16, 1, 1)
    assert torch.equal(head.train()(features), head.eval()(features))


def test_weights_of_a_head_without_normalisation_give_what_they_gave():
    network = small().eval()
    old = {name: value for name, value in network.state_dict().items() if not name.startswith("head.norm")}
    other = small()
    load_weights(other, old, min_share=1)
    pooled = torch.randn(2, old["head.layers.0.weight"].shape[1])
    torch.testing.assert_close(other.eval().head(pooled[:, :, None, None]), network.head.layers(pooled))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("size", [(32, 40), (27, 45)])
def test_script_is_equal(size):
    network = small(seg_out_channels=2, frozen=["encoder"]).eval()
    scripted = torch.jit.script(network)
    image = torch.randn(2, 1, *size)
    with torch.no_grad():
        out, again = network(image), scripted(image)
        task = torch.jit.script(TaskOutput(network, "cls"))(image)
    assert torch.equal(out["seg"], again["seg"])
    assert torch.equal(out["cls"], again["cls"])
    assert torch.equal(out["cls"], task)


def test_a_trace_works_for_other_sizes():
    network = TaskOutput(small().eval(), "seg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.randn(1, 1, 27, 45))
    image = torch.randn(3, 1, 40, 33)
    with torch.no_grad():
        torch.testing.assert_close(traced(image), network(image))


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs onnx, onnxscript and onnxruntime",
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(32, 40), (27, 45)])
def test_onnx_is_equal(size, tmp_path):
    import onnxruntime

    network = small().eval()
    image = torch.randn(2, 1, *size)
    torch.onnx.export(network, (image,), tmp_path / "network.onnx", dynamo=True, output_names=["seg", "cls"])
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    seg, cls = session.run(["seg", "cls"], {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        out = network(image)
    torch.testing.assert_close(torch.from_numpy(seg), out["seg"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(cls), out["cls"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("dims", "memory_format"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_channels_last_weights_give_the_same_result(dims, memory_format):
    network = small(spatial_dims=dims).eval()
    image = torch.randn(1, 1, *[16] * dims)
    with torch.no_grad():
        before = network(image)
        moved = to_device(network, "cpu", channels_last=True)
        after = moved(image)
    convolutions = [p for p in moved.parameters() if p.dim() == dims + 2]
    assert all(p.is_contiguous(memory_format=memory_format) for p in convolutions)
    torch.testing.assert_close(after["seg"], before["seg"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after["cls"], before["cls"], atol=1e-4, rtol=1e-4)
    assert all(p.is_contiguous() for p in to_device(small(), "cpu").parameters())
