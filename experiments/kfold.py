"""Table 7 of 'U-Net versus SegNet': five-fold cross-validation of the best configurations.

    python -m experiments.kfold
    python -m experiments.kfold --net segnet --problem multiclass --variant released

The slices are scrambled once; each fold trains on 70 of them, watches 10 and tests on 20, so that every slice is
tested exactly once. The same command started again skips what is finished and goes on with what is not.
"""

from experiments.saood2021.options import (
    check_options,
    experiments_option,
    load_data,
    make_job,
    problem_option,
    training_parser,
    weights_for,
)
from experiments.saood2021.results import train_and_show
from unet_segnet.commands.arguments import one_seed, settle_dtype
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.console import run_command
from unet_segnet.runs.executors import share_machine


def main() -> None:
    """The command."""
    parser = training_parser("python -m experiments.kfold", __doc__.splitlines()[0])
    parser.add_argument("--net", choices=tuple(NETWORKS), help="one network; both where it is left out")
    problem_option(parser)
    parser.add_argument(
        "--only",
        type=experiments_option,
        metavar="4,7",
        help="configurations of Table 2 instead of the article's best (4; SegNet with four classes: 7)",
    )
    parser.add_argument(
        "--split-seed", type=one_seed, default=0, metavar="N", help="of the one scrambling of the slices"
    )
    options = parser.parse_args()
    run_command(lambda: kfold(options), options)


def kfold(options) -> int:
    """Train what is not trained, print Table 7, write it and pictures of a fold."""
    from experiments.saood2021.published import BEST_EXPERIMENT

    best = {net: experiment for (net, problem), experiment in BEST_EXPERIMENT.items() if problem == options.problem}
    nets = (options.net,) if options.net else tuple(best)
    if options.only is None and not set(nets) <= set(best):
        raise InputError(f"--net {options.net}: the article names no best configuration of it; give some with --only")
    share_machine(options.workers)
    check_options(options, [(net, options.variant) for net in nets])
    data = load_data(options, (options.problem,))
    settle_dtype(options)
    from experiments.saood2021.runs import RunSpec
    from unet_segnet.data import five_folds

    folds = five_folds(len(data[options.problem].slices), options.split_seed)
    specs = [
        RunSpec(
            "kfold",
            net,
            options.variant,
            options.problem,
            experiment,
            seed,
            fold,
            options.stream,
            weights_for(options, net, options.variant),
        )
        for seed in options.seeds
        for net in nets
        for experiment in options.only or (best[net],)
        for fold in range(len(folds))
    ]
    return train_and_show([make_job(options, spec, folds[spec.fold]) for spec in specs], data, options)


if __name__ == "__main__":
    main()
