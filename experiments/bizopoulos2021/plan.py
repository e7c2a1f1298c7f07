"""Which trainings the second study consists of, and how long what is left of them will take."""

from dataclasses import replace

from experiments.bizopoulos2021.data import place_of
from experiments.bizopoulos2021.estimates import convolution_rate, network_cost, rates
from experiments.bizopoulos2021.runs import CompareJob, CompareSpec, start_of
from unet_segnet.commands.arguments import dtype_of
from unet_segnet.errors import InputError
from unet_segnet.output.console import import_keras, progress
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.timing import duration, this_machine


def planned_jobs(options) -> list[CompareJob]:
    """The trainings that the options ask for, in the order in which they begin.

    Raises:
        InputError: an architecture or encoder that is not there, or a file that cannot be read.
    """
    import_keras()
    from unet_segnet.models.decoders import DECODERS
    from unet_segnet.models.encoders import ENCODERS
    from unet_segnet.training.soft_dice import EncoderRecipe

    chosen = {}
    for name, known in (("architecture", DECODERS), ("encoder", ENCODERS)):
        chosen[name] = options.only.get(name, tuple(known))
        if strange := [value for value in chosen[name] if value not in known]:
            raise InputError(f"--only {name}={strange[0]}: expected some of {', '.join(known)}")
    if options.init and options.encoder_weights != ("none",):
        raise InputError("--init and --encoder-weights both say what the encoder starts from: give one of them")
    recipe = EncoderRecipe(epochs=options.epochs, loss=options.loss)
    starts = [
        (start_of(weights, options.init), weights)
        for weights in (None if weights == "none" else weights for weights in options.encoder_weights)
    ]
    place = place_of(options)
    specs = [
        CompareSpec(experiment, architecture, encoder, seed, start, weights, options.init, place)
        for seed in options.seeds
        for experiment in options.experiment
        for start, weights in starts
        for architecture in chosen["architecture"]
        for encoder in chosen["encoder"]
    ]
    return [CompareJob(spec, replace(recipe, dtype=dtype_of(options, spec))) for spec in specs]


def check_starts(jobs: list[CompareJob]) -> None:
    """Build every network once that starts from other weights than random ones.

    Raises:
        InputError: weights cannot be had or do not fit; better now than after hours.
    """
    import keras

    from experiments.bizopoulos2021.runs import build

    # The decoder matters to a whole network's weights alone.
    needed = {
        (spec.start, spec.encoder, spec.architecture if spec.init else None): spec
        for spec in (job.spec for job in jobs)
        if spec.start != "none"
    }
    for spec in progress(list(needed.values()), "reading weights") if needed else ():
        build(spec, 64)
        keras.utils.clear_session(free_memory=True)


def print_plan(jobs: list[CompareJob], num_slices: int, num_test: int, options) -> None:
    """Print what is planned, what of it is finished, and what the rest costs.

    Arguments:
        jobs: every planned training.
        num_slices: that train or validate.
        num_test: slices that test.
        options: the command's.
    """
    from experiments.bizopoulos2021.data import split_slices
    from unet_segnet.output.tabular import Table

    measured = rates(options.out, this_machine(options))
    other = measured.get(None) or convolution_rate()
    train, validation = map(len, split_slices(num_slices))
    by_network: dict[tuple[str, str], list[CompareJob]] = {}
    for job in jobs:
        by_network.setdefault((job.spec.architecture, job.spec.encoder), []).append(job)
    rows, total, sources, num_left = [], 0.0, {}, 0
    for network in progress(list(by_network), "building the networks, to count"):
        members, recipe = by_network[network], by_network[network][0].recipe
        cost, rate = network_cost(*network, options.size, recipe.batch_size, recipe.dtype), measured.get(network, other)
        folders = [RunFolder(options.out, job.spec) for job in members]
        left = [folder for folder in folders if options.force or not folder.finished]
        epoch = (train * cost.step + validation * cost.inference) * rate.seconds
        test = (num_test + validation) * cost.inference * rate.seconds
        done = [0 if options.force else min(folder.epochs_done(), recipe.epochs) for folder in left]
        seconds = sum((recipe.epochs - epochs) * epoch + test for epochs in done)
        total, num_left, sources[rate.source] = total + seconds, num_left + len(left), None
        numbers = (cost.parameters, cost.inference / 1e9, cost.memory / 1e9, len(members), len(members) - len(left))
        times = (duration(recipe.epochs * epoch + test), duration(seconds) if left else None)
        rows.append((*network, *numbers, *times))
    columns = ("architecture", "encoder", "parameters", "multiply-adds (10^9)", "memory (GB)", "runs", "finished")
    notes = (
        f"Multiply-adds of one slice of {options.size}x{options.size}; training takes three times as many.",
        "Memory: at least; parameters, gradients, moments, and the layers' outputs of a mini-batch.",
        f"Times: by {' and '.join(sources)}.",
    )
    table = Table(f"The plan, in {options.out}.", (*columns, "a run", "time left"), tuple(rows), notes)
    print(table.to_text())
    side_by_side = f", {options.workers} side by side" if options.workers > 1 else ""
    print(
        f"{len(jobs)} runs: {len(jobs) - num_left} finished, {num_left} left, about "
        f"{duration(total / options.workers)}{side_by_side}"
    )
