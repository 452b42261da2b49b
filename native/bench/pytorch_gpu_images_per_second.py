"""Images a second of one recipe in PyTorch on a GPU, for the benchmark beside the engine (gpu-networks.mjs).

usage: pytorch_gpu_images_per_second.py RECIPE_JSON WAY SECONDS [--float32]   -> one JSON line on standard output

WAY  eager        one trial, a plain loop, fused optimiser, data resident on the device
     graph        the whole step (gather, forward, backward, optimiser) in one CUDA graph, replayed
     compile      torch.compile of the network, the step in a CUDA graph
     vmap:K       K trials in one vmapped step (own weights, learning rate, batch, dropout), in one CUDA graph
TF32 is allowed in convolutions and products unless --float32. Median over blocks of steps. Exit code 3: not this network.
"""
import json, pathlib, statistics, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test" / "pytorch"))
import torch
import torch.nn.functional as F

from recipe_network import build_network, build_optimizer

recipe, way, seconds = json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2], float(sys.argv[3])
tf32 = "--float32" not in sys.argv
if "procedure" in recipe or "text" in recipe["dataset"]:
    sys.exit(3)
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
torch.backends.cudnn.benchmark = True
torch.manual_seed(0)
device = torch.device("cuda")
batch, shape, values = recipe["batch_size"], recipe["dataset"]["shape"], dict(recipe["hyperparameters"])
count = max(6000, batch)
images, labels = torch.randn(count, *shape, device=device), torch.randint(0, recipe["dataset"]["classes"], (count,), device=device)


def graphed(step, rows, fresh):
    """A step() that reads the static tensor `rows`, captured: replays it with fresh rows."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return lambda: (rows.copy_(fresh()), graph.replay())


def one_trial():
    network = build_network(recipe, None).to(device).train()
    if any(parameter.dim() == 4 for parameter in network.parameters()) and shape[0] > 1:
        network = network.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(recipe, network, values, fused=True)
    forward = torch.compile(network) if way == "compile" else network
    rows = torch.zeros(batch, dtype=torch.long, device=device)

    def step():
        loss = F.cross_entropy(forward(images[rows]), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    fresh = lambda: torch.randint(0, count, (batch,), device=device)
    if way == "eager":
        return lambda: (rows.copy_(fresh()), step())
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    return graphed(step, rows, fresh)


def vmapped(trials):
    """Momentum of 0.9, whatever the recipe's optimiser: torch.func has none of its own."""
    from torch.func import functional_call, grad, stack_module_state, vmap

    networks = [build_network(recipe, None).to(device).train() for _ in range(trials)]
    parameters, buffers = stack_module_state(networks)
    parameters = {name: value.detach() for name, value in parameters.items()}
    velocity = {name: torch.zeros_like(value) for name, value in parameters.items()}
    base = build_network(recipe, None).to("meta").train()
    rates = torch.linspace(0.5, 2, trials, device=device) * values["learning_rate"]
    rows = torch.zeros(trials, batch, dtype=torch.long, device=device)

    def loss(p, b, x, y):
        return F.cross_entropy(functional_call(base, (p, b), (x,)), y)

    gradients = vmap(grad(loss), randomness="different")

    def step():
        found = gradients(parameters, buffers, images[rows], labels[rows])
        for name, value in parameters.items():
            velocity[name].mul_(0.9).add_(found[name])
            value.sub_(velocity[name] * rates.view(-1, *[1] * (value.dim() - 1)))

    return graphed(step, rows, lambda: torch.randint(0, count, (trials, batch), device=device))


trials = int(way.split(":")[1]) if way.startswith("vmap:") else 1
step = vmapped(trials) if trials > 1 else one_trial()
for _ in range(5):
    step()
torch.cuda.synchronize()
begin = time.perf_counter()
for _ in range(5):
    step()
torch.cuda.synchronize()
steps = max(1, int(0.1 / ((time.perf_counter() - begin) / 5)))
rates, end = [], time.perf_counter() + seconds
while time.perf_counter() < end or len(rates) < 3:
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    rates.append(steps * batch * trials / (time.perf_counter() - begin))
print(json.dumps({"images_per_second": statistics.median(rates), "way": way, "tf32": tf32, "torch": torch.__version__, "gpu": torch.cuda.get_device_name()}))
