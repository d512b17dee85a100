"""The networks: output, export, files of parameters."""

import math
import pickle

import h5py
import pytest
import torch

from lavadl_ref import exchange, verify
from lavadl_ref.slayer import loss, obd
from lavadl_ref.slayer.object_detection import models
from tests.support.detectors import NETWORKS, busy, clip, exact, held, made

ANCHORS = (((0.2, 0.2), (0.4, 0.4)),)


@pytest.mark.parametrize(
    ("name", "classes", "millions"), [("yolo_kp", 11, 3.50), ("tiny_yolov3_str", 11, 9.28), ("yolo_kp_events", 7, 3.49)]
)
def test_the_models_have_these_sizes(name, classes, millions):
    net = getattr(models, name).Network(num_classes=classes)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(millions * 1e6, rel=2e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_gives_one_output_for_each_grid(name):
    net = busy(made(name), 2)
    x = clip(name, batch=2)
    grids = [(1, 2), (2, 4)][: net.num_scales]
    assert net.scale == [(w, h) for h, w in grids]
    raw, rates = net.train()(x)
    assert [r.shape for r in raw] == [(2, 3, *grid, 8, 4) for grid in grids]
    assert rates.shape == (1, {"yolo_kp": 12, "tiny_yolov3_str": 18, "yolo_kp_events": 11}[name])
    assert ((rates >= 0) & (rates <= 1)).all()
    assert rates[0, 0] > 0
    boxes, _ = net.eval()(x)
    assert boxes.shape == (2, 3 * sum(h * w for h, w in grids), 8, 4)
    assert torch.allclose(boxes[:, :, 5:].sum(2), torch.ones(()))
    sum(r.square().sum() for r in raw).backward()
    heads = [p for name, p in net.named_parameters() if name.endswith(".weight")]
    assert len(heads) == net.num_scales
    assert all(p.grad.any() for p in heads)


def test_raw_output_becomes_boxes():
    net = obd.YOLOBase(num_classes=2, anchors=ANCHORS, clamp_max=1.5)
    x = torch.randn(1, 2 * 7, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 2
    raw = net.yolo_raw(x)
    found = net.yolo(raw, net.anchors[0])
    index = 0
    for a, (width, height) in enumerate(ANCHORS[0]):
        for row in range(3):
            for column in range(2):
                p = x[0, 7 * a : 7 * a + 7, row, column, 1].tolist()
                assert raw[0, a, row, column, :, 1].tolist() == p
                total = math.exp(p[5]) + math.exp(p[6])
                expected = [
                    (column + 1 / (1 + math.exp(-p[0]))) / 2,
                    (row + 1 / (1 + math.exp(-p[1]))) / 3,
                    math.exp(min(p[2], 1.5)) * width / 2,
                    math.exp(min(p[3], 1.5)) * height / 3,
                    1 / (1 + math.exp(-p[4])),
                    math.exp(p[5]) / total,
                    math.exp(p[6]) / total,
                ]
                assert found[0, index, :, 1].tolist() == pytest.approx(expected, rel=1e-5)
                index += 1


def test_output_that_is_not_finite_is_refused():
    net = obd.YOLOBase(num_classes=2, anchors=ANCHORS)
    with pytest.raises(ValueError, match="must be finite, got a value that is not: training has diverged"):
        net.yolo(torch.full((1, 2, 1, 1, 7, 1), torch.nan), net.anchors[0])


@pytest.mark.parametrize("training", [True, False])
def test_finding_the_grids_changes_nothing_else(training):
    net = made("yolo_kp").train(training)
    net.blocks[0].train(not training)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    net.init_model((32, 64, 3))
    assert net.scale == [(2, 1)]
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_gradients_that_are_not_finite_are_forgotten():
    net = made("yolo_kp")
    for gradient, kept in ((1.0, True), (torch.inf, False)):
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        net.blocks[4].synapse.weight_g.grad[3] = gradient
        net.validate_gradients()
        assert all((p.grad is not None and p.grad.any()) == kept for p in net.parameters())


def test_activity_is_gathered():
    counts = {"yolo_kp": 9, "tiny_yolov3_str": 13, "yolo_kp_events": 9}
    for name, count in counts.items():
        monitor = loss.SparsityEnforcer()
        made(name).train()(clip(name), monitor)
        assert len(monitor.loss_list) == count


def test_frames_that_two_grids_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 32, got \(48, 64\)"):
        made("tiny_yolov3_str")(torch.zeros(1, 3, 48, 64, 1))


@pytest.mark.parametrize("name", ["yolo_kp", "yolo_kp_events"])
def test_export_is_what_was_trained(name, tmp_path):
    net = busy(made(name, anchors=ANCHORS))
    x = clip(name)
    x = held(x, len(net.layers))
    report = verify.trained(net.layers, net.normalized(x) if name == "yolo_kp" else x)
    assert exact(report)
    assert report.compared > 10_000
    assert min(net(x)[1][0]) > 0
    net.export_hdf5(tmp_path / "yolo.net")
    network = exchange.read(tmp_path / "yolo.net")
    assert [layer.kind for layer in network.layers] == ["input"] * (name == "yolo_kp") + ["conv"] * 10
    assert network.layers[-1].shape == (16, 1, 2)
    with h5py.File(tmp_path / "head.net", "w") as file:
        net.export_hdf5_head(file.create_group("layer/0"))
        assert file["layer/0/type"][0] == b"conv"
        assert file["layer/0/neuron/sigma_output"][()]


def test_a_network_that_branches_is_exported_in_parts(tmp_path):
    net = busy(made("tiny_yolov3_str"), 2)
    paths = net.export_hdf5(tmp_path / "tiny.net")
    assert [p.name for p in paths] == [
        f"tiny.{part}.net" for part in ("backend", "head1_backend", "head1", "head2_backend", "head2")
    ]
    networks = [exchange.read(path) for path in paths]
    assert [len(network.layers) for network in networks] == [6, 4, 2, 2, 2]
    received = {"backend": net.normalized(held(clip("tiny_yolov3_str"), 6))}
    for name, source in (("head1_backend", "backend"), ("head1", "head1_backend"), ("head2_backend", "head1_backend")):
        received[name] = sent(net.parts[source], received[source])
    fine = sent(net.parts["head2_backend"], received["head2_backend"])
    received["head2"] = torch.cat([fine, sent(net.parts["backend"], received["backend"])], dim=1)
    for name, layers in net.parts.items():
        report = verify.trained(layers, received[name])
        assert exact(report)
        assert report.compared > 1000
    with h5py.File(tmp_path / "head.net", "w") as file:
        for head, channels in enumerate((512, 256)):
            net.export_hdf5_head(file.create_group(f"layer/{head}"), head)
            assert file[f"layer/{head}/weight"].shape[:2] == (24, channels)


def sent(layers, x):
    with torch.no_grad():
        for layer in layers:
            x = layer(x)
    return x


def test_export_of_a_model_needs_an_input():
    net = models.yolo_kp.Network(num_classes=3)
    with pytest.raises(RuntimeError, match="without any input so far: call init_model first"):
        net.layers[-1].describe()


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_come_back(name, tmp_path):
    net = made(name)
    net.train()(clip(name))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    fresh = getattr(models, name).Network(num_classes=3)
    fresh.load_model(tmp_path / "net.pt")
    for other in (fresh, made(name, seed=1)):
        other.load_model(tmp_path / "net.pt")
        assert torch.equal(net.eval()(clip(name))[0], other.eval()(clip(name))[0])


def test_parameters_of_another_number_of_classes_are_loaded_but_for_the_heads(tmp_path):
    net, other = made("yolo_kp", classes=3), made("yolo_kp", classes=5, seed=1)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    head = other.heads[0].weight.clone()
    with pytest.warns(UserWarning, match="another number of classes or anchors: heads.0.weight are not loaded"):
        other.load_model(tmp_path / "net.pt")
    assert torch.equal(other.heads[0].weight, head)
    assert torch.equal(other.blocks[3].synapse.weight, net.blocks[3].synapse.weight)


def test_parameters_of_another_network_are_refused(tmp_path):
    state = made("yolo_kp").state_dict()
    del state["anchors"]
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"lacks \['anchors'\] and has in addition \['extra'\]"):
        made("yolo_kp").load_model(tmp_path / "net.pt")


class Evil:
    def __reduce__(self):
        return eval, ("1 / 0",)


def test_nothing_but_tensors_is_read(tmp_path):
    torch.save({"anchors": Evil()}, tmp_path / "net.pt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        made("yolo_kp").load_model(tmp_path / "net.pt")


def test_gradients_are_drawn(tmp_path):
    net = made("yolo_kp")
    assert net.grad_flow(f"{tmp_path}/none-") == [0] * 9
    busy(net).train()(clip("yolo_kp"))[0][0].sum().backward()
    norms = net.grad_flow(f"{tmp_path}/run-")
    assert len(norms) == 9
    assert norms[-1] > 0
    assert (tmp_path / "run-gradFlow.png").stat().st_size > 1000
