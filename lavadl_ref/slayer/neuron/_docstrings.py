"""The parts of docstrings that neurons of all families have in common: parameters, errors and an example."""

from __future__ import annotations

import inspect
from typing import Any

ANY = "float, (float, float) or ndarray"

#: Type and description of a parameter that has one meaning in every family.
TEXTS = {
    "period": (ANY, "Steps per turn, at least 4."),
    "decay": (ANY, "What a step takes off the state, 0 to 1; at least 1/4096."),
    "tau_grad": ("float", "Relative width and height of the surrogate gradient."),
    "scale": ("int", "Integers per unit of weight."),
    "dropout": ("Module, optional", "Applied to the spikes, see `neuron.Dropout`."),
    "persistent_state": ("bool", "If True, each call continues from the final state of the previous one."),
    "requires_grad": ("bool", "Whether the decays are trained, and the period of resonators."),
    "graded_spike": ("bool", "Whether a spike has the size of the value that is compared with the threshold."),
    "log_init": (
        "bool",
        "Whether the frequencies of channels are spread evenly on a logarithmic scale; else drawn uniformly.",
    ),
}
TEXTS["scale_grad"] = TEXTS["tau_grad"]

#: Values of the example.
VALUES = {"threshold": "1", "threshold_step": "0.5", "period": "8", "activation": "torch.relu"}


def describe_parameters(cls: Any) -> None:
    """Complete the docstring of a family's neuron, which has the recurrence, by what follows from its constructor."""
    if not cls.__doc__ or "Parameters\n" in cls.__doc__:
        return
    names = list(inspect.signature(cls.__init__).parameters)[1:]
    lines = ["Parameters", "----------"]
    texts = [(name, _text(cls, name)) for name in names]
    while texts:
        name, text = texts.pop(0)
        if text is None:
            continue
        while texts and texts[0][1] == text:
            name = f"{name}, {texts.pop(0)[0]}"
        lines += [f"{name} : {text[0]}", *(f"    {line}" for line in text[1].split("\n"))]
    lines += ["", "Raises", "------", "ValueError"]
    lines += [f"    For parameters that are not finite or of the wrong form{_also(names)}."]
    lines += ["", "Examples", "--------", *_example(cls, names)]
    cls.__doc__ = "\n".join([cls.__doc__.rstrip(), "", *(f"    {line}".rstrip() for line in lines), "    "])


def _text(cls: Any, name: str) -> tuple[str, str] | None:
    """Type and description of a parameter of `cls`; None of one that is not known here."""
    adaptive = cls.kernel.adaptive
    if name in ("threshold", "threshold_step"):
        rising = "Threshold at rest and its rise by a spike; truncated to multiples of 1 / scale."
        return "float", rising if adaptive else "Truncated to a multiple of 1 / scale."
    if name.endswith("_decay"):
        return ANY, "0 (no decay) to 1 (no memory), rounded to 1/4096; clipped to that range with a warning."
    if name == "norm":
        return "callable, optional", f"Class or factory from `neuron.norm`, applied to {cls.norm_acts_on}."
    if name == "shared_param":
        drawn = "from the (min, max) range given, or within 1 % of one number, or as an array gives them"
        if cls.kernel.complex:
            drawn = (
                "decays from the (min, max) range given, or within 1 % of one number, periods spread over their\n"
                "range, or as arrays give them"
            )
        exact = ";\nthreshold and refractory decay are that number itself" if adaptive else ""
        return "bool", (
            "One decay for all channels. If False every channel has its own, drawn at the first forward pass:\n"
            f"{drawn}{exact}."
        )
    return TEXTS.get(name)


def _also(names: list[str]) -> str:
    return ", or a period below 4" if "period" in names else ""


def _example(cls: Any, names: list[str]) -> list[str]:
    given = "(x, x)" if cls.kernel.complex else "x"
    return [
        ">>> import torch",
        f">>> from {cls.__module__} import Neuron",
        f">>> neuron = Neuron(**{example_arguments(cls)})",
        ">>> x = torch.ones(4, 2, 10)  # four samples, two channels, ten steps",
        f">>> neuron({given}).shape",
        "torch.Size([4, 2, 10])",
    ]


def example_arguments(cls: Any) -> str:
    """The arguments that the constructor of a neuron needs, as the source of a dictionary."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return "{" + ", ".join(f'"{name}": {VALUES.get(name, "0.1")}' for name in needed) + "}"
