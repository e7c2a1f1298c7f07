"""Train a network for other people's scans without some sources of data, and test it on them.

    python -m experiments.networks lesions --without medseg9
    python -m experiments.networks lesions --without ct20 normal001
    python -m experiments.networks lungs --without lctsc3
    python -m experiments.networks table
    python -m experiments.networks whole

The same command started again goes on with a training that is not finished. `table` puts the scores of all finished
ones beside each other; `whole` segments whole scans, each by the networks that were trained without its source. On two
busy processor cores a training takes a quarter of an hour or two.
"""

import argparse
from pathlib import Path

from experiments.networks.sources import SOURCES
from unet_segnet.commands.arguments import dtype_option, one_seed, positive, settle_dtype
from unet_segnet.errors import InputError
from unet_segnet.output.console import HelpFormatter, import_keras, run_command

ARCHITECTURE, ENCODER = "linknet", "mobilenet_v2"  # 4.4 million weights, the fastest of six small pairs


def networks_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The parser of `networks`."""
    parser = argparse.ArgumentParser(prog=prog, description=description, formatter_class=HelpFormatter)
    parser.add_argument(
        "what", choices=("lungs", "lesions", "table", "whole"), help="what to train, or a table of scores"
    )
    parser.add_argument(
        "--without", nargs="+", default=(), choices=tuple(SOURCES), metavar="SOURCE",
        help=f"sources that are left out of the training and tested on: {', '.join(SOURCES)}",
    )  # fmt: skip
    parser.add_argument("--architecture", default=ARCHITECTURE, metavar="NAME", help="as of the second study")
    parser.add_argument("--encoder", default=ENCODER, metavar="NAME", help="as of the second study")
    parser.add_argument("--epochs", type=positive, default=32, help="of 50 mini-batches of 8 slices")
    parser.add_argument("--seed", type=one_seed, default=0, help="of weights, draws and augmentation")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER", help="folder of all runs")
    parser.add_argument("--results", type=Path, default=Path("runs/networks"), metavar="FOLDER", help="of a table")
    parser.add_argument("--force", action="store_true", help="throw a run with other settings away")
    dtype_option(parser)
    parser.set_defaults(dtype="float32")  # the encoder's depthwise convolutions gain nothing from bfloat16
    return parser


def main() -> None:
    """The command."""
    options = networks_parser("python -m experiments.networks", __doc__).parse_args()
    run_command(lambda: networks(options), options)


def networks(options) -> None:
    """Train what is asked for, or write the table.

    Raises:
        InputError: data are missing, a folder holds another run, or no run is finished.
    """
    if options.what == "table":
        from experiments.networks.table import write_score_table

        write_score_table(options.out, options.results)
        return
    if options.what == "whole":
        import_keras()
        from experiments.networks.whole import write_whole_table

        network = f"{options.architecture}-{options.encoder}"
        write_whole_table(options.out, options.results, network, options.seed)
        return
    from experiments.networks.runs import KIND, OF_TASK, NetworkData, NetworkJob, NetworkSpec

    import_keras()
    from unet_segnet.models.decoders import DECODERS
    from unet_segnet.models.encoders import ENCODERS
    from unet_segnet.runs.job import complete

    if strange := [source for source in options.without if source not in OF_TASK[options.what]]:
        raise InputError(f"`without` {' '.join(strange)}: no source of {options.what}; there it cannot be left out")
    for name, known in (("architecture", DECODERS), ("encoder", ENCODERS)):
        if (value := getattr(options, name)) not in known:
            raise InputError(f"`{name}` {value}: expected one of {', '.join(known)}")
    settle_dtype(options)
    from unet_segnet.runs.reading import read_run
    from unet_segnet.training.annealed import AnnealedRecipe

    spec = NetworkSpec(
        options.what,
        tuple(sorted(options.without)),
        options.architecture,
        options.encoder,
        options.seed,
    )
    job = NetworkJob(spec, AnnealedRecipe(epochs=options.epochs, dtype=options.dtype))
    path = complete(job, NetworkData(options.what), options.out, options.force)
    run = read_run(path, KIND)
    if run.counts is None:
        raise InputError(f"{path}: diverged in epoch {run.result['epoch']}; train it with another --seed")
    print(f"finished: {path}")


if __name__ == "__main__":
    main()
