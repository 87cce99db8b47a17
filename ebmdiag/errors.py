"""What can go wrong for a user, and the exit code that says so.

Every message is one sentence or two: what was found, where, which rule it breaks, and what to do next.
The command line prints it after ``ebmdiag: `` and exits with ``exit_code``; a traceback is a bug.
"""


class EbmdiagError(Exception):
    """A fault that the user can mend: input that cannot be read, output that cannot be written."""

    exit_code = 3


class UsageError(EbmdiagError):
    """The command or call itself is wrong: an unknown name, an option out of range, an existing output."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe holds an unknown key or a value out of range."""


class OutputExistsError(UsageError):
    """The output is there already and may not be replaced without being asked to."""


class TraceError(EbmdiagError):
    """A file is not a readable trace, or a row does not keep to the trace contract."""


class NothingToAnalyse(EbmdiagError):
    """A run holds none of what an analysis looks at; the message says how to make it."""


class DataError(EbmdiagError):
    """A data set cannot be had, read or trusted."""


class CheckpointError(EbmdiagError):
    """A checkpoint cannot be read or does not belong to this run."""


class WriteError(EbmdiagError):
    """The operating system refused to write: no space, no permission, a vanished folder."""


class DivergenceError(EbmdiagError):
    """A quantity became non-finite or exploded; what was recorded before is kept."""

    exit_code = 1
