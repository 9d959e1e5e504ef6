"""Episodes, and the random draws that make them."""
import hashlib
import json
from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np


@dataclass(frozen=True)
class Episode:
    """One few-shot task, by name: segment a class in a query, given supports.

    Attributes:
        class_id (int): The class, counted from 0.
        query (str): Name of the query image.
        supports (tuple[str]): Names of the K support images.

    Example:
        >>> Episode(3, '2007_000061', ('2007_005705',)).to_list()
        ['2007_000061', 3, ['2007_005705']]
    """
    class_id: int
    query: str
    supports: Tuple[str, ...]

    def to_list(self) -> list:
        """``[query, class, [supports]]``, the form that lists are stored in."""
        return [self.query, self.class_id, list(self.supports)]


def choose(rs: np.random.RandomState, items: Sequence):
    """One draw of the published random stream: the first of a permutation.

    It is ``rs.choice(items, 1, replace=False)[0]`` without the copy;
    ``rs.choice(items)`` consumes another stream.
    """
    return items[rs.permutation(len(items))[0]]


def draw_supports(rs: np.random.RandomState,
                  names: Sequence[str],
                  query: str,
                  shot: int,
                  unique: bool = False) -> Tuple[str, ...]:
    """Draw supports one at a time, rejecting the query.

    Args:
        rs (RandomState): The stream; a rejected draw consumes it, too.
        names (Sequence[str]): All images of the class, at least two distinct.
        query (str): The one name that must not be drawn.
        shot (int): How many to draw; may exceed the number of images.
        unique (bool): Reject earlier supports, too; then at least ``shot + 1``
            distinct images are needed. Defaults to False, as published.

    Returns:
        tuple[str]: The names of the supports.
    """
    supports = []
    while len(supports) < shot:
        name = choose(rs, names)
        if name != query and not (unique and name in supports):
            supports.append(name)
    return tuple(supports)


def checksum(episodes: Sequence[Episode]) -> str:
    """SHA-256 of a list of episodes, in hexadecimal.

    Two evaluations with the same checksum saw the same episodes in the same
    order. It is taken over the compact JSON of :meth:`Episode.to_list`.
    """
    text = json.dumps([e.to_list() for e in episodes], separators=(',', ':'))
    return hashlib.sha256(text.encode()).hexdigest()
