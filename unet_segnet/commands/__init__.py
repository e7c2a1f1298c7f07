"""The command `unet-segnet`: a file for each verb, its modules imported when it is called.

unet-segnet predict scan.nii.gz --out segmented
python -m unet_segnet predict scan.nii.gz --out segmented      the same
"""

import sys
from collections.abc import Sequence

VERBS = {
    "predict": "label the lesions in CT scans",
    "train": "train on labelled scans of your own",
    "evaluate": "score a network on labelled scans",
    "data": "get, examine, show, list or make data",
    "export": "write a network for another runtime",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the verb that the first argument names; the process ends with its exit status.

    Arguments:
        arguments: those of this process where they are left out.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in VERBS:
        import importlib

        importlib.import_module(f"unet_segnet.commands.{words[0]}").main(words[1:])
        return
    if words and words[0] == "--version":
        from unet_segnet import __version__

        print(f"unet-segnet {__version__}")
        return
    lines = ["usage: unet-segnet VERB ... | --version", ""]
    lines += [f"  {verb:10}{what}" for verb, what in VERBS.items()]
    lines += ["", "unet-segnet VERB --help tells more. For research; not a medical device, not for clinical use."]
    asked = words[:1] in (["-h"], ["--help"])
    if words and not asked:
        print(f"error: there is no verb {words[0]!r}; expected one of {', '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else 2)
