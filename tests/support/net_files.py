"""Small ``.net`` files made dataset by dataset, without the writer under test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

STRING = h5py.string_dtype()


def kind(name: str) -> np.ndarray:
    return np.array([name], "S10")


def neuron(layer: int) -> dict[str, Any]:
    return {
        f"layer/{layer}/neuron/type": "CUBA",
        f"layer/{layer}/neuron/iDecay": 1024,
        f"layer/{layer}/neuron/vDecay": 128,
        f"layer/{layer}/neuron/vThMant": 80,
        f"layer/{layer}/neuron/refDelay": 1,
        f"layer/{layer}/neuron/gradedSpike": False,
    }


def dense(layer: int, inputs: int, outputs: int) -> dict[str, Any]:
    weight = np.arange(inputs * outputs, dtype=np.float32).reshape(outputs, inputs)
    return {
        f"layer/{layer}/type": kind("dense"),
        f"layer/{layer}/shape": np.array([outputs]),
        f"layer/{layer}/inFeatures": inputs,
        f"layer/{layer}/outFeatures": outputs,
        f"layer/{layer}/weight": weight,
        **neuron(layer),
    }


def dense_net() -> dict[str, Any]:
    """Input (4,), dense 4-3, dense 3-2."""
    return {
        "layer/0/type": kind("input"),
        "layer/0/shape": np.array([4]),
        "layer/0/weight": np.array([64], np.float32),
        "layer/0/bias": np.array([0], np.float32),
        **neuron(0),
        **dense(1, 4, 3),
        **dense(2, 3, 2),
    }


def conv_net() -> dict[str, Any]:
    """Input (2, 6, 5), conv 2-4 3x3 stride 2 with padding 1: (4, 3, 3)."""
    return {
        "layer/0/type": kind("input"),
        "layer/0/shape": np.array([2, 6, 5]),
        **neuron(0),
        "layer/1/type": kind("conv"),
        "layer/1/shape": np.array([4, 3, 3]),
        "layer/1/weight": np.arange(72, dtype=np.float32).reshape(4, 2, 3, 3),
        **window(1, (2, 4), 3, 2, 1),
        **neuron(1),
    }


def resonator_net() -> dict[str, Any]:
    """Dense 4-3 of CUBA, recurrent 3-3 of RF with two parts of everything."""
    part = np.arange(9, dtype=np.float32).reshape(3, 3)
    vector = np.arange(3, dtype=np.float32)
    return {
        **dense(0, 4, 3),
        "layer/1/type": kind("dense_rec"),
        "layer/1/shape": np.array([3]),
        "layer/1/inFeatures": 3,
        "layer/1/outFeatures": 3,
        "layer/1/weight/real": part,
        "layer/1/weight/imag": -part,
        "layer/1/weight_rec/real": part.T,
        "layer/1/weight_rec/imag": -part.T,
        "layer/1/bias/real": vector,
        "layer/1/bias/imag": -vector,
        "layer/1/delay": vector,
        "layer/1/neuron/type": "RF_PHASE",
        "layer/1/neuron/sinDecay": 2167,
        "layer/1/neuron/cosDecay": 2982,
        "layer/1/neuron/vThMant": 64,
        "layer/1/neuron/gradedSpike": False,
        "layer/1/neuron/weight_exp": np.array([1], np.float32),
        "layer/1/neuron/weight_exp_imag": np.array([-1], np.float32),
    }


def store(path: Path, entries: Mapping[str, Any]) -> Path:
    """Write `entries` as datasets; an entry that is None is left out."""
    with h5py.File(path, "w") as file:
        for key, value in entries.items():
            if value is not None:
                file.create_dataset(key, data=value)
    return path


def legacy_layer(file) -> Any:
    """A dense layer of two neurons, as older exporters wrote it: the group, which lacks its neuron."""
    layer = file.create_group("layer/0")
    layer["type"] = np.array(["dense"], "S10")
    layer["shape"] = [2]
    layer["weight"] = np.array([[1, -2], [3, 4]], np.float32)
    layer["delay"] = np.array([1, 2], np.float32)
    return layer


def window(layer: int, channels: tuple[int, int], size: int, stride: int, padding: int) -> dict[str, Any]:
    """The keys of a square window from input channels to output channels."""
    return {
        f"layer/{layer}/inChannels": channels[0],
        f"layer/{layer}/outChannels": channels[1],
        f"layer/{layer}/kernelSize": np.array([size, size]),
        f"layer/{layer}/stride": np.array([stride, stride]),
        f"layer/{layer}/padding": np.array([padding, padding]),
        f"layer/{layer}/dilation": np.array([1, 1]),
        f"layer/{layer}/groups": 1,
    }
