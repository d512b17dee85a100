"""Two processes take the step that one takes with the whole batch, and leave nothing behind."""

from __future__ import annotations

import json
import os

import pytest

torch = pytest.importorskip("torch")

from tests.support import PATIENCE, families  # noqa: E402
from validation.distributed import train  # noqa: E402
from validation.distributed.launch import launch  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")

SIZES = (12, 20, 5)


def networks():
    """A small network of each family, with whatever gets its shape from a first pass."""
    from lavadl_ref.slayer import block as blocks
    from tests.support import matrix

    for family in families.NAMES:
        torch.manual_seed(5)
        made, neuron = getattr(blocks, family), {**matrix.FAMILIES[family], "requires_grad": True}
        last = made.Dense if family == "sigma_delta" else made.Recurrent
        net = torch.nn.Sequential(made.Dense(neuron, 12, 20, weight_scale=3, delay=True), last(neuron, 20, 5))
        yield family, net


def gradients(rank, world):
    """Gradients of every family, from this process's share of one batch."""
    found = {}
    x, wanted = train.batch(1, 8, 12, SIZES, rate=0.4)
    mine, answers = train.share(x, rank, world), train.share(wanted, rank, world)
    for family, net in networks():
        if rank:  # what the first process has is what counts
            with torch.no_grad():
                for p in net.parameters():
                    p.add_(1)
        # every process has shaped its network by one and the same sample
        wrapped = train.parallel(net, x[:1], world)
        unused = {n for n, p in net.named_parameters() if not p.requires_grad}
        train.loss_of(wrapped, mine, answers).backward()
        found[family] = {
            n: p.grad.tolist() for n, p in net.named_parameters() if n not in unused and p.grad is not None
        }
    return found


def main():
    """The program of each process."""
    torch.set_num_threads(1)
    with train.group() as (rank, world):
        found = gradients(rank, world)
        if rank == 0:
            print(json.dumps(found))


@pytest.mark.timeout(1500)
def test_gradients_are_those_of_the_joint_batch():
    found = json.loads(launch("validation.distributed.test_distributed", processes=2, timeout=PATIENCE))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = gradients(0, 1)
    torch.set_num_threads(before)
    assert found.keys() == expected.keys() == set(families.NAMES)
    for family, values in expected.items():
        assert found[family].keys() == values.keys()
        assert any(name.endswith("weight") and torch.tensor(g).any() for name, g in values.items()), family
        for name, value in values.items():
            one, two = torch.tensor(value), torch.tensor(found[family][name])
            scale = float(one.abs().max())
            torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5 * scale, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.timeout(1500)
def test_two_processes_train_as_one():
    options = ["--samples", 8, "--steps", 20, "--updates", 3, "--sizes", 30, 20, 5]
    one, two = (json.loads(launch("validation.distributed.train", *options, processes=n)) for n in (1, 2))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["threads"] == two["threads"] == 1
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert one["losses"][0] != one["losses"][-1]
    assert one["gradient_bytes"] == two["gradient_bytes"] == 4 * (30 * 20 + 20 * 5 + 2 * 2)


def test_the_shares_of_a_batch_must_be_equal():
    with pytest.raises(ValueError, match="a batch that 2 processes can share, got 3 samples"):
        train.share(torch.zeros(3, 1), 0, 2)


def test_what_fails_or_hangs_is_an_error_and_leaves_nothing():
    with pytest.raises(RuntimeError, match="failed"):
        launch("validation.distributed.train", "--samples", 3, "--steps", 2, processes=2, timeout=PATIENCE)
    with pytest.raises(RuntimeError, match="did not end within 1 s"):
        launch("validation.distributed.train", processes=2, timeout=1)
    assert os.getpid()


if __name__ == "__main__":
    main()
