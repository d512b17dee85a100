"""Small detectors that say something, and clips for them."""

from __future__ import annotations

import torch

from lavadl_ref.slayer.object_detection import models

NETWORKS = {"yolo_kp": 3, "tiny_yolov3_str": 3, "yolo_kp_events": 2}


def made(name, classes=3, seed=0, **options):
    torch.manual_seed(seed)
    net = getattr(models, name).Network(num_classes=classes, **options)
    net.init_model((32, 64, NETWORKS[name]))
    return net


def clip(name, batch=1, steps=4):
    """A picture with a bright bar that moves; events, for the network of these."""
    x = torch.full((batch, NETWORKS[name], 32, 64, steps), 0.2)
    for t in range(steps):
        x[..., 8 * t : 8 * t + 12, t] = 0.9
    return (x > 0.5).float() if NETWORKS[name] == 2 else x


def held(x, layers):
    """A clip whose last frame stays until what it changes has passed all layers."""
    return torch.cat([x, x[..., -1:].expand(*x.shape[:-1], layers)], dim=-1)


def exact(report):
    """Tell whether all layers agree, and each of them sent something."""
    return report.exact and all(layer.spikes for layer in report.layers[:-1])


def busy(net, gain=1.5):
    """The network with larger weights, so that messages reach the head."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("weight_g"):
                p *= gain
    return net.eval()
