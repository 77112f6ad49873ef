"""What can go wrong, by whose doing. Each message is one sentence: what was expected, what came, what to do."""


class InputError(ValueError):
    """This input cannot be processed (a broken file, a wrong camera). The command line exits with 1."""


class UsageError(ValueError):
    """The call itself is wrong (an unknown name, contradicting options). The command line exits with 2."""
