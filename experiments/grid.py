"""Tables 3 to 6 of 'U-Net versus SegNet': the nine configurations of Table 2 for one network.

    python -m experiments.grid --net segnet
    python -m experiments.grid --net unet --problem multiclass --variant released --only 4

Each configuration is trained on the authors' 72 slices and tested on their 18; the global accuracy of all nine is
Table 3 (binary) or 5 (four classes), the class scores of the best one Table 4 or 6. The same command started again
skips what is finished and goes on with what is not.
"""

from experiments.running.options import (
    check_options,
    experiments_option,
    load_data,
    make_recipe,
    problem_option,
    training_parser,
)
from experiments.saood2021.protocol import EXPERIMENTS, NETS
from unet_segnet.commands.arguments import settle_dtype
from unet_segnet.commands.console import run_command


def main() -> None:
    """The command."""
    parser = training_parser("python -m experiments.grid", __doc__.splitlines()[0])
    parser.add_argument("--net", choices=NETS, required=True, help="which network")
    problem_option(parser)
    parser.add_argument(
        "--only", type=experiments_option, default=tuple(EXPERIMENTS), metavar="4,7", help="configurations of Table 2"
    )
    options = parser.parse_args()
    run_command(lambda: grid(options))


def grid(options) -> None:
    """Train what is not trained, print the tables, write them and the pictures of the best run."""
    check_options(options, (options.net,))
    data = load_data(options, options.problem)
    settle_dtype(options)
    from experiments.saood2021.runs import RunSpec
    from experiments.saood2021.summary import finished_runs, grid_tables, report_tables
    from unet_segnet.data import paper_split
    from unet_segnet.measures.baselines import evaluate_baselines
    from unet_segnet.runs.loop import Job, carry_out

    split = paper_split(len(data.slices))
    specs = [
        RunSpec(
            "grid",
            options.net,
            options.variant,
            options.problem,
            experiment,
            seed,
            stream=options.stream,
            encoder_weights=options.encoder_weights,
        )
        for seed in options.seeds
        for experiment in options.only
    ]
    jobs = [Job(spec, make_recipe(options, spec), split) for spec in specs]
    folders = carry_out(jobs, data, options)

    runs, notes = finished_runs(folders, options)
    baselines = evaluate_baselines(data.slices.subset(split.train), data.slices.subset(split.test))
    about = {"networks": [options.net], "baselines": baselines, "data": data.name, "notes": notes}
    tables = grid_tables(options.problem, runs, **about)
    report_tables(tables, runs, folders, data, options.out / specs[0].group)


if __name__ == "__main__":
    main()
