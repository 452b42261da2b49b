"""Windows that divide their input in other programs' ways, forward and backward in double precision, for
test_windows_golden.cpp:

  adaptive pools            PyTorch's AdaptiveMaxPool2d and AdaptiveAvgPool2d
  padding same, stride > 1  TensorFlow's conv2d and max_pool2d; of average pools, whose padding counts as zeros here and is
                            left out there, the mean of TensorFlow's own sums (a convolution with ones)

  python3 native/test/pytorch/window_layers.py test/golden/windows

Tensors are in the engine's order, [channel][row][column][image], weights [out][in][row][column]. Inputs are not in the
files: element i of x is ((37 i + 11) mod 101 - 50) / 16, of dy ((29 i + 5) mod 61 - 30) / 8, of the weights
((23 i + 7) mod 31 - 15) / 16, of the bias (i - 1) / 4. No two elements of a window are equal then."""
import json
import os
import sys

import numpy

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def series(shape, factor, add, modulus, divisor):
    count = int(numpy.prod(shape))
    i = numpy.arange(count)
    return (((factor * i + add) % modulus - modulus // 2) / divisor).reshape(shape)


def inputs(shape):
    return series(shape, 37, 11, 101, 16.0)


def gradients(shape):
    return series(shape, 29, 5, 61, 8.0)


def flat(tensor):
    return [float(v) for v in numpy.asarray(tensor).reshape(-1)]


def adaptive(op, extent, n, output):
    import torch

    x = torch.tensor(inputs((*extent, n))).permute(3, 0, 1, 2).requires_grad_()
    kind = torch.nn.AdaptiveMaxPool2d if op == "adaptive_max_pool2d" else torch.nn.AdaptiveAvgPool2d
    y = kind(tuple(output))(x)
    to_engine = lambda t: t.detach().permute(1, 2, 3, 0).numpy()
    dy = gradients(to_engine(y).shape)
    (dx,) = torch.autograd.grad(y, x, torch.tensor(dy).permute(3, 0, 1, 2))
    return {"op": op, "in": extent, "n": n, "output": output, "y": flat(to_engine(y)), "dx": flat(to_engine(dx))}


def same(op, extent, n, kernel, stride, filters=0):
    import tensorflow as tf

    x = tf.constant(inputs((*extent, n)).transpose(3, 1, 2, 0))
    variables = [x]
    case = {"op": op, "in": extent, "n": n, "kernel": kernel, "stride": stride}
    if op == "conv2d":
        case["filters"] = filters
        weights = series((filters, extent[0], *kernel), 23, 7, 31, 16.0)
        variables += [tf.constant(weights.transpose(2, 3, 1, 0)), tf.constant((numpy.arange(filters) - 1) / 4.0)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        if op == "conv2d":
            y = tf.nn.conv2d(x, variables[1], list(stride), "SAME") + variables[2]
        elif op == "max_pool2d":
            y = tf.nn.max_pool2d(x, list(kernel), list(stride), "SAME")
        else:
            ones = tf.ones((*kernel, extent[0], 1), tf.float64)
            y = tf.nn.depthwise_conv2d(x, ones, [1, *stride, 1], "SAME")
            y = y / (kernel[0] * kernel[1])
        to_engine = lambda t: t.numpy().transpose(3, 1, 2, 0)
        dy = gradients(to_engine(y).shape)
        objective = tf.reduce_sum(y * dy.transpose(3, 1, 2, 0))
    dx, *rest = tape.gradient(objective, variables)
    case |= {"y": flat(to_engine(y)), "dx": flat(to_engine(dx))}
    if rest:
        case |= {"dweight": flat(rest[0].numpy().transpose(3, 2, 0, 1)), "dbias": flat(rest[1])}
    return case


def write(folder, name, cases):
    with open(os.path.join(folder, name), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")


def main(folder):
    pools = ("adaptive_max_pool2d", "adaptive_avg_pool2d")
    divided = [([2, 5, 7], 3, [3, 4]), ([1, 4, 9], 2, [2, 3]), ([1, 3, 2], 2, [5, 3]), ([2, 7, 7], 1, [1, 1]), ([1, 17, 10], 1, [7, 7])]
    write(folder, "adaptive.json", [adaptive(op, *sizes) for op in pools for sizes in divided])
    convolutions = [([2, 8, 6], 3, [3, 3], [2, 2], 3), ([3, 7, 5], 2, [3, 3], [2, 2], 2), ([2, 9, 10], 1, [4, 5], [2, 2], 2),
                    ([1, 6, 5], 2, [2, 2], [2, 2], 2), ([2, 7, 8], 1, [1, 2], [3, 3], 2)]
    windows = [([2, 5, 7], 3, [2, 2], [2, 2]), ([1, 8, 6], 2, [3, 3], [2, 2]), ([2, 6, 8], 1, [3, 4], [2, 2]), ([1, 7, 8], 2, [2, 3], [3, 3])]
    cases = [same("conv2d", *sizes) for sizes in convolutions]
    cases += [same(op, *sizes) for op in ("max_pool2d", "avg_pool2d") for sizes in windows]
    cases += [same("conv2d", [2, 7, 9], 2, [3, 4], [2, 3], 2), same("max_pool2d", [2, 7, 9], 2, [3, 4], [2, 3])]
    write(folder, "same.json", cases)


if __name__ == "__main__":
    main(sys.argv[1])
