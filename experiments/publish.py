"""Makes finished runs part of the project: their results, and on demand their networks.

    python -m experiments.publish runs/grid/released-binary-segnet/exp4-seed0-matlab
    python -m experiments.publish RUN --weights     also as the project's network for its problem
    python -m experiments.publish runs/compare/lung/unet-resnet18-none/seed0
    python -m experiments.publish runs/networks/lesions-without-medseg9/linknet-mobilenet_v2/seed0 --weights

Configuration, losses, per-slice counts and provenance are copied as they are into experiments/results; the network is
saved again in unet_segnet/networks/weights, without the optimiser's state, with a model card beside it.
"""

import argparse
import shutil
from pathlib import Path

from experiments import RESULTS
from unet_segnet.errors import InputError
from unet_segnet.networks.save import save_network
from unet_segnet.output.console import run_command
from unet_segnet.output.records import write_json, write_text
from unet_segnet.output.whole_folder import whole_folder

FILES = ("config.json", "history.npz", "counts.npz", "result.json")
OPTIONAL = ("last_epochs.npz",)
COMPARE_FILES = (*FILES, "first_layer.npz")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m experiments.publish", description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--weights", action="store_true", help="also as the project's network for its problem")
    parser.add_argument("--force", action="store_true", help="replace what is there")
    options = parser.parse_args()
    run_command(lambda: publish(options), options)


def publish(options) -> None:
    """Check all runs first, then copy."""
    from experiments.bizopoulos2021.runs import KIND as SECOND
    from experiments.networks.runs import KIND as OWN
    from experiments.saood2021.runs import KIND as FIRST
    from unet_segnet.output.console import import_keras
    from unet_segnet.output.records import read_json
    from unet_segnet.runs.folder import AGAIN
    from unet_segnet.runs.reading import check_arrays

    import_keras()
    from unet_segnet.networks import load as pretrained

    checked, networks, targets = [], {}, {}
    for run in options.runs:
        finished = (run / "result.json").is_file() and read_json(run / "result.json").get("status") == "finished"
        if not finished:
            raise InputError(f"{run}: no finished run; give its folder, such as runs/grid/released-binary-segnet/...")
        study = read_json(run / "config.json").get("study")
        kinds = ((FIRST, _of_first_study), (SECOND, _of_second_study), (OWN, _of_networks))
        looks = {study: (kind, look) for kind, look in kinds for study in kind.studies}
        if study not in looks:
            raise InputError(f"{run}: no run of this project's; expected one of {', '.join(looks)}")
        kind, look = looks[study]
        target, files, problem, described = look(run, options.weights)
        if targets.setdefault(target, run) != run:
            raise InputError(f"{run}: {targets[target]} would be published at the same place; give one of them")
        if target.exists() and not options.force:
            raise InputError(f"{target}: is published; use --force to replace it")
        own = pretrained.WEIGHTS / f"{problem}.keras" if options.weights else None
        if own and networks.setdefault(own, run) != run:
            raise InputError(f"{run}: {networks[own]} is of the same problem, which has one network; give one of them")
        if own and own.exists() and not options.force:
            raise InputError(f"{own}: is the project's network for its problem; use --force to replace it")
        if absent := [name for name in files if not (run / name).is_file()]:
            raise InputError(f"{run}: {absent[0]} is missing; {AGAIN}")
        check_arrays(run, kind)
        checked.append((run, target, files, problem, described))
    for run, target, files, problem, described in checked:
        with whole_folder(target, FILES) as new:
            for name in (*files, *(name for name in OPTIONAL if (run / name).is_file())):
                shutil.copy2(run / name, new / name)
        print(f"published {target}")
        if options.weights:
            of_run = (read_json(run / name) for name in ("config.json", "result.json"))
            path = write_weights(run, problem, *described(*of_run))
            print(f"written {path} and its model card")


def _of_first_study(run: Path, weights: bool):
    """Where a run belongs, which of its files, the problem it solves, and what describes its network."""
    from experiments.saood2021.counts import PAPER_SLICES
    from experiments.saood2021.protocol import EPOCHS, SIZE
    from experiments.saood2021.runs import read_finished, read_last_epochs

    (read, counts), place = read_finished(run), run.resolve()
    read_last_epochs(run, counts)
    config = read.config
    if weights and counts.fold is not None:
        raise InputError(f"{run}: a fold's network is not the project's; give a run of the grid with --weights")
    if weights and not (run / "model.keras").is_file():
        raise InputError(f"{run}: its network was not kept (model.keras); train it again, or leave --weights out")
    if weights:
        expected = (PAPER_SLICES[0], SIZE, EPOCHS)
        data, recipe = (config[key] if isinstance(config.get(key), dict) else {} for key in ("data", "recipe"))
        trained = data.get("name"), data.get("size"), recipe.get("epochs")
        if trained != expected:
            text = "{1}x{1} slices of {0} for {2} epochs".format
            raise InputError(f"{run}: trained on {text(*trained)}; the project's networks are, on {text(*expected)}")
        if config.get("encoder_weights") or recipe.get("loss_normalisation") != "weights":
            raise InputError(f"{run}: trained with --encoder-weights or --loss; the project's networks are not")

    def described(config, result):
        facts = model_facts(counts, config, result)
        return facts, model_card(facts)

    return RESULTS / config["study"] / place.parent.name / place.name, FILES, counts.problem, described


def _of_second_study(run: Path, weights: bool):
    from experiments.bizopoulos2021.evidence import compare_run
    from experiments.bizopoulos2021.runs import KIND
    from unet_segnet.runs.reading import read_run

    if weights:
        raise InputError(f"{run}: --weights is for runs of the first study and of experiments.networks; leave it out")
    read = compare_run(read_run(run, KIND))
    place = run.resolve()
    return RESULTS / "compare" / read.experiment / place.parent.name / place.name, COMPARE_FILES, None, None


def _of_networks(run: Path, weights: bool):
    from experiments.networks.card import network_card, network_facts
    from experiments.networks.runs import KIND, STUDY
    from unet_segnet.runs.reading import read_run

    read, place = read_run(run, KIND), run.resolve()
    if weights and not (run / "model.keras").is_file():
        raise InputError(f"{run}: its network was not kept (model.keras); train it again, or leave --weights out")

    def described(config, result):
        facts = network_facts(config, result, read.counts, RESULTS)
        return facts, network_card(facts), {**facts["told"], "data": facts["data"]["name"]}, True

    return RESULTS / STUDY / Path(*place.parts[-3:]), FILES, read.config["task"], described


def write_weights(
    run: Path, problem: str, facts: dict, card: str, told: dict | None = None, half: bool = False
) -> Path:
    """Save a run's network as the project's own for its problem, with facts (.json) and a model card (.md).

    Arguments:
        run: its folder.
        problem: which it solves.
        facts, card: what is written beside it.
        told: what its own file says of it (`unet_segnet.networks.facts`), or None.
        half: store its weights in float16.

    Returns:
        The .keras file.
    """
    from unet_segnet.networks.load import WEIGHTS, load_model

    WEIGHTS.mkdir(exist_ok=True)
    path = WEIGHTS / f"{problem}.keras"
    save_network(load_model(run / "model.keras"), path, told, half)
    write_json(path.with_suffix(".json"), facts)
    write_text(path.with_suffix(".md"), card)
    return path


def model_facts(counts, config: dict, result: dict) -> dict:
    """What there is to know of a network: what it is, how it was trained, and its scores on the test slices."""
    from experiments.saood2021.counts import SCORES
    from unet_segnet.measures.metrics import global_accuracy

    pooled = counts.test_confusion.sum(axis=0)
    names = config["data"]["classes"]
    scores = {name: dict(zip(names, map(float, score(pooled)), strict=True)) for name, score in SCORES.items()}
    keys = ("net", "variant", "problem", "experiment", "seed", "stream", "recipe", "data")
    origin = ("parameters", "class_weights", "input_mean", "command", "commit", "device", "versions", "finished_at")
    return {
        **{key: config[key] for key in keys},
        **{key: result.get(key) for key in origin},
        "global_accuracy": float(global_accuracy(counts.test_confusion).mean()),
        "licence": "CC0-1.0",  # of the weights, as of the slices
        "scores": scores,
        "test_slices": list(counts.test_names),
    }


def model_card(facts: dict) -> str:
    """The facts as a model card in Markdown."""
    from unet_segnet.models.registry import NETWORKS

    classes, recipe = facts["data"]["classes"], facts["recipe"]
    header = "| class | " + " | ".join(facts["scores"]) + " |"
    rows = [
        f"| {name} | " + " | ".join(f"{of[name]:.3f}" for of in facts["scores"].values()) + " |" for name in classes
    ]
    lines = [
        f"# {NETWORKS[facts['net']].title}, {facts['problem']}",
        "",
        "For research. Not a medical device, not for clinical use.",
        "",
        f"**What it does.** Marks {', '.join(classes[1:])} in axial CT slices of the lungs: 256x256 grey levels of "
        f"lung-masked slices in, probabilities of {len(classes)} classes out. {facts['parameters']} parameters.",
        "",
        f"**What it is.** The network of Saood and Hatem (2021), variant {facts['variant']}, experiment "
        f"{facts['experiment']}, random stream {facts['stream']}, seed {facts['seed']}.",
        "",
        f"**Training data.** 72 of the 100 slices of {facts['data']['name']} (CC0; from the COVID-19 CT segmentation "
        "data set of medicalsegmentation.com), all from patients with COVID-19, most slices with lesions. Patients are "
        "unknown: slices of one patient may stand on both sides of the split. Its grey levels were scaled by an "
        "unknown rule; Hounsfield units from -1100 to 400 are taken to stand for them.",
        "",
        f"**Recipe.** Adam, learning rate {recipe['learning_rate']:g}, batch {recipe['batch_size']}, "
        f"{recipe['epochs']} epochs, {recipe['dtype']}; weighted cross-entropy with the weights "
        f"{', '.join(f'{weight:.4f}' for weight in facts['class_weights'])}.",
        "",
        f"**Scores** on the {len(facts['test_slices'])} test slices together; mean global accuracy of a slice "
        f"{facts['global_accuracy']:.3f}.",
        "",
        header,
        "|---" * (len(facts["scores"]) + 1) + "|",
        *rows,
        "",
        "**Limits.** Trained on few slices of one source, with lungs already cut out, by the lungmask model as the "
        "article has it. On rescaled scans of other patients such networks did about as well as a grey threshold "
        "(`unet_segnet/cohort/README.md`, 'A domain shift, measured'). On scans in Hounsfield units the binary one did "
        "better than that, but it calls 8 % of a healthy patient's lungs infected "
        "(`experiments/results/networks/whole.md`): compare with labels of your own first. With other lung diseases "
        "no accuracy was measured; of three cancer patients (lctsc3 there) the binary one calls a third of the lungs "
        "infected. The configuration was chosen by its authors on the very slices it is scored on.",
        "",
        f"**Where it comes from.** `{facts['command']}`, commit {facts['commit']}, on {facts['device']}, "
        f"{facts['finished_at']}.",
        "",
        "**Licence.** CC0 for the weights, as the slices; MIT for the code.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
