"""Opens a trial's kept weights in PyTorch and measures its validation images again; the product needs no Python.

    convsweep trial show 1/3 --save kept
    python native/test/pytorch/open_weights.py kept VAL_LOSS

Exits with 1 unless the mean loss agrees with VAL_LOSS, the trial's last val_loss, to 1e-4. For data sets of array files (.npy)
and networks that label images, nested ones too; the order of images and their normalisation are worked out here, from what docs/sweep-file.md says.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from recipe_network import build_network
from safetensors.torch import load_file


def order_of(count, digest):
    """Fisher-Yates by mulberry32, seeded with the digest's first 32 bits."""
    mask = 0xFFFFFFFF
    state = int(digest[:8], 16)

    def draw():
        nonlocal state
        state = (state + 0x6D2B79F5) & mask
        t = ((state ^ (state >> 15)) * (1 | state)) & mask
        t ^= (t + (((t ^ (t >> 7)) * (61 | t)) & mask)) & mask
        return (t ^ (t >> 14)) / 2**32

    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = int(draw() * (i + 1))
        order[i], order[j] = order[j], order[i]
    return order


def load_images(dataset):
    source = dataset["arrays"]
    images, labels = np.load(source["images"]["path"]), np.load(source["labels"]["path"]).reshape(-1)
    if images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    order = order_of(len(images), source["images"]["sha256"])
    images = images.reshape(-1, *dataset["shape"])[order].astype(np.float64)
    held = len(images) - dataset["validation"]
    axes = (0, 2, 3)
    mean, deviation = (f(images[:held], axis=axes, keepdims=True) for f in (np.mean, np.std))
    x = torch.tensor((images[held:] - mean) / deviation, dtype=torch.float32)
    return x, torch.tensor(labels[order][held:].astype(np.int64))


def open_network(folder, recipe):
    network = build_network(recipe, None)
    kept = load_file(Path(folder) / "weights.safetensors")
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    # A safetensors file lists names by their bytes' places, load_file by name: the engine's places count up.
    ordered = sorted(
        kept, key=lambda name: [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
    )
    places = {}
    for name in ordered:
        places.setdefault(name.rsplit(".", 1)[0], {})[name.rsplit(".", 1)[1]] = kept[name]
    theirs = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in names))
    assert len(theirs) == len(places), (theirs, list(places))
    state = {f"{mine}.{p}": tensor for mine, (_, tensors) in zip(theirs, places.items()) for p, tensor in tensors.items()}
    missing, strange = network.load_state_dict(state, strict=False)
    assert not strange and all(name.endswith("num_batches_tracked") for name in missing), (missing, strange)
    return network.eval()


def main(folder, reported):
    recipe = json.loads((Path(folder) / "weights-recipe.json").read_text())["recipe"]
    network = open_network(folder, recipe)
    x, labels = load_images(recipe["dataset"])
    with torch.no_grad():
        logits = network(x)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    print(f"PyTorch: val_loss {loss:.6f}, val_accuracy {accuracy:.4f}; the trial reported val_loss {reported:.6f}")
    return 0 if abs(loss - reported) <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
