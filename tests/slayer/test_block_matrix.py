"""Every family with every block: it trains, keeps its state or does not, and comes back from its file."""

import copy
from pathlib import Path

import pytest
import torch

from lavadl_ref import exchange
from lavadl_ref.exchange import Network
from lavadl_ref.slayer import block as blocks
from lavadl_ref.slayer.auto import SequentialNetwork
from lavadl_ref.slayer.block import base
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import matrix
from tests.support.matrix import BLOCKS, FAMILIES, T
from tests.support.same_networks import same

ADAPTIVE = [name for name in FAMILIES if "threshold_step" in FAMILIES[name]]
FLAT_IN_A_FILE = ["Dense", "Recurrent", "KWTA", "Affine", "Output"]
NORMED = [c for c in matrix.cases(states=False) if c.block in ("Dense", "Conv", "ConvT", "Recurrent", "KWTA", "Affine")]

neurons = pytest.mark.parametrize("case", matrix.cases(), ids=str)
plain = pytest.mark.parametrize("case", matrix.cases(neurons=False), ids=str)


def unused(case):
    """Parameters that the output does not depend on."""
    names = set()
    if case.family == "sigma_delta":
        names.add("neuron.bias")  # added only after `set_bias`
        if case.block in ("Affine", "Output"):
            names.add("neuron.delta.threshold")  # what is read out is not compared
    if case.block == "Affine" and case.family in ADAPTIVE:
        names |= {"neuron.threshold_decay", "neuron.refractory_decay"}  # nor does it adapt
    return names


def made(case, norm=None):
    """The block after a first pass, delayed by different steps where it can be, and its input."""
    block = case.build(norm=norm, **({"delay": True} if BLOCKS[case.block].delays else {}))
    x = case.input()
    with torch.no_grad():
        block(x)
    if getattr(block, "delay", None) is not None:
        block.delay.delay.data = torch.arange(block.delay.delay.numel()) % 3 + 0.5
    if isinstance(block, blocks.base.SpikingBlock):
        block.reset()
    return block, x


def through_a_file(case, block, x, folder):
    """Assert that the file of `block` gives the same output and description; the rebuilt block."""
    y = block(x)
    described = Network((block.describe(),))
    exchange.write(folder / "x.net", described)
    assert exchange.read(folder / "x.net").layers[0].kind == BLOCKS[case.block].layer
    rebuilt = SequentialNetwork(folder / "x.net", persistent_state=case.persistent).eval()
    if case.block in FLAT_IN_A_FILE:
        x, y = x.flatten(1, -2), y.flatten(1, -2)
    assert torch.equal(rebuilt(x), y)
    assert same(Network(tuple(again.describe() for again in rebuilt.blocks)), described)
    return rebuilt.blocks[0]


# -- blocks with neurons ------------------------------------------------------------------------


@neurons
def test_every_block_trains_in_every_family(case):
    block, x = made(case)
    y = block(x.requires_grad_())
    assert y.shape[0] == x.shape[0]
    assert y.shape[-1] == T
    assert y.ndim == x.ndim
    assert len(y.unique()) > 1
    assert block.shape == y.shape[1:-1]
    (y * torch.randn(y.shape)).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()
    without = set()
    for name, p in block.named_parameters():
        if not p.requires_grad:
            assert case.block in ("Pool", "Unpool"), name
        elif p.grad is None or not p.grad.any():
            without.add(name)
        else:
            assert p.grad.isfinite().all(), name
    assert without == unused(case)
    own = ["delta.threshold"] if case.family == "sigma_delta" else block.neuron.kernel.decays
    parameters = dict(block.named_parameters())
    for name in {f"neuron.{name}" for name in own} - without:
        assert parameters[name].numel() == (y.shape[1] if case.per_channel else 1), name


@neurons
def test_the_state_of_every_block_persists(case):
    block, x = made(case)
    block.eval()
    fresh = copy.deepcopy(block)
    with torch.no_grad():
        whole = block(x)
        again = block(x)
        if not case.persistent:
            # nothing is kept from batch to batch, nor from one sample to the next
            assert torch.equal(again, whole)
            assert torch.equal(block(x[1:]), whole[1:])
            assert torch.equal(fresh(x[:1]), whole[:1])
            return
        assert not torch.equal(again, whole)
        for reset in (block, fresh):
            reset.reset()
            parts = [reset(part) for part in x.split([1, 9, 2, T - 12], -1)]
            assert torch.equal(torch.cat(parts, -1), whole)
        block(x[:1])
        fresh.reset()
        assert torch.equal(block(x), fresh(x))  # a state of another batch is no start


@neurons
def test_every_block_comes_back_from_its_file(case, tmp_path):
    block, x = made(case)
    rebuilt = through_a_file(case, block.eval(), x, tmp_path)
    name = "Recurrent" if case.block == "KWTA" else case.block
    assert isinstance(rebuilt, getattr(case.module, name))
    assert rebuilt.delay_shift == block.delay_shift == (case.family != "sigma_delta" and case.block != "Affine")


@pytest.mark.parametrize("norm", [MeanOnlyBatchNorm, WgtScaleBatchNorm], ids=["mean", "scale"])
@pytest.mark.parametrize("case", NORMED, ids=str)
def test_norms_come_back(case, norm, tmp_path):
    if norm is WgtScaleBatchNorm and case.block in ("Recurrent", "KWTA"):
        with pytest.raises(ValueError, match=f"{case.block} cannot have WgtScaleBatchNorm.*use MeanOnlyBatchNorm"):
            case.build(norm=norm)
        return
    block, x = made(case, norm)
    for seed in range(3):
        block(case.input(seed)).sum().backward()
    means = [m.running_mean for m in block.neuron.modules() if isinstance(m, MeanOnlyBatchNorm)]
    assert len(means) == (2 if case.family in matrix.COMPLEX else 1)
    assert all(mean.any() for mean in means)
    through_a_file(case, block.eval(), x, tmp_path)


@pytest.mark.parametrize("block", ["Dense", "Conv", "Affine"])
def test_bias_and_accumulated_error_of_sigma_delta_come_back(block, tmp_path):
    case = matrix.Case("sigma_delta", block, "spatial" if block == "Conv" else "dense")
    arguments, _ = BLOCKS[block].inputs[case.form]
    torch.manual_seed(1)
    made = getattr(case.module, block)({**case.params, "cum_error": True}, *arguments)
    plain = made(case.input())
    made.neuron.set_bias(torch.arange(plain.shape[1]) / 16)
    y = made(case.input())
    assert not torch.equal(y, plain)
    (y * torch.randn(y.shape)).sum().backward()
    assert made.neuron.bias.grad.all()
    rebuilt = through_a_file(case, made, case.input(), tmp_path)
    assert rebuilt.neuron.cum_error is True


# -- blocks without -----------------------------------------------------------------------------


@plain
def test_blocks_without_neurons_run_and_train(case, tmp_path):
    block, x = made(case)
    y = block(x.requires_grad_())
    y.square().sum().backward()
    assert x.grad.any()
    assert not list(block.parameters())
    assert torch.equal(block(x), y)
    assert type(through_a_file(case, block, x, tmp_path)) is getattr(case.module, case.block)


def test_blocks_without_neurons_are_the_same_for_every_family():
    for name, block in BLOCKS.items():
        if not block.neurons:
            assert {getattr(getattr(blocks, family), name) for family in FAMILIES} == {getattr(blocks.cuba, name)}


# -- what does not exist ------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "reason"), matrix.refused(), ids=str)
def test_blocks_without_sense_are_refused(case, reason):
    with pytest.raises(ValueError, match=f"{case.block} {reason}.*{case.family}"):
        case.build()


@pytest.mark.parametrize("family", FAMILIES)
def test_exactly_these_blocks_exist(family):
    module = vars(getattr(blocks, family))
    there = {name for name, value in module.items() if isinstance(value, type) and issubclass(value, base.Block)}
    assert there == {name for name, b in BLOCKS.items() if family not in b.absent}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [name for name, b in BLOCKS.items() if b.only])
def test_a_spatial_block_refuses_flat_input(family, name):
    block = matrix.Case(family, name, "spatial").build()
    with pytest.raises(ValueError, match=r"\(N, \w+, H, W, T\), got \(2, 2, 24\)"):
        block(torch.zeros(2, 2, T))


# -- the page -----------------------------------------------------------------------------------


def test_the_page_is_what_the_list_gives():
    page = Path(__file__).parents[2] / "docs" / "blocks.md"
    assert page.read_text(encoding="utf-8") == matrix.table(), "python -m tests.support.matrix docs/blocks.md"
