"""The errors peergrid raises on purpose: one base, three kinds, each a single clear line."""


class PeergridError(Exception):
    """Base of every error that peergrid raises on purpose.

    The command prints its text as one line and exits with status 2, without a traceback.
    """


class DataError(PeergridError):
    """What the user gave (a file, a field, a value) cannot be used.

    Parameters
    ----------
    where
        The file, or the part of a file or call, the value came from.
    field
        The name of the offending field, column or element.
    value
        The value as given; long ones are shortened in the middle.
    allowed
        What is allowed there, or what to do about it.

    Examples
    --------
    >>> str(DataError("day.toml", "pv[0].bus", 99, "a bus of ieee33: 1 to 33"))
    'day.toml: pv[0].bus = 99: allowed: a bus of ieee33: 1 to 33'
    """

    def __init__(self, where: object, field: str, value: object, allowed: str) -> None:
        shown = repr(value)
        if len(shown) > 80:
            shown = f"{shown[:30]}...{shown[-47:]}"  # the end of a path tells the file
        text = f"{where}: {field} = {shown}: allowed: {allowed}"
        super().__init__(" ".join(text.split()))
        self.where = str(where)
        self.field = field
        self.value = value
        self.allowed = allowed


class ModelError(PeergridError):
    """A model cannot represent what it was asked to (an element, a topology, a range)."""


class SolverError(PeergridError):
    """A numerical method could not return an answer it can vouch for."""
