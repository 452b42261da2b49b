"""A recipe's network and optimiser in PyTorch, layer by layer from its JSON. Used by the comparison of training steps
(compare_steps.py) and by the benchmark (../../bench/pytorch_images_per_second.py); the product needs no Python."""
import torch
from torch import nn


def same_padding(kernel, stride, x):
    """TensorFlow's rule in PyTorch's order for nn.ZeroPad2d: left, right, top, bottom; the smaller half first."""
    def along(side, k, s):
        total = max((-(-side // s) - 1) * s + k - side, 0)
        return total // 2, total - total // 2

    return (*along(x.shape[3], kernel[1], stride[1]), *along(x.shape[2], kernel[0], stride[0]))


def padded(spec, kernel, x):
    """-> (layer in front or None, padding argument)."""
    padding = spec["padding"]
    if padding == "valid":
        return None, 0
    if padding == "same":
        left, right, top, bottom = same_padding(kernel, spec["stride"], x)
        if left == right and top == bottom:
            return None, (top, left)
        return nn.ZeroPad2d((left, right, top, bottom)), 0
    return None, tuple(padding)


class Reshape(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x):
        return x.reshape(x.shape[0], *self.shape)


class RowsAsSequence(nn.Module):
    """[n][c][rows][columns] -> [n][c * columns][1][rows], the engine's sequence."""
    def forward(self, x):
        n, c, r, w = x.shape
        return x.permute(0, 1, 3, 2).reshape(n, c * w, 1, r)


class Embedding(nn.Module):
    """Numbers [n][1][1][steps] to [n][units][1][steps]."""
    def __init__(self, spec):
        super().__init__()
        self.rows = nn.Embedding(spec["vocabulary"], spec["units"])

    def forward(self, x):
        return self.rows(x.reshape(x.shape[0], -1)).transpose(1, 2).unsqueeze(2)


class Recurrent(nn.Module):
    """nn.LSTM or nn.RNN on the engine's sequence [n][features][1][steps]."""
    def __init__(self, spec, features):
        super().__init__()
        kind = nn.LSTM if spec["op"] == "lstm" else nn.RNN
        self.cell, self.every = kind(features, spec["units"], batch_first=True), spec["return_sequences"]

    def forward(self, x):
        y, _ = self.cell(x.squeeze(2).transpose(1, 2))
        return y.transpose(1, 2).unsqueeze(2) if self.every else y[:, -1]


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class Branches(nn.Module):
    def __init__(self, branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def build_layer(spec, x, dropout):
    """-> modules. `x`: an input, for what depends on its shape and to give lazy modules theirs."""
    op = spec["op"]
    if op == "linear":
        return [nn.LazyLinear(spec["units"], bias=spec["bias"])]
    if op == "conv2d":
        front, padding = padded(spec, spec["kernel"], x)
        conv = nn.LazyConv2d(spec["filters"], tuple(spec["kernel"]), tuple(spec["stride"]), padding, groups=spec["groups"], bias=spec["bias"])
        return [conv] if front is None else [front, conv]
    if op == "conv_transpose2d":
        return [nn.LazyConvTranspose2d(spec["filters"], tuple(spec["kernel"]), tuple(spec["stride"]), tuple(spec["padding"]), tuple(spec["output_padding"]), groups=spec["groups"], bias=spec["bias"])]
    if op == "reshape":
        return [Reshape(spec["shape"])]
    if op == "batch_norm":
        kind = nn.BatchNorm2d if x.dim() == 4 else nn.BatchNorm1d
        return [kind(x.shape[1], eps=spec["epsilon"], momentum=spec["momentum"])]
    if op == "relu":
        return [nn.ReLU()]
    if op == "leaky_relu":
        return [nn.LeakyReLU(spec["slope"])]
    if op == "tanh":
        return [nn.Tanh()]
    if op == "sigmoid":
        return [nn.Sigmoid()]
    if op == "dropout":
        return [nn.Dropout(spec["rate"] if dropout is None else dropout)]
    if op in ("max_pool2d", "avg_pool2d"):
        kind = nn.MaxPool2d if op == "max_pool2d" else nn.AvgPool2d
        front, padding = padded(spec, spec["size"], x)
        assert front is None, "asymmetric pooling is not used by the catalogue"
        return [kind(tuple(spec["size"]), tuple(spec["stride"]), padding)]
    if op == "adaptive_max_pool2d":
        return [nn.AdaptiveMaxPool2d(tuple(spec["output"]))]
    if op == "adaptive_avg_pool2d":
        return [nn.AdaptiveAvgPool2d(tuple(spec["output"]))]
    if op == "global_avg_pool2d":
        return [nn.AdaptiveAvgPool2d(1)]
    if op == "global_max_pool2d":
        return [nn.AdaptiveMaxPool2d(1)]
    if op == "embedding":
        return [Embedding(spec)]
    if op == "rows_as_sequence":
        return [RowsAsSequence()]
    if op in ("rnn", "lstm"):
        return [Recurrent(spec, x.shape[1])]
    if op == "flatten":
        return [nn.Flatten()]
    if op == "residual":
        return [Residual(build_list(spec["body"], x, dropout), build_list(spec["shortcut"], x, dropout))]
    if op == "branches":
        return [Branches([build_list(branch, x, dropout) for branch in spec["branches"]])]
    raise ValueError(f"unknown layer {op}")


def build_list(specs, x, dropout):
    modules = []
    for spec in specs:
        for module in build_layer(spec, x, dropout):
            x = module(x)
            modules.append(module)
    return nn.Sequential(*modules)


def build_network(recipe, dropout):
    """`dropout`: a rate for every dropout layer, or None for each layer's own."""
    kind = torch.long if "text" in recipe["dataset"] else None
    with torch.no_grad():
        network = build_list(recipe["network"]["layers"], torch.zeros(2, *recipe["dataset"]["shape"], dtype=kind), dropout)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.reset_running_stats()
    return network


def weights_and_rest(network):
    """Weights of linear, convolution and recurrent layers, which L2 applies to, and everything else."""
    kernels = [m.weight for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding))]
    for m in network.modules():
        if isinstance(m, (nn.RNN, nn.LSTM)):
            kernels += [m.weight_ih_l0, m.weight_hh_l0]
    ids = {id(p) for p in kernels}
    return kernels, [p for p in network.parameters() if id(p) not in ids]


def build_optimizer(recipe, network, values, fused=False):
    kernels, rest = weights_and_rest(network)
    groups = [{"params": kernels, "weight_decay": values["l2"]}, {"params": rest, "weight_decay": 0.0}]
    lr = values["learning_rate"]
    kind = recipe["optimizer"]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=lr)
    if kind == "momentum":
        return torch.optim.SGD(groups, lr=lr, momentum=values["momentum"], nesterov=recipe["nesterov"])
    if kind == "rmsprop":
        return torch.optim.RMSprop(groups, lr=lr, alpha=values["rho"], eps=values["epsilon"])
    if kind == "adam":
        return torch.optim.Adam(groups, lr=lr, betas=(values["beta1"], values["beta2"]), eps=values["epsilon"], **({"fused": True} if fused else {}))
    if kind == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(values["beta1"], values["beta2"]), eps=values["epsilon"])
    raise ValueError(f"unknown optimizer {kind}")
