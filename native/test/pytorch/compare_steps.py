"""Ten training steps of each catalogue network in PyTorch from the engine's own start.

usage: python3 compare_steps.py FOLDER GOLDEN_FOLDER

FOLDER holds what export-start.mjs wrote: NAME/recipe.json, images.u8, labels.u8, weights.f32, start.json. For each
network the losses of ten steps and a digest of every tensor afterwards go to GOLDEN_FOLDER/NAME.json, which the engine's
tests read (native/test/pytorch.test.ts). Run in double precision, so that the golden numbers have no rounding of their own,
and once more in single: how far its losses are off goes there too.
"""
import json, pathlib, sys

import numpy as np
import torch
import torch.nn.functional as F

from gan_steps import build, run_steps
from recipe_network import build_network, build_optimizer

STEPS = 10


def digest(tensor):
    """Sum, Euclidean norm and four elements spread over the tensor."""
    flat = tensor.detach().reshape(-1).double()
    picks = [round(i * (flat.numel() - 1) / 3) for i in range(4)]
    return {"sum": flat.sum().item(), "norm": flat.norm().item(), "elements": [[p, flat[p].item()] for p in picks]}


def tensors_of(network):
    """Parameters and running statistics layer by layer, as the engine lists them."""
    return [t for name, t in network.state_dict(keep_vars=True).items() if not name.endswith("num_batches_tracked")]


def normalised(images, used):
    mean = images[:used].mean(dim=(0, 2, 3), keepdim=True)
    std = images[:used].std(dim=(0, 2, 3), keepdim=True, unbiased=False)
    return (images - mean) / std


def classify(recipe, start, network, images, labels):
    optimizer = build_optimizer(recipe, network, start["hyperparameters"])
    losses, batch = [], recipe["batch_size"]
    for step in range(STEPS):
        rows = slice(step * batch, (step + 1) * batch)
        loss = F.cross_entropy(network(images[rows]), labels[rows], label_smoothing=start["hyperparameters"]["label_smoothing"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def run(folder, precision):
    recipe = json.loads((folder / "recipe.json").read_text())
    start = json.loads((folder / "start.json").read_text())
    channels, height, width = recipe["dataset"]["shape"]
    count = recipe["dataset"]["train_images"]
    used = count - recipe["dataset"]["validation"]
    text = "text" in recipe["dataset"]
    images = None if text else torch.from_numpy(np.fromfile(folder / "images.u8", np.uint8).reshape(count, channels, height, width).copy()).to(precision) / 255
    labels = torch.from_numpy(np.fromfile(folder / "labels.u8", np.uint8).copy()).long()
    if text:
        characters = torch.from_numpy(np.fromfile(folder / "images.u8", np.uint8).copy()).long()
        images, labels = characters[:-1].reshape(count, 1, 1, width), characters[1:].reshape(count, 1, width)
    gan = "procedure" in recipe
    if not text and not gan:
        images = normalised(images, used)

    networks = list(build(recipe, precision)) if gan else [build_network(recipe, dropout=0.0).to(precision).train()]
    tensors = [tensor for network in networks for tensor in tensors_of(network)]
    flat = torch.from_numpy(np.fromfile(folder / "weights.f32", np.float32).copy()).to(precision)
    at = 0
    with torch.no_grad():
        for tensor in tensors:
            tensor.copy_(flat[at : at + tensor.numel()].reshape(tensor.shape))
            at += tensor.numel()
    assert at == flat.numel(), f"{folder.name}: {at} parameters here, {flat.numel()} there"

    if gan:
        losses = run_steps(recipe, start, *networks, images, labels, STEPS)
    else:
        losses = classify(recipe, start, networks[0], images, labels)
    return {
        "network": folder.name,
        "torch": torch.__version__,
        "start": start["weights_sha256"],
        "losses": losses,
        "tensors": [digest(t) for t in tensors],
    }


def main():
    source, golden = map(pathlib.Path, sys.argv[1:3])
    golden.mkdir(parents=True, exist_ok=True)
    for folder in sorted(p for p in source.iterdir() if p.is_dir()):
        result = run(folder, torch.float64)
        single = run(folder, torch.float32)["losses"]
        # What single precision alone may do to these losses, for the test's tolerance.
        result["single"] = max(abs(a - b) / abs(b) for a, b in zip(single, result["losses"]))
        # One line a tensor: large networks have hundreds.
        lines = ",\n".join(f"  {json.dumps(t)}" for t in result.pop("tensors"))
        head = json.dumps(result, indent=1)[:-2]
        (golden / f"{folder.name}.json").write_text(f'{head},\n "tensors": [\n{lines}\n ]\n}}\n')
        print(folder.name, [round(x, 6) for x in result["losses"]])


if __name__ == "__main__":
    main()
