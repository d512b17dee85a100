"""One instance of every class whose objects people hold, made by the same lines from either package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.support.families import SPIKING

Make = Callable[[Any], Any]  #: from the packages' ``slayer``, ``bootstrap`` and ``netx``

_DECAYS = {"current_decay": 0.2, "voltage_decay": 0.1}
_ADAPTIVE = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}
_TURNING = {"period": 10, "decay": 0.1}
NEURONS: dict[str, dict[str, Any]] = {
    **{name: {"threshold": 1, **family.pick(_DECAYS, _TURNING, _ADAPTIVE)} for name, family in SPIKING.items()},
    "sigma_delta": {"threshold": 0.1, "activation": torch.relu},
}

BLOCKS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "Input": lambda of, params: of.Input(params, weight=1, bias=0),
    "Affine": lambda of, params: of.Affine(params, 4, 4),
    "Dense": lambda of, params: of.Dense(params, 4, 4, delay=True, weight_norm=True),
    "Conv": lambda of, params: of.Conv(params, 2, 2, 3),
    "ConvT": lambda of, params: of.ConvT(params, 2, 2, 3),
    "Pool": lambda of, params: of.Pool(params, 2),
    "Unpool": lambda of, params: of.Unpool(params, 2),
    "Recurrent": lambda of, params: of.Recurrent(params, 4, 4),
    "KWTA": lambda of, params: of.KWTA(params, 4, 4, 2),
    "Output": lambda of, params: of.Output(params, 4, 4),
    "Flatten": lambda of, params: of.Flatten(),
    "Average": lambda of, params: of.Average(2),
    "TimeDecimation": lambda of, params: of.TimeDecimation(2),
}

_SYNAPSES: dict[str, Callable[[Any], Any]] = {
    "Dense": lambda of: of.Dense(4, 4, weight_norm=True),
    "Conv": lambda of: of.Conv(2, 2, 3, weight_norm=True),
    "ConvTranspose": lambda of: of.ConvTranspose(2, 2, 3),
    "Pool": lambda of: of.Pool(2),
    "Unpool": lambda of: of.Unpool(2),
}


def _block(family: str, block: str) -> Make:
    def make(of: Any) -> Any:
        norms = {} if block == "Input" else {"norm": of.slayer.neuron.norm.MeanOnlyBatchNorm}
        params = dict(NEURONS[family], **norms, dropout=of.slayer.neuron.Dropout(0.1))
        return BLOCKS[block](getattr(of.slayer.block, family), params)

    return make


def _assistant(of: Any) -> Any:
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    return of.slayer.utils.Assistant(net, torch.nn.MSELoss(), optimizer, of.slayer.utils.LearningStats())


def _fitted(of: Any) -> Any:
    sampler = of.bootstrap.ann_sampler.AnnSampler()
    spikes = (torch.rand(64, 20, generator=torch.manual_seed(0)) < torch.linspace(0.05, 0.95, 64)[:, None]).float()
    sampler.append(spikes, spikes)
    sampler.fit()
    return sampler


def specimens(blocks: dict[str, list[str]], net: str) -> dict[str, Make]:
    """Functions that make each instance, by the name of its class; `blocks` are those of each family, `net` a file."""
    made: dict[str, Make] = {}
    for family, params in NEURONS.items():
        made[f"slayer.neuron.{family}.Neuron"] = lambda of, f=family, p=params: getattr(of.slayer.neuron, f).Neuron(**p)
        for block in blocks[family]:
            made[f"slayer.block.{family}.{block}"] = _block(family, block)
    for name, build in _SYNAPSES.items():
        made[f"slayer.synapse.layer.{name}"] = lambda of, b=build: b(of.slayer.synapse)
        made[f"slayer.synapse.complex.{name}"] = lambda of, b=build: b(of.slayer.synapse.complex)
    spikes = {"Input", "Flatten", "Affine", "Dense", "Conv"}
    for block in sorted(spikes):
        made[f"bootstrap.block.cuba.{block}"] = lambda of, b=block: BLOCKS[b](of.bootstrap.block.cuba, NEURONS["cuba"])
    made["slayer.auto.SequentialNetwork"] = lambda of: of.slayer.auto.SequentialNetwork(net)
    made["netx.utils.NetDict"] = lambda of: of.netx.utils.NetDict(net)
    made["netx.hdf5.Network"] = lambda of: of.netx.hdf5.Network(net)
    made["netx.blocks.process.Dense"] = lambda of: of.netx.hdf5.Network(net).layers[0]
    for model in ("tiny_yolov3_str", "yolo_kp", "yolo_kp_events"):
        path = f"slayer.object_detection.models.{model}.Network"
        made[path] = lambda of, m=model: getattr(of.slayer.object_detection.models, m).Network(num_classes=2)
    return made | _OTHERS


_ANCHORS = [[(0.3, 0.2)], [(0.4, 0.3)]]

_OTHERS: dict[str, Make] = {
    "slayer.neuron.norm.MeanOnlyBatchNorm": lambda of: of.slayer.neuron.norm.MeanOnlyBatchNorm(4),
    "slayer.neuron.norm.WgtScaleBatchNorm": lambda of: of.slayer.neuron.norm.WgtScaleBatchNorm(4),
    "slayer.neuron.dropout.Dropout": lambda of: of.slayer.neuron.Dropout(0.1),
    "slayer.axon.delay.Delay": lambda of: of.slayer.axon.Delay(max_delay=5),
    "slayer.axon.delta.Delta": lambda of: of.slayer.axon.Delta(0.5),
    "slayer.dendrite.sigma.Sigma": lambda of: of.slayer.dendrite.Sigma(),
    "slayer.loss.SpikeTime": lambda of: of.slayer.loss.SpikeTime(),
    "slayer.loss.SpikeRate": lambda of: of.slayer.loss.SpikeRate(0.5, 0.1, moving_window=3),
    "slayer.loss.SpikeMax": lambda of: of.slayer.loss.SpikeMax(moving_window=3),
    "slayer.loss.SpikeMoid": lambda of: of.slayer.loss.SpikeMoid(moving_window=3),
    "slayer.loss.SparsityEnforcer": lambda of: of.slayer.loss.SparsityEnforcer(),
    "slayer.classifier.Rate": lambda of: of.slayer.classifier.Rate(),
    "slayer.classifier.MovingWindow": lambda of: of.slayer.classifier.MovingWindow(3),
    "slayer.utils.filter.fir.FIR": lambda of: of.slayer.utils.filter.FIR(time_constant=2),
    "slayer.utils.filter.fir.FIRBank": lambda of: of.slayer.utils.filter.FIRBank(2, 5),
    "slayer.utils.assistant.Assistant": _assistant,
    "slayer.utils.stats.LearningStat": lambda of: of.slayer.utils.LearningStat(),
    "slayer.utils.stats.LearningStats": lambda of: of.slayer.utils.LearningStats(),
    "slayer.utils.utils.dotdict": lambda of: of.slayer.utils.dotdict(),
    "slayer.io.Event": lambda of: of.slayer.io.Event(*np.array([[1, 2], [3, 4], [0, 1], [5, 6]]), payload=[1, 2]),
    "slayer.object_detection.yolo_base.YOLOtarget": lambda of: of.slayer.object_detection.YOLOtarget(
        anchors=_ANCHORS, scales=[(4, 4), (2, 2)], num_classes=2
    ),
    "slayer.object_detection.yolo_base.YOLOLoss": lambda of: of.slayer.object_detection.YOLOLoss(anchors=_ANCHORS),
    "slayer.object_detection.yolo_base.YOLOBase": lambda of: of.slayer.object_detection.YOLOBase(2, _ANCHORS),
    "bootstrap.ann_sampler.AnnSampler": _fitted,
    "bootstrap.routine.LayerMode": lambda of: of.bootstrap.routine.LayerMode(1, of.bootstrap.Mode.ANN),
    "bootstrap.routine.Scheduler": lambda of: of.bootstrap.routine.Scheduler(),
    "netx.sequential_modules.Quantize": lambda of: of.netx.modules.Quantize(2),
    "netx.sequential_modules.Dequantize": lambda of: of.netx.modules.Dequantize(2),
    "netx.sequential_modules.FIFO": lambda of: of.netx.modules.FIFO(2),
}
