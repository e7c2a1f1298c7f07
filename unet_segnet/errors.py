"""The one error that a user of the commands is meant to see."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what was wrong, in which file, what was expected and what to do. The commands
    print it without a traceback and exit with status 2.
    """
