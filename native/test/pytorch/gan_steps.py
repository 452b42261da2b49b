"""Ten steps of a GAN in PyTorch, in the order of its DCGAN example, from the engine's own weights, batches and latents.

The latents are the engine's draws, worked out again here: Philox4x32-10 (Salmon et al. 2011) keyed by the lane's seed with
the counter {element / 4, step, 0, purpose 5}, and Box and Muller's normal deviates. Value j of image i in a step is element
i * latent + j; the engine numbers steps by passes, four to a training step.
"""
import numpy as np
import torch
import torch.nn.functional as F

from recipe_network import build_network, build_optimizer

PASSES = 4
LATENT = 5


def philox(counter, key0, key1):
    """counter: uint32 [n, 4]"""
    c = [counter[:, i].astype(np.uint64) for i in range(4)]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(key0), b & low, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(key1), a & low]
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1)


def latents(seed, step, images, count):
    elements = images * count
    blocks = (elements + 3) // 4
    counter = np.zeros((blocks, 4), np.uint32)
    counter[:, 0], counter[:, 1], counter[:, 3] = np.arange(blocks), step * PASSES, LATENT
    words = philox(counter, seed & 0xFFFFFFFF, seed >> 32)
    pairs = words.reshape(-1, 2)
    uniform = ((pairs[:, 0] >> np.uint64(9)).astype(np.float64) + 0.5) / 2**23
    radius, angle = np.sqrt(-2 * np.log(uniform)), 2 * np.pi * pairs[:, 1].astype(np.float64) / 2**32
    values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:elements]
    return torch.from_numpy(values.reshape(images, count))


def with_layers(recipe, layers, shape):
    return {**recipe, "network": {"layers": layers}, "dataset": {**recipe["dataset"], "shape": shape}}


def build(recipe, precision=torch.float64):
    procedure, (channels, height, width) = recipe["procedure"], recipe["dataset"]["shape"]
    more = recipe["dataset"]["classes"] if procedure["conditional"] else 0
    generator = build_network(with_layers(recipe, recipe["network"]["layers"], [procedure["latent"] + more, 1, 1]), dropout=0.0)
    discriminator = build_network(with_layers(recipe, procedure["discriminator"], [channels + more, height, width]), dropout=0.0)
    return generator.to(precision).train(), discriminator.to(precision).train()


def run_steps(recipe, start, generator, discriminator, images, labels, steps):
    """-> the generator's loss of each step"""
    procedure, batch, classes = recipe["procedure"], recipe["batch_size"], recipe["dataset"]["classes"]
    images = images * 2 - 1
    of_g = build_optimizer(recipe, generator, start["hyperparameters"])
    of_d = build_optimizer(recipe, discriminator, start["hyperparameters"])
    one, zero, bce = torch.ones(batch).to(images), torch.zeros(batch).to(images), F.binary_cross_entropy_with_logits
    losses = []
    for step in range(steps):
        rows = slice(step * batch, (step + 1) * batch)
        x, z = images[rows], latents(int(start["seed"]), step, batch, procedure["latent"])[:, :, None, None].to(images)
        planes = None
        if procedure["conditional"]:
            hot = F.one_hot(labels[rows], classes).to(images)[:, :, None, None]
            planes = hot.expand(-1, -1, *x.shape[2:])
            z = torch.cat([z, hot], dim=1)
        judge = lambda images: discriminator(images if planes is None else torch.cat([images, planes], dim=1)).reshape(-1)
        fake = generator(z)
        of_d.zero_grad()
        (bce(judge(x), one) + bce(judge(fake.detach()), zero)).backward()
        of_d.step()
        of_g.zero_grad()
        loss = bce(judge(fake), one)
        loss.backward()
        of_g.step()
        losses.append(loss.item())
    return losses
