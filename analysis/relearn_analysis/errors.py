"""The one error that this package raises on purpose: its text is the whole message, one line."""


class BadInput(Exception):
    """Something outside this program is wrong: a missing file, a foreign store, a name that does not exist. Exit code 2."""
