"""The ZILN network as one writes it in plain PyTorch over a pandas frame; run in an environment of its own.

The same layers, inputs, batches and passes as Headwater's. ``loader`` feeds it by DataLoader, ``tensors`` by slices
of whole shuffled tensors, which is as fast as a frame in memory allows.
"""

import json
import resource
import sys
import time

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

learn_path, later_path, mode, batch, passes, threads, target = sys.argv[1:8]
BATCH, PASSES = int(batch), int(passes)
torch.set_num_threads(int(threads))
torch.manual_seed(1)
start = time.perf_counter()


def frames():
    learn, later = pd.read_parquet(learn_path), pd.read_parquet(later_path)
    words = [c for c in learn.columns if learn[c].dtype.kind not in "fiub"]
    numbers = [c for c in learn.columns if c not in {*words, target, "cutoff", "bucket"}]
    scales = {}
    for column in numbers:
        unit = learn[column].abs()[learn[column] != 0].mean()
        logs = np.sign(learn[column]) * np.log1p(learn[column].abs() / unit)
        scales[column] = (unit, logs.mean(), logs.std())
    levels = {w: sorted(learn[w].unique()) for w in words}
    gaps = [c for c in numbers if learn[c].isna().any()]

    def tensors(frame):
        made = []
        for column in numbers:
            unit, mean, spread = scales[column]
            logs = np.sign(frame[column]) * np.log1p(frame[column].abs() / unit)
            made.append(((logs - mean) / spread).fillna(0).to_numpy(np.float32))
        made += [frame[c].isna().to_numpy(np.float32) for c in gaps]
        codes = [pd.Categorical(frame[w], categories=levels[w]).codes.astype(np.int64) + 1 for w in words]
        amounts = torch.from_numpy(frame[target].to_numpy(np.float32))
        return torch.from_numpy(np.column_stack(made)), torch.from_numpy(np.column_stack(codes)), amounts

    return tensors(learn), tensors(later), [len(levels[w]) + 1 for w in words]


class Ziln(nn.Module):
    def __init__(self, n_numbers, sizes):
        super().__init__()
        widths = [min(16, int(np.ceil(s**0.25)) + 1) for s in sizes]
        self.embeddings = nn.ModuleList(nn.Embedding(s, w) for s, w in zip(sizes, widths, strict=True))
        self.layers = nn.Sequential(
            nn.Linear(n_numbers + sum(widths), 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)
        )

    def forward(self, numbers, words):
        parts = [e(words[:, k]) for k, e in enumerate(self.embeddings)]
        return self.layers(torch.cat([numbers, *parts], dim=1))


def loss_of(outputs, amounts):
    paid = amounts > 0
    any_amount = nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], paid.float(), reduction="none")
    sigma = nn.functional.softplus(outputs[:, 2]).clamp(min=1e-3)
    safe = torch.where(paid, amounts, torch.ones_like(amounts))
    density = torch.distributions.LogNormal(outputs[:, 1], sigma).log_prob(safe)
    return any_amount - torch.where(paid, density, torch.zeros_like(density))


def batches(data):
    if mode == "loader":
        yield from DataLoader(TensorDataset(*data), batch_size=BATCH, shuffle=True)
        return
    order = torch.randperm(len(data[2]))
    shuffled = [t[order] for t in data]
    for at in range(0, len(order), BATCH):
        yield tuple(t[at : at + BATCH] for t in shuffled)


learn, later, sizes = frames()
ready = time.perf_counter()
network = Ziln(learn[0].shape[1], sizes)
optimizer = torch.optim.AdamW(network.parameters(), lr=0.004, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.93)
took, busy = [], time.process_time()
for _ in range(PASSES):
    began = time.perf_counter()
    for numbers, words, amounts in batches(learn):
        optimizer.zero_grad()
        loss_of(network(numbers, words), amounts).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    schedule.step()
    took.append(time.perf_counter() - began)
seconds, busy = time.perf_counter() - start, time.process_time() - busy
with torch.no_grad():
    loss = float(loss_of(network(later[0], later[1]), later[2]).double().mean())
print(
    json.dumps(
        {
            "seconds": seconds,
            "seconds_ready": ready - start,
            "rows_per_second": len(learn[2]) * PASSES / sum(took),
            "rows_per_cpu_second": len(learn[2]) * PASSES / busy,
            "loss": loss,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
