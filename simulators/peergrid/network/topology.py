"""Orientation of an undirected set of branches into a tree that starts at the root."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from peergrid.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A tree in breadth-first order: position k holds node ``order[k]``.

    Parameters
    ----------
    order
        Nodes as the caller numbers them, root first.
    parent
        Position (not node) of the parent, -1 at the root.
    branch
        Which branch feeds the node (its place in the caller's list), -1 at the root.
    """

    order: tuple[int, ...]
    parent: tuple[int, ...]
    branch: tuple[int, ...]


def breadth_first(
    root: int, ends: Sequence[tuple[int, int]], labels: Sequence[str], *, where: str
) -> Tree:
    """Orient branches away from the root; nodes that cannot be reached are left out.

    Parameters
    ----------
    root
        Node to start from.
    ends
        The two nodes of each branch.
    labels
        What to call each branch in a message.
    where
        What to call the network in a message.

    Raises
    ------
    ModelError
        If the branches form a loop; the message names its branches.

    Examples
    --------
    >>> breadth_first(7, [(8, 7), (9, 8)], ["a", "b"], where="net")
    Tree(order=(7, 8, 9), parent=(-1, 0, 1), branch=(-1, 0, 1))
    >>> breadth_first(0, [(0, 1), (1, 2), (2, 0)], ["a", "b", "c"], where="net"
    ... )  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    peergrid.errors.ModelError: net: the network is meshed (loop: a, b, c); open a switch in it ...
    """
    incident: dict[int, list[int]] = {}
    for branch, (a, b) in enumerate(ends):
        incident.setdefault(a, []).append(branch)
        incident.setdefault(b, []).append(branch)
    order, parent, fed_by, place = [root], [-1], [-1], {root: 0}
    queue = deque([root])
    while queue:
        node = queue.popleft()
        for branch in incident.get(node, []):
            if branch == fed_by[place[node]]:
                continue
            a, b = ends[branch]
            other = b if a == node else a
            if other in place:
                loop = [*_loop(place[node], place[other], parent, fed_by), branch]
                names = ", ".join(labels[k] for k in sorted(loop))
                raise ModelError(
                    f"{where}: the network is meshed (loop: {names}); "
                    "open a switch in it or take one of these branches out of service"
                )
            place[other] = len(order)
            order.append(other)
            parent.append(place[node])
            fed_by.append(branch)
            queue.append(other)
    return Tree(order=tuple(order), parent=tuple(parent), branch=tuple(fed_by))


def _loop(a: int, b: int, parent: Sequence[int], fed_by: Sequence[int]) -> list[int]:
    """Branches on the tree path between two positions."""
    path: list[int] = []
    while a != b:
        if a > b:  # breadth first: the larger position is never the shallower one
            path.append(fed_by[a])
            a = parent[a]
        else:
            path.append(fed_by[b])
            b = parent[b]
    return path
