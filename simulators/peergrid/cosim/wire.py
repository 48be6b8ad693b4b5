"""What an entry of the table of wire names is: attributes and models."""

import re
from dataclasses import dataclass
from typing import Literal

Direction = Literal["in", "out", "in/out"]

_UNIT = re.compile(r"\[(?P<unit>[^\]]+)\]$")


@dataclass(frozen=True)
class Attribute:
    """One attribute on the wire.

    Parameters
    ----------
    name
        Wire name, ``Quantity[unit]``.
    direction
        ``in``, ``out`` or ``in/out``.
    meaning
        What it says, with its sign.
    lag_steps
        How many steps after the hour it describes it is published (settlement: 1). The recorder
        writes it into the row of the hour it describes.
    """

    name: str
    direction: Direction
    meaning: str
    lag_steps: int = 0

    @property
    def unit(self) -> str:
        """The unit in the brackets, or an empty string.

        >>> Attribute("P[MW]", "out", "power").unit
        'MW'
        """
        return unit_of(self.name)


@dataclass(frozen=True)
class Model:
    """A mosaik model: its creation parameters and its attributes."""

    name: str
    attributes: tuple[Attribute, ...]
    params: tuple[str, ...] = ()
    public: bool = True
    any_inputs: bool = False


def unit_of(name: str) -> str:
    """Unit of a wire name.

    >>> unit_of("price[EUR/MWh]"), unit_of("iterations")
    ('EUR/MWh', '')
    """
    match = _UNIT.search(name)
    return match["unit"] if match else ""


def taken(name: str, meaning: str) -> Attribute:
    """An attribute that is only taken."""
    return Attribute(name, "in", meaning)


def given(name: str, meaning: str, lag_steps: int = 0) -> Attribute:
    """An attribute that is published every step."""
    return Attribute(name, "out", meaning, lag_steps)
