"""Images a second of one recipe in PyTorch on the CPU, for the benchmark beside the engine (networks.mjs).

usage: pytorch_images_per_second.py RECIPE_JSON THREADS SECONDS LAYOUT(nchw|nhwc)   -> one JSON line on standard output
A step gathers a random batch from a resident set, then forward, loss, backward, optimiser. Median over blocks of steps.
"""
import json, pathlib, statistics, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test" / "pytorch"))
import torch
import torch.nn.functional as F

from gan_steps import build as build_gan
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
values = {k: v for k, v in recipe["hyperparameters"].items()}


def draw():
    rows = torch.randint(0, count, (batch,))
    return images[rows].contiguous(memory_format=form), labels[rows]


def classification():
    network = build_network(recipe, None).to(memory_format=form).train()
    optimizer = build_optimizer(recipe, network, values, fused=True)

    def step():
        x, y = draw()
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def gan():
    networks = [network.float().to(memory_format=form).train() for network in build_gan(recipe)]
    generator, discriminator = networks
    of_g, of_d = (build_optimizer(recipe, network, values, fused=True) for network in networks)
    one, zero, bce = torch.ones(batch), torch.zeros(batch), F.binary_cross_entropy_with_logits
    classes, latent = recipe["dataset"]["classes"], recipe["procedure"]["latent"]

    def step():
        (x, y), z, planes = draw(), torch.randn(batch, latent, 1, 1), None
        if recipe["procedure"]["conditional"]:
            hot = F.one_hot(y, classes).float()[:, :, None, None]
            z, planes = torch.cat([z, hot], dim=1), hot.expand(-1, -1, *x.shape[2:])
        judge = lambda shown: discriminator(shown if planes is None else torch.cat([shown, planes], dim=1)).reshape(-1)
        fake = generator(z)
        of_d.zero_grad(set_to_none=True)
        (bce(judge(x), one) + bce(judge(fake.detach()), zero)).backward()
        of_d.step()
        of_g.zero_grad(set_to_none=True)
        bce(judge(fake), one).backward()
        of_g.step()

    return step


step = gan() if "procedure" in recipe else classification()


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
