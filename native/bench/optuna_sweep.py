"""A sweep of one recipe with Optuna and PyTorch on the CPU, for the benchmark of the whole stack (whole-stack.mjs).

usage: optuna_sweep.py RECIPE_JSON MNIST_FOLDER STUDY_DB TRIALS PROCESSES EPOCHS   -> one JSON line on standard output
As Optuna's tutorial has it: a study in SQLite, processes that take trials from it until there are TRIALS, one thread
each. A trial draws learning_rate and l2, trains on 55,000 images, shuffled, and reports the accuracy on the other 5,000 after
every epoch. The images lie in memory as float32, normalised beforehand.
"""
import json, multiprocessing, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test" / "pytorch"))
HELD_OUT = 5_000


def idx(path, header):
    import numpy
    return numpy.frombuffer(pathlib.Path(path).read_bytes(), dtype=numpy.uint8, offset=header)


def work(recipe_path, mnist, storage, trials, epochs):
    import optuna, torch
    import torch.nn.functional as F
    from recipe_network import build_network, build_optimizer

    recipe = json.loads(pathlib.Path(recipe_path).read_text())
    batch = recipe["batch_size"]
    torch.set_num_threads(1)
    images = torch.from_numpy(idx(f"{mnist}/train-images-idx3-ubyte", 16).copy()).reshape(-1, 1, 28, 28).float() / 255
    labels = torch.from_numpy(idx(f"{mnist}/train-labels-idx1-ubyte", 8).copy()).long()
    x, y, x_val, y_val = images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT]
    mean, std = x.mean(), x.std()
    x, x_val = (x - mean) / std, (x_val - mean) / std

    def objective(trial):
        values = recipe["hyperparameters"] | {
            "learning_rate": trial.suggest_float("learning_rate", 3e-3, 0.2, log=True),
            "l2": trial.suggest_float("l2", 1e-6, 1e-3, log=True),
        }
        torch.manual_seed(trial.number)
        network = build_network(recipe, None).train()
        optimizer = build_optimizer(recipe, network, values, fused=True)
        for epoch in range(epochs):
            order = torch.randperm(len(x))
            for rows in order.split(batch):
                loss = F.cross_entropy(network(x[rows]), y[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                network.eval()
                right = sum((network(a).argmax(1) == b).sum().item() for a, b in zip(x_val.split(500), y_val.split(500)))
                network.train()
            trial.report(right / HELD_OUT, epoch)
        return right / HELD_OUT

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="lenet", storage=storage)
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING)
    study.optimize(objective, callbacks=[optuna.study.MaxTrialsCallback(trials, states=states)])


def main():
    recipe, mnist, database, trials, processes, epochs = sys.argv[1:]
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{database}"
    study = optuna.create_study(study_name="lenet", storage=storage, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(recipe, mnist, storage, int(trials), int(epochs))) for _ in range(int(processes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    print(json.dumps({"trials": len(done), "best": study.best_value, "optuna": optuna.__version__}))


if __name__ == "__main__":
    main()
