"""Images a second of one recipe in TensorFlow on the CPU, for the benchmark beside the engine (networks.mjs).

usage: tensorflow_images_per_second.py RECIPE_JSON THREADS SECONDS LAYOUT(nhwc)   -> one JSON line on standard output
The whole step is one tf.function: gathers a random batch from a resident set, forward, loss, backward, optimiser.
Median over blocks of steps. Ends with 3 when it does not know one of the network's layers.
"""
import json, pathlib, statistics, sys, time

import tensorflow as tf

recipe, threads, seconds = json.loads(pathlib.Path(sys.argv[1]).read_text()), int(sys.argv[2]), float(sys.argv[3])
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
K, L = tf.keras, tf.keras.layers
batch, (channels, height, width) = recipe["batch_size"], recipe["dataset"]["shape"]
values = recipe["hyperparameters"]


def padding(spec):
    if spec["padding"] in ("valid", "same"):
        return spec["padding"]
    if list(spec["padding"]) == [0, 0]:
        return "valid"
    sys.exit(3)


def layer(spec):
    op = spec["op"]
    decay = K.regularizers.L2(values["l2"] / 2) if values.get("l2") else None
    if op == "linear":
        return L.Dense(spec["units"], use_bias=spec["bias"], kernel_regularizer=decay)
    if op == "conv2d":
        return L.Conv2D(spec["filters"], spec["kernel"], spec["stride"], padding(spec), groups=spec["groups"], use_bias=spec["bias"], kernel_regularizer=decay)
    if op == "batch_norm":
        return L.BatchNormalization(momentum=1 - spec["momentum"], epsilon=spec["epsilon"])
    if op in ("max_pool2d", "avg_pool2d"):
        return (L.MaxPooling2D if op == "max_pool2d" else L.AveragePooling2D)(spec["size"], spec["stride"], padding(spec))
    if op == "lstm":
        return L.LSTM(spec["units"], return_sequences=spec["return_sequences"])
    if op == "rows_as_sequence":
        return L.Reshape((height, width * channels))
    plain = {"relu": lambda: L.ReLU(), "leaky_relu": lambda: L.LeakyReLU(negative_slope=spec["slope"]), "tanh": lambda: L.Activation("tanh"),
             "sigmoid": lambda: L.Activation("sigmoid"), "dropout": lambda: L.Dropout(spec["rate"]), "flatten": lambda: L.Flatten(),
             "global_avg_pool2d": lambda: L.GlobalAveragePooling2D(), "global_max_pool2d": lambda: L.GlobalMaxPooling2D()}
    return plain[op]() if op in plain else sys.exit(3)


network = K.Sequential([L.Input((height, width, channels)), *[layer(spec) for spec in recipe["network"]["layers"]]])
lr = values["learning_rate"]
optimizer = {"sgd": lambda: K.optimizers.SGD(lr), "momentum": lambda: K.optimizers.SGD(lr, values["momentum"], recipe["nesterov"]),
             "rmsprop": lambda: K.optimizers.RMSprop(lr, values["rho"], epsilon=values["epsilon"]),
             "adam": lambda: K.optimizers.Adam(lr, values["beta1"], values["beta2"], values["epsilon"])}[recipe["optimizer"]]()
criterion = K.losses.SparseCategoricalCrossentropy(from_logits=True)
count = max(2000, batch)
images, labels = tf.random.normal((count, height, width, channels)), tf.random.uniform((count,), 0, recipe["dataset"]["classes"], tf.int32)


@tf.function
def step():
    rows = tf.random.uniform((batch,), 0, count, tf.int32)
    with tf.GradientTape() as tape:
        loss = criterion(tf.gather(labels, rows), network(tf.gather(images, rows), training=True))
        if network.losses:
            loss += tf.add_n(network.losses)
    optimizer.apply_gradients(zip(tape.gradient(loss, network.trainable_variables), network.trainable_variables))
    return loss


for _ in range(3):
    step().numpy()
begin = time.perf_counter()
step().numpy()
steps = max(1, int(0.25 / (time.perf_counter() - begin)))
rates, end = [], time.perf_counter() + seconds
while time.perf_counter() < end or len(rates) < 3:
    begin = time.perf_counter()
    for _ in range(steps):
        step().numpy()
    rates.append(steps * batch / (time.perf_counter() - begin))
print(json.dumps({"images_per_second": statistics.median(rates), "threads": threads, "tensorflow": tf.__version__}))
