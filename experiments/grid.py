"""Tables 3 to 6 of 'U-Net versus SegNet': the nine configurations of Table 2 for one network.

    python -m experiments.grid --net segnet
    python -m experiments.grid --net unet --problem multiclass --variant released --only 4

Each configuration is trained on the authors' 72 slices and tested on their 18; the global accuracy of all nine is
Table 3 (binary) or 5 (four classes), the class scores of the best one Table 4 or 6. The same command started again
skips what is finished and goes on with what is not.
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
from experiments.saood2021.protocol import configurations
from experiments.saood2021.results import train_and_show
from unet_segnet.commands.arguments import settle_dtype
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.console import run_command
from unet_segnet.runs.executors import share_machine


def main() -> None:
    """The command."""
    parser = training_parser("python -m experiments.grid", __doc__.splitlines()[0])
    parser.add_argument("--net", choices=tuple(NETWORKS), required=True, help="which network")
    problem_option(parser)
    parser.add_argument(
        "--only", type=experiments_option, metavar="4,7", help="configurations of Table 2; all of them if left out"
    )
    options = parser.parse_args()
    run_command(lambda: grid(options), options)


def grid(options) -> int:
    """Train what is not trained, print the tables, write them and the pictures of the best run."""
    share_machine(options.workers)
    check_options(options, [(options.net, options.variant)])
    data = load_data(options, (options.problem,))
    settle_dtype(options)
    from experiments.saood2021.runs import RunSpec
    from unet_segnet.data import paper_split

    split = paper_split(len(data[options.problem].slices))
    specs = [
        RunSpec(
            "grid",
            options.net,
            options.variant,
            options.problem,
            experiment,
            seed,
            stream=options.stream,
            encoder_weights=weights_for(options, options.net, options.variant),
        )
        for seed in options.seeds
        for experiment in options.only or configurations(options.net)
    ]
    return train_and_show([make_job(options, spec, split) for spec in specs], data, options)


if __name__ == "__main__":
    main()
