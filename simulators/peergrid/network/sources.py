"""Networks from other packages: the functions of pandapower.networks, and SimBench."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from peergrid.errors import DataError

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def from_function(call: str) -> "pandapowerNet":
    """Call a network function of pandapower, such as ``create_cigre_network_mv?with_der=all``.

    Raises
    ------
    DataError
        If there is no such function, it needs arguments, or it refuses those given.
    """
    import pandapower.networks

    name, _, query = call.partition("?")
    function = getattr(pandapower.networks, name, None)
    if function is None or not _is_network_function(name, function):
        wanted = "a function of pandapower.networks that needs no argument"
        raise DataError("network", "pandapower", name, wanted)
    arguments = {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}
    known = inspect.signature(function).parameters
    for key in arguments:
        if key not in known:
            raise DataError("network", f"pandapower:{name}?{key}", key, ", ".join(known) or "none")
    try:
        net = function(**arguments)
    except (ValueError, TypeError, KeyError, UserWarning, NotImplementedError) as error:
        raise DataError("network", f"pandapower:{name}", query, str(error)) from None
    if not isinstance(net, pandapower.pandapowerNet):
        wanted = "a function that returns one network"
        raise DataError("network", "pandapower", name, wanted)
    return net


def _is_network_function(name: str, function: Callable[..., object]) -> bool:
    if name.startswith("_") or not inspect.isfunction(function):
        return False
    if not function.__module__.startswith("pandapower.networks."):
        return False
    optional = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return all(
        parameter.default is not inspect.Parameter.empty or parameter.kind in optional
        for parameter in inspect.signature(function).parameters.values()
    )


def _value(text: str) -> bool | int | float | str:
    """Argument in a query.

    >>> _value("true"), _value("2"), _value("1.5"), _value("pv_wind")
    (True, 2, 1.5, 'pv_wind')
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def from_simbench(code: str) -> "pandapowerNet":
    """Load a SimBench network by its code.

    Raises
    ------
    DataError
        If there is no such code, or the package simbench is not installed.
    """
    try:
        import simbench
    except ImportError:
        wanted = "simbench networks after: pip install 'mosaik-peergrid[simbench]'"
        raise DataError("network", "simbench", code, wanted) from None
    if code not in simbench.collect_all_simbench_codes():
        wanted = "a code of simbench.collect_all_simbench_codes(), such as 1-MV-rural--0-sw"
        raise DataError("network", "simbench", code, wanted)
    return simbench.get_simbench_net(code)
