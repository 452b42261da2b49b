"""Logits that PyTorch finds with kept weights: reads FOLDER/{weights.safetensors,weights-recipe.json,images.bin}, of which the
last is [image][channel][row][column] bytes, and writes FOLDER/logits.json. The product needs no Python.

    python native/test/pytorch/label_images.py test/golden/weights
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from open_weights import open_network


def main(folder):
    kept = json.loads((folder / "weights-recipe.json").read_text())
    scale, shift = (np.array(kept["normalisation"][name]).reshape(1, -1, 1, 1) for name in ("scale", "shift"))
    images = np.frombuffer((folder / "images.bin").read_bytes(), np.uint8).reshape(-1, *kept["recipe"]["dataset"]["shape"])
    network = open_network(folder, kept["recipe"]).double()
    with torch.no_grad():
        logits = network(torch.tensor(images * scale + shift))
    (folder / "logits.json").write_text(json.dumps(logits.tolist()) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
