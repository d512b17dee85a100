"""Assistant and statistics over three iterations: neurons with parameters of their own, delays, both spike losses."""

import lava.lib.dl.slayer as slayer
import torch

PARAMS = {
    "threshold": 0.6, "current_decay": 0.3, "voltage_decay": 0.1, "tau_grad": 0.1, "scale_grad": 1,
    "shared_param": False, "requires_grad": False,
}  # fmt: skip


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        dense = slayer.block.cuba.Dense
        self.blocks = torch.nn.ModuleList(
            [
                dense(PARAMS, 20, 16, weight_norm=True, delay=True),
                dense(PARAMS, 16, 3, weight_norm=True),
            ]
        )

    def forward(self, x):
        count = []
        for block in self.blocks:
            x = block(x)
            count.append(torch.mean(x).item())
        return x, torch.FloatTensor(count).reshape((1, -1))

    def grad_flow(self):
        return torch.tensor([block.synapse.grad_norm for block in self.blocks])


def train(error, target, found, key, classifier=None):
    net = Network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    stats = slayer.utils.LearningStats()
    assistant = slayer.utils.Assistant(net, error, optimizer, stats, classifier=classifier, count_log=True)
    x = (torch.rand(6, 20, 30) < 0.3).float()
    for iteration in range(3):
        output, count = assistant.train(x, target)
        if iteration == 0:
            found |= {f"{key}/output": output.detach(), f"{key}/count": count, f"{key}/grad": net.grad_flow()}
            found[f"{key}/accuracy"] = torch.tensor(float(stats.training.accuracy or 0.0))
        stats.update()
    found[f"{key}/epochs"] = torch.tensor(len(stats.training.loss_log))
    found[f"{key}/first_loss"] = error(found[f"{key}/output"], target)
    with torch.no_grad():
        output, _ = assistant.test(x, target)
    found[f"{key}/delay"] = net.blocks[0].delay.delay.detach().flatten().floor()


def run(seed):
    torch.manual_seed(seed)
    found = {}
    label = torch.arange(6) % 3
    train(
        slayer.loss.SpikeRate(true_rate=0.5, false_rate=0.05, reduction="sum"), label, found, "rate",
        slayer.classifier.Rate.predict,
    )  # fmt: skip
    wanted = (torch.rand(6, 3, 30) < 0.1).float()
    train(slayer.loss.SpikeTime(time_constant=2, length=20, filter_order=1), wanted, found, "time")
    train(slayer.loss.SpikeMax(mode="softmax"), label, found, "max", slayer.classifier.Rate.predict)
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.sum()))
