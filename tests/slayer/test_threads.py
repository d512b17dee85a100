"""Training has the same bits for any number of threads, and goes on while a loader's workers use the kernels."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import lavadl_kernels
import pytest
import torch
from lavadl_kernels.runtime import jit as _jit

from tests.support.matrix import FAMILIES
from tests.support.scripts import python
from tests.support.training_step import step

ROOT = Path(__file__).resolve().parents[2]
UNITS, T = 150, 9  # lanes for more than one range a thread, and a multiple of nothing


@pytest.fixture
def threads(monkeypatch):
    """Sets the number of torch's threads; three processors, and no array too small for them."""
    monkeypatch.setattr(_jit, "WORTH", 0)
    monkeypatch.setattr(_jit, "PROCESSORS", 3)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
    lavadl_kernels.set_num_threads(before)


def summed_by_torch(name):
    """Gradients that torch's matrix products sum, which may round otherwise on another number of threads."""
    return name == "input" or ("synapse" in name and "weight" in name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_step_has_the_same_bits_on_any_number_of_threads(threads, family):
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(step(family))
        assert lavadl_kernels.get_num_threads() == count
    for other in results[1:]:
        assert other.keys() == results[0].keys()
        for name, value in results[0].items():
            if summed_by_torch(name):
                torch.testing.assert_close(other[name], value, rtol=1e-5, atol=1e-6 * float(value.abs().max()))
            else:
                assert torch.equal(other[name], value), name


REPRODUCIBLE = """
import torch
from lavadl_kernels.runtime import jit as _jit
from tests.support.matrix import FAMILIES
from tests.support.training_step import step
_jit.WORTH, _jit.PROCESSORS = 0, 3
for family in FAMILIES:
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(step(family))
    for other in results[1:]:
        for name, value in results[0].items():
            assert torch.equal(other[name], value), (family, name)
print("done")
"""


@pytest.mark.skipif(
    not torch.backends.mkl.is_available() or "AVX" not in torch.backends.cpu.get_cpu_capability(),
    reason="needs a torch with MKL, and a processor with AVX2",
)
def test_every_bit_of_a_step_is_reproduced_where_mkl_is_told_to():
    """Rounding in torch's matrix products is the only difference, and MKL_CBWR takes that away too."""
    env = {**os.environ, "MKL_CBWR": "AVX2,STRICT", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = python("-W", "ignore", "-c", REPRODUCIBLE, env=env, cwd=ROOT)
    assert said.split()[-1] == "done"


@pytest.mark.parametrize("count", [2, 1])
def test_kernels_follow_the_threads_of_torch(threads, monkeypatch, count):
    counts = []
    run = _jit.Kernel.__call__

    def noting(kernel, *arguments, **options):
        counts.append(lavadl_kernels.get_num_threads())
        return run(kernel, *arguments, **options)

    monkeypatch.setattr(_jit.Kernel, "__call__", noting)
    lavadl_kernels.set_num_threads(3 - count)
    threads(count)
    step("cuba")
    assert set(counts) == {count}


LOADING = """
import sys
import torch
from lavadl_kernels.runtime import jit as _jit
import lavadl_kernels
from lavadl_ref.slayer import block

_jit.WORTH = 0
_jit.PROCESSORS = 2
PARAMETERS = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1}

def net():
    torch.manual_seed(0)
    return block.cuba.Dense(PARAMETERS, 12, 300)

def encoded(index):
    x = (torch.rand(1, 12, 9, generator=torch.Generator().manual_seed(index)) < 0.5).float()
    with torch.no_grad():
        return net()(x)[0].contiguous()

class Spikes(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return encoded(index), lavadl_kernels.get_num_threads()

def collate(samples):
    x = torch.stack([sample for sample, _ in samples])
    torch.manual_seed(1)
    with torch.no_grad():
        return x, block.cuba.Dense(PARAMETERS, 300, 5)(x).contiguous(), [count for _, count in samples]

if __name__ == "__main__":
    torch.set_num_threads(2)
    expected = [encoded(index) for index in range(8)]
    assert lavadl_kernels.get_num_threads() == 2
    loader = torch.utils.data.DataLoader(
        Spikes(), batch_size=2, num_workers=2, collate_fn=collate, multiprocessing_context=sys.argv[1], timeout=600,
    )
    torch.manual_seed(2)
    trained = block.cuba.Dense({**PARAMETERS, "requires_grad": True}, 300, 5)
    losses = []
    for number, (x, again, counts) in enumerate(loader):
        assert torch.equal(x, torch.stack(expected[2 * number : 2 * number + 2]))
        assert torch.equal(again, collate([(sample, 1) for sample in x])[1])
        if sys.argv[1] == "fork":
            assert counts == [1, 1], counts
        loss = trained(x).sum()
        loss.backward()
        losses.append(loss.item())
        assert lavadl_kernels.get_num_threads() == 2
    assert len(losses) == 4 and sum(losses) > 0
    print("done")
"""


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_the_workers_of_a_loader_use_the_kernels_while_the_parent_trains(tmp_path, context):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(LOADING))
    said = python("-W", "ignore", script, context, cwd=ROOT)
    assert said.split()[-1] == "done"
