"""How often the rules of the verdicts err, simulated: level under the null, power against gaps, coverage of intervals.

    python -m experiments.rules
    python -m experiments.rules --out experiments/results --readme experiments/reference/RULES.md

Gaps are in standard deviations of trainings of one configuration. Nothing is trained.
"""

import argparse
from pathlib import Path

from experiments.reporting.readme import check_markers, replace_between
from unet_segnet.commands.arguments import positive
from unet_segnet.errors import InputError
from unet_segnet.output.console import HelpFormatter, Progress, run_command
from unet_segnet.output.records import check_folder


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.rules", description=__doc__.splitlines()[0], formatter_class=HelpFormatter
    )
    parser.add_argument("--draws", type=positive, default=4000, help="simulated studies behind each number")
    parser.add_argument("--out", type=Path, default=Path("runs/rules"), help="folder of the tables")
    parser.add_argument("--readme", type=Path, help="also put the tables between this file's markers")
    parser.add_argument("--force", action="store_true", help="replace the tables of an earlier call")
    options = parser.parse_args()
    run_command(lambda: rules(options), options)


def rules(options) -> None:
    """Simulate and write rules.csv, rules_intervals.csv and rules_best.csv.

    Raises:
        InputError: they cannot be written, or are there already.
    """
    from experiments.reporting.simulation import decisions_table
    from experiments.saood2021.verdicts.simulation import best_table, coverage_table

    made = {
        "rules": lambda: decisions_table(options.draws),
        "rules_intervals": lambda: coverage_table(options.draws),
        "rules_best": best_table,
    }
    check_folder(options.out)
    if options.readme:
        check_markers(options.readme, "rules")
    for name in made:
        path = options.out / f"{name}.csv"
        if path.exists() and not options.force:
            raise InputError(f"{path}: is there already; give another folder with --out, or --force to replace it")
    bar, tables = Progress(len(made), "rules"), {}
    for number, (name, make) in enumerate(made.items(), 1):
        tables[name] = make()
        bar.update(number, name)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(options.out / f"{name}.csv")
        print(table.to_text())
    if options.readme:
        replace_between(options.readme, "rules", "\n".join(table.to_markdown() for table in tables.values()))


if __name__ == "__main__":
    main()
