"""The learner: a network of slayer's blocks that learns while a signal arrives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lavadl_kernels.ops.product import product
from torch import Tensor

from lavadl_ref.online import _gathered
from lavadl_ref.online._layer import Layer, Stretch, layer_of
from lavadl_ref.slayer._bridge.autograd import time_first
from lavadl_ref.slayer.utils import _validate

Loss = Callable[[Tensor, Tensor], Tensor]
Penalty = Callable[[Tensor], Tensor]


#: Size of the elements of a readout's matrix, uniform up to READOUT / sqrt(M) for M neurons: the variance of what is
#: read is then 1 where 3 % of the neurons spike. With less of it the rates of the layer rise until spikes say little.
READOUT = 10.0


class Learner(torch.nn.Module):
    """Train a network step by step, in memory that does not grow with the length of the signal.

    Every `every` steps, the optimiser receives the gradient of the loss at these steps. The blocks compute the spikes
    as usual. Through a trace, the gradient to a weight takes all earlier input of the weight into account. The rule
    determines what else is left out:

    - ``"local"`` (DECOLLE): each layer has a readout with a fixed random matrix, and learns from the loss of this
      readout.  No gradient passes between layers.
    - ``"spatial"`` (OTTT, SLTT): the gradient of the loss at a step passes down through the layers at that step; paths
      through the memory of a higher layer are left out.
    - ``"random"`` (direct feedback alignment): a fixed random matrix carries the error of the output to each layer.

    Parameters
    ----------
    net : Module or sequence of Module
        Blocks of slayer, one after the other, or a module with such a sequence as its ``blocks``.
    loss : callable
        Takes the output (S, C, ...) and the target, (S,) or (S, C, ...), of S samples and returns the mean of their
        losses; the steps of a window count as samples. `torch.nn.functional.cross_entropy`, for instance.
    optimizer : torch.optim.Optimizer
        An optimiser of the network's parameters.
    rule : str
        ``"spatial"``, ``"local"`` or ``"random"``.
    every : int, optional
        Steps between two updates; by default there is one update at the end of each sample.
    classes : int, optional
        Number of outputs of a readout; required for ``"local"``.
    window : int
        Maximum number of steps whose gradients are computed at once, 64 by default. A larger window takes more memory
        and less time per step: a layer of some hundred neurons takes twice as much time with 16 as with 64.
    penalty : callable, optional
        Takes the output of a layer's neurons (S, C, ...) for S samples, where the steps of a window count as samples,
        and returns the mean of their costs, such as `Firing`. It is added to the loss of each trained layer except the
        readout.

    Attributes
    ----------
    output : Tensor or None
        (N, C, ..., T), the output of the last block in the last call of `stream` or `learn`.
    matrices : torch.nn.ParameterDict
        The fixed random matrices by the number of the layer, float32: for ``"local"`` (classes, M), for ``"random"``
        (M, outputs), where M is the number of neurons of the layer. They are drawn at the first input, uniformly in
        both directions up to 10 / sqrt(M) and 1 / sqrt(outputs) respectively.

    Notes
    -----
    Freeze parameters before you create the learner. A parameter that is frozen later keeps its value from then on; one
    that is unfrozen later is refused, since its traces are missing.

    Raises
    ------
    TypeError
        If a block, its neurons or its dropout cannot learn online, or the loss needs whole samples.
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from lavadl_ref import slayer
    >>> neuron = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1}
    >>> net = torch.nn.Sequential(slayer.block.cuba.Dense(neuron, 3, 8), slayer.block.cuba.Affine(neuron, 8, 2))
    >>> optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    >>> learner = Learner(net, torch.nn.functional.cross_entropy, optimizer, every=5)
    >>> input, label = torch.ones(4, 3, 20), torch.tensor([0, 1, 1, 0])
    >>> learner.learn(input, label).shape
    torch.Size([4, 2, 20])
    """

    def __init__(
        self,
        net: Any,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        rule: str = "spatial",
        every: int | None = None,
        classes: int | None = None,
        window: int = 64,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(map(repr, RULES))}, got {rule!r}")
        if type(loss).__module__.startswith("lavadl_ref.slayer.loss"):
            raise TypeError(
                f"loss must be a function of the output and the target at one step, got {type(loss).__name__}, which "
                "needs whole samples: use one of torch.nn.functional, such as cross_entropy"
            )
        if getattr(loss, "reduction", "mean") != "mean":
            raise ValueError(f"loss must be the mean over its samples, got reduction={loss.reduction!r}")  # type: ignore[attr-defined]
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
        self.every = None if every is None else _validate.integer(every, "every", 1)
        self.classes = None if classes is None else _validate.integer(classes, "classes", 1)
        self.window = _validate.integer(window, "window", 1)
        if rule == "local" and classes is None:
            raise ValueError("classes must be the number of outputs of the readouts for the rule 'local', got None")
        self.net = net if isinstance(net, torch.nn.Module) else torch.nn.ModuleList(net)
        self.loss, self.optimizer, self.rule = loss, optimizer, rule
        self._penalty = penalty
        self.matrices = torch.nn.ParameterDict()
        self.output: Tensor | None = None
        blocks: Any = getattr(self.net, "blocks", self.net)
        self._layers = [layer_of(block) for block in blocks]
        if not self._layers:
            raise ValueError("net must have at least one block, got none")
        self._frozen = [name for name, parameter in self.net.named_parameters() if not parameter.requires_grad]
        self.reset()

    @property
    def penalty(self) -> Penalty | None:
        """The penalty given to the constructor; it cannot be set later."""
        return self._penalty

    # -- state --------------------------------------------------------------------------------

    def reset(self) -> None:
        """Set the neurons to rest, and drop traces and gradients that no update has used yet."""
        for layer in self._layers:
            layer.reset()
            for one in layer.gathered:
                one.sum = None
        self._step = 0  #: steps so far
        self._since = 0  #: steps since the last update
        self._learned = 0  #: of these, steps with a target
        self._open = 0  #: steps since the last window
        self._labelled = 0  #: the step behind the last with a target
        self._seen: list[tuple[Tensor | None, list[Tensor]]] = []  #: targets and what they are compared with
        self._sent: list[list[Tensor]] = []  #: what left the neurons of all layers, for a penalty

    def get_extra_state(self) -> dict[str, Any]:
        """Everything that `reset` clears; part of the state dict."""
        return {
            "layers": [layer.state() for layer in self._layers],
            "gathered": [[one.sum for one in layer.gathered] for layer in self._layers],
            "counts": (self._step, self._since, self._learned, self._open, self._labelled),
            "seen": list(self._seen),
            "sent": list(self._sent),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue from a state that `get_extra_state` returned."""
        for layer, held, sums in zip(self._layers, state["layers"], state["gathered"], strict=True):
            layer.restore(held)
            for one, gathered in zip(layer.gathered, sums, strict=True):
                one.sum = gathered
        self._step, self._since, self._learned, self._open, self._labelled = state["counts"]
        self._seen, self._sent = list(state["seen"]), list(state["sent"])

    def __reduce__(self) -> Any:
        made_of = self.net, self.loss, self.optimizer, self.rule, self.every, self.classes, self.window, self.penalty
        matrices = {key: value.detach() for key, value in self.matrices.items()}
        return _made_again, (made_of, matrices, self.training, self.get_extra_state())

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for key, value in state_dict.items():
            if key.startswith(f"{prefix}matrices."):
                self.matrices[key.removeprefix(f"{prefix}matrices.")] = _fixed(torch.zeros_like(value))
        super()._load_from_state_dict(state_dict, prefix, *args)

    # -- use ----------------------------------------------------------------------------------

    def learn(self, input: Tensor, target: Tensor) -> Tensor:
        """Learn from a batch of samples: start from rest and run to the last step.

        Parameters
        ----------
        input : Tensor
            (N, C, ..., T) float32.
        target : Tensor
            Labels, (N,) or at each step (N, T), whole numbers; or values, (N, C, ...) or at each step (N, C, ..., T),
            floating-point.

        Returns
        -------
        Tensor
            (N, C, ..., T), the values that the loss compared with the target: the output of the network, or for the
            rule ``"local"`` the last layer's readout.

        Raises
        ------
        TypeError, ValueError
            As `stream`.
        """
        self.reset()
        output = self.stream(input, target)
        self.update()
        return output

    def stream(self, input: Tensor, target: Tensor | None = None) -> Tensor:
        """Continue a signal from where the last call ended, and learn from these steps if there is a target.

        Results do not depend on how a signal is divided into pieces. An update happens whenever `every` steps have
        passed.

        Parameters
        ----------
        input : Tensor
            (N, C, ..., T) float32, spikes, messages or values, as the first block takes them.
        target : Tensor, optional
            Labels, (N,) or (N, T), or values, (N, C, ...) or (N, C, ..., T), as `learn` takes them.

        Returns
        -------
        Tensor
            (N, C, ..., T), as of `learn`.

        Raises
        ------
        TypeError
            If the input is not a tensor as the first block takes it, or the loss returns no number.
        ValueError
            If there is no step, the target has another form, traces would take too much memory, or a parameter is
            trained that was frozen when the learner was made.
        """
        _validate.tensor(input, "input of a learner", 3, "(N, C, ..., T)")
        if not input.shape[-1]:
            raise ValueError(f"input of a learner must have a step at least, got shape {tuple(input.shape)}")
        self._check_frozen()
        targets = None if target is None else _over_time(target, input.shape[0], input.shape[-1])
        output: Tensor | None = None
        left: Tensor | None = None
        t, steps = 0, input.shape[-1]
        while t < steps:
            n = min(steps - t, self.window - self._open)
            if self.every is not None:
                n = min(n, self.every - self._since)
            piece = input[..., t : t + n]
            if input.stride(-1) == 1 and n > 1:  # time is innermost: a copy of few steps is cheaper than their strides
                piece = time_first(piece.contiguous())
            compared, sent = self._forward(piece, None if targets is None else targets[..., t : t + n])
            output, left = _put(output, compared, t, steps), _put(left, sent, t, steps)
            t += n
            if self._open == self.window or self._since == self.every:
                self._close()
            if self._since == self.every:
                self.update()
        assert output is not None
        self.output = left
        return output

    def forward(self, input: Tensor) -> Tensor:
        """The output for `input` (N, C, ..., T) from rest, as `learn` returns it, without learning.

        The call does not affect a signal that `stream` is in the middle of.
        """
        held = self.get_extra_state()
        self.reset()
        with torch.no_grad():
            x, found = input, None
            for number, layer in enumerate(self._layers):
                sent, x = layer.forward(x, False)
                if self.rule != "local":
                    found = x
                elif self._is_read(number, layer):
                    found = self._read(number, layer, sent)
        self.set_extra_state(held)
        assert found is not None
        return found

    def update(self) -> None:
        """Pass the gradient summed since the last update to the optimiser."""
        self._close()
        if self._learned:
            self.optimizer.zero_grad(set_to_none=True)
            _gathered.send_back([one for layer in self._layers for one in layer.gathered], 1 / self._learned)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        for layer in self._layers:
            layer.gather_norms()
        self._since = self._learned = 0

    # -- inside -------------------------------------------------------------------------------

    def _check_frozen(self) -> None:
        """Raise if a parameter that had no traces is trained now."""
        for name in self._frozen:
            if self.net.get_parameter(name).requires_grad:
                raise ValueError(
                    f"parameters must not be unfrozen after the learner was made, got {name}, which was frozen then: "
                    "make a new learner after requires_grad has changed"
                )

    def _forward(self, x: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
        """The values that the loss sees, and the output of the last block, at the next steps, within one window."""
        n, compared, sent_by = x.shape[-1], [], []
        for number, layer in enumerate(self._layers):
            sent, x = layer.forward(x, self.training)
            sent_by.append(sent)
            if self.rule == "local" and self._is_read(number, layer):
                compared.append(self._read(number, layer, sent))
        if self.rule != "local":
            compared.append(x)
        self._seen.append((target, compared))
        if self.penalty is not None:
            self._sent.append(sent_by)
        self._step += n
        if target is not None:
            self._labelled = self._step
        self._since += n
        self._open += n
        return compared[-1], x

    def _is_read(self, number: int, layer: Layer) -> bool:
        return layer.learns or number == len(self._layers) - 1

    def _read(self, number: int, layer: Layer, sent: Tensor) -> Tensor:
        """The values that the loss of a layer that learns locally sees, (N, classes, T)."""
        if layer.reads_out:
            return sent
        neurons = sent.shape[1:-1].numel()
        matrix = self._matrix(number, (self.classes or 1, neurons), neurons, READOUT)
        return _times(matrix, sent.flatten(1, -2))

    def _matrix(self, number: int, shape: tuple[int, int], inputs: int, size: float = 1.0) -> Tensor:
        key = str(number)
        if key not in self.matrices:
            bound = size * inputs**-0.5
            self.matrices[key] = _fixed((2 * torch.rand(shape) - 1) * bound)
        found: Tensor = self.matrices[key]
        if tuple(found.shape) != shape:
            raise ValueError(f"matrix {key} of a learner must have the shape {shape}, got {tuple(found.shape)}")
        return found.detach()

    def _close(self) -> None:
        """Gather the gradients of the steps since the last window."""
        if not self._open:
            return
        begin = self._step - self._open
        self._charge()
        lag = sum(layer.lag for layer in self._layers) if self._sent and self.rule != "local" else 0
        if begin - lag < self._labelled:
            RULES[self.rule](self, begin, self._errors())
        lag = 0
        for layer in reversed(self._layers):
            lag += 0 if self.rule == "local" else layer.lag
            layer.close(max(0, self._step - lag))
        self._seen, self._sent, self._open = [], [], 0

    def _errors(self) -> list[Tensor]:
        """The gradients of the loss to what is compared, each (N, C, ..., T) over the window, 0 without a target."""
        targets = [target for target, _ in self._seen if target is not None]
        self._learned += sum(target.shape[-1] for target in targets)
        target = _folded(torch.cat(targets, dim=-1)) if targets else None
        return [
            self._slope("loss", [compared[number] for _, compared in self._seen], target)
            for number in range(len(self._seen[0][1]))
        ]

    def _charge(self) -> None:
        """Give the layers that learn the gradients of the penalty at the steps since the last window."""
        for number, layer in enumerate(self._layers if self._sent else []):
            if layer.learns and not layer.reads_out:
                layer.charge(self._slope("penalty", [sent[number] for sent in self._sent]))

    def _slope(self, name: str, pieces: list[Tensor], *target: Tensor | None) -> Tensor:
        """The gradient of the loss or the penalty to the pieces of a window, 0 where there is no target."""
        given = [wanted is not None for wanted, _ in self._seen]
        if not any(given):
            return torch.zeros_like(torch.cat(pieces, dim=-1))
        y = torch.cat([piece for piece, known in zip(pieces, given, strict=True) if known], dim=-1).detach()
        steps = y.shape[-1]
        leaf = _folded(y).requires_grad_()
        with torch.enable_grad():
            cost = getattr(self, name)(leaf, *target)
        if not isinstance(cost, Tensor) or cost.numel() != 1:
            raise TypeError(f"{name} must return one number, got {cost!r}")
        (slope,) = torch.autograd.grad(cost, leaf)
        slope = (slope * steps).unflatten(0, (steps, -1)).movedim(0, -1)
        return slope if all(given) else _spread(slope, pieces, given)

    def _local(self, begin: int, errors: list[Tensor]) -> None:
        remaining = list(errors)
        for number, layer in enumerate(self._layers):
            if not self._is_read(number, layer):
                continue
            error = remaining.pop(0)
            if not layer.learns:
                continue
            if not layer.reads_out:
                matrix = self.matrices[str(number)].detach()
                shape = layer.sent_shape
                error = _times(matrix.t(), error).unflatten(1, shape)
            layer.learn(Stretch(begin, error), False)

    def _spatial(self, begin: int, errors: list[Tensor]) -> None:
        first = next((i for i, layer in enumerate(self._layers) if layer.learns), len(self._layers))
        g: Stretch | None = Stretch(begin, errors[0])
        for number in range(len(self._layers) - 1, first - 1, -1):
            layer = self._layers[number]
            sent = None if g is None else layer.sent(g)
            if sent is None:
                return
            g = layer.learn(sent, number > first)

    def _random(self, begin: int, errors: list[Tensor]) -> None:
        error, lag = errors[0], 0
        outputs = error.shape[1:-1].numel()
        for number in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[number]
            g = Stretch(begin, error)
            if number < len(self._layers) - 1 and layer.learns:
                start = max(0, begin - lag)
                shape = layer.sent_shape
                matrix = self._matrix(number, (shape.numel(), outputs), outputs)
                back = _times(matrix, error.flatten(1, -2)).unflatten(1, shape)
                back = back[..., start - (begin - lag) :]
                g = Stretch(start, back)
            if layer.learns and g.gradient.shape[-1]:
                sent = layer.sent(g)
                if sent is not None:
                    layer.learn(sent, False)
            lag += layer.lag


#: The functions that gather the gradients of a window, by the name of the rule.
RULES: dict[str, Callable[[Learner, int, list[Tensor]], None]] = {
    "spatial": Learner._spatial,
    "local": Learner._local,
    "random": Learner._random,
}


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    """A matrix (O, M) times (N, M, T): (N, O, T). The bits depend neither on the number of threads nor on T."""
    n, width, steps = x.shape
    rows = x.detach().permute(2, 0, 1).reshape(steps * n, width).contiguous()
    found = torch.from_numpy(product(rows.numpy(), matrix.t().contiguous().numpy()))
    return found.view(steps, n, len(matrix)).permute(1, 2, 0)


def _fixed(matrix: Tensor) -> torch.nn.Parameter:
    """A matrix that is saved with the learner and not trained."""
    return torch.nn.Parameter(matrix, requires_grad=False)


def _made_again(made_of: Any, matrices: dict[str, Tensor], training: bool, state: dict[str, Any]) -> Learner:
    """A learner of what another was made of, in the same state."""
    learner = Learner(*made_of)
    learner.matrices.update({key: _fixed(value) for key, value in matrices.items()})
    learner.train(training)
    learner.set_extra_state(state)
    return learner


def _over_time(target: Tensor, samples: int, steps: int) -> Tensor:
    """A target with a value at each step: time is the last axis."""
    _validate.tensor(target, "target", 1)
    whole = not target.is_floating_point()
    lasting = target.ndim == 1 if whole else target.shape[-1] != steps or target.ndim < 3
    if lasting:
        target = target.unsqueeze(-1).expand(*target.shape, steps)
    if target.shape[0] != samples or target.shape[-1] != steps:
        raise ValueError(
            f"target must have the axes (N,) or (N, T) of labels, (N, C) or (N, C, T) of values, for {samples} samples "
            f"of {steps} steps, got {tuple(target.shape)} {target.dtype}"
        )
    return target


def _put(whole: Tensor | None, part: Tensor, t: int, steps: int) -> Tensor:
    """Put `part` (N, ..., n) at step t of `whole` (N, ..., steps), which the first part makes.

    Parts that were kept until the end would lie between the large arrays of a pass: their memory could not be used
    again, and a long signal would take ever more.
    """
    if whole is None:
        whole = part.new_empty((*part.shape[:-1], steps))
    whole[..., t : t + part.shape[-1]] = part
    return whole


def _folded(x: Tensor) -> Tensor:
    """(N, ..., T) as (T * N, ...): steps are samples."""
    return x.movedim(-1, 0).flatten(0, 1)


def _spread(slope: Tensor, pieces: Sequence[Tensor], given: Sequence[bool]) -> Tensor:
    """A gradient to the pieces with a target as one to all pieces, 0 where there is none."""
    parts, t = [], 0
    for piece, known in zip(pieces, given, strict=True):
        n = piece.shape[-1]
        parts.append(slope[..., t : t + n] if known else torch.zeros_like(piece))
        t += n if known else 0
    return torch.cat(parts, dim=-1)
