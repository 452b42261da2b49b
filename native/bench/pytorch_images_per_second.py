"""Images a second of one recipe in PyTorch on the CPU, for the benchmark beside the engine (networks.mjs).

usage: pytorch_images_per_second.py RECIPE_JSON THREADS SECONDS LAYOUT(nchw|nhwc)   -> one JSON line on standard output
A step gathers a random batch from a resident set, then forward, loss, backward, optimiser. Median over blocks of steps.
"""
import json, pathlib, statistics, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test" / "pytorch"))
import torch
import torch.nn.functional as F

from recipe_network import build_network, build_optimizer

recipe, threads, seconds, layout = json.loads(pathlib.Path(sys.argv[1]).read_text()), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
torch.set_num_threads(threads)
torch.manual_seed(0)
form = torch.channels_last if layout == "nhwc" else torch.contiguous_format
batch, shape = recipe["batch_size"], recipe["dataset"]["shape"]
count = max(6000, batch)
classes, text = recipe["dataset"]["classes"], "text" in recipe["dataset"]
images = torch.randint(0, classes, (count, *shape)) if text else torch.randn(count, *shape).contiguous(memory_format=form)
labels = torch.randint(0, classes, (count, 1, shape[2]) if text else (count,))
network = build_network(recipe, None).to(memory_format=form).train()
values = {k: v for k, v in recipe["hyperparameters"].items()}
optimizer = build_optimizer(recipe, network, values, fused=True)


def step():
    rows = torch.randint(0, count, (batch,))
    loss = F.cross_entropy(network(images[rows].contiguous(memory_format=form)), labels[rows])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


for _ in range(3):
    step()
begin = time.perf_counter()
step()
steps = max(1, int(0.25 / (time.perf_counter() - begin)))
rates, end = [], time.perf_counter() + seconds
while time.perf_counter() < end or len(rates) < 3:
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    rates.append(steps * batch / (time.perf_counter() - begin))
print(json.dumps({"images_per_second": statistics.median(rates), "threads": threads, "layout": layout, "torch": torch.__version__}))
