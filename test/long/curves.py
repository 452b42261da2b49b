"""Training steps of one network in PyTorch from the engine's own start, for curves.mjs.

usage: curves.py FOLDER STEPS EVERY THREADS LAYOUT(nchw|nhwc)   -> one JSON line on standard output

FOLDER holds recipe.json, start.json, images.u8, labels.u8 and weights.f32, as native/test/pytorch/start.mjs writes them. Single
precision. After every EVERY steps the loss and the accuracy of the validation images are taken with the running statistics.
"""
import json, pathlib, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "native" / "test" / "pytorch"))
import numpy as np
import torch
import torch.nn.functional as F

from compare_steps import normalised, tensors_of
from recipe_network import build_network, build_optimizer


def main():
    folder, steps, every, threads = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:5])
    form = torch.channels_last if sys.argv[5] == "nhwc" else torch.contiguous_format
    torch.set_num_threads(threads)
    recipe = json.loads((folder / "recipe.json").read_text())
    values = json.loads((folder / "start.json").read_text())["hyperparameters"]
    count, batch = recipe["dataset"]["train_images"], recipe["batch_size"]
    used = count - recipe["dataset"]["validation"]
    images = np.fromfile(folder / "images.u8", np.uint8).reshape(count, *recipe["dataset"]["shape"])
    images = normalised(torch.from_numpy(images).float() / 255, used).contiguous(memory_format=form)
    labels = torch.from_numpy(np.fromfile(folder / "labels.u8", np.uint8)).long()

    network = build_network(recipe, dropout=0.0)
    flat, at = torch.from_numpy(np.fromfile(folder / "weights.f32", np.float32)), 0
    with torch.no_grad():
        for tensor in tensors_of(network):
            tensor.copy_(flat[at : at + tensor.numel()].reshape(tensor.shape))
            at += tensor.numel()
    assert at == flat.numel(), f"{folder.name}: {at} parameters here, {flat.numel()} there"
    network = network.to(memory_format=form)
    optimizer = build_optimizer(recipe, network, values)

    def evaluate():
        network.eval()
        with torch.no_grad():
            logits = torch.cat([network(part) for part in images[used:].split(batch)])
        network.train()
        right = (logits.argmax(1) == labels[used:]).double().mean().item()
        return {"loss": F.cross_entropy(logits.double(), labels[used:]).item(), "accuracy": right}

    losses, evaluations, seconds = [], [], 0.0
    for step in range(steps):
        started = time.monotonic()
        rows = slice(step * batch, (step + 1) * batch)
        loss = F.cross_entropy(network(images[rows]), labels[rows], label_smoothing=values["label_smoothing"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds += time.monotonic() - started
        if (step + 1) % every == 0:
            evaluations.append({"step": step + 1, **evaluate()})
    print(json.dumps({"version": torch.__version__, "losses": losses, "evaluations": evaluations, "seconds": seconds}))


main()
