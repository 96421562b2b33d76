"""Transfer configurations: which layers share filters and which do not.

Write a configuration as one letter per convolutional layer, input side first:
`S` where the layer shares, `T` where it is task-specific. Every place that
takes one also takes the name of a usual one: `"all"` shares every layer,
`"single_task"` none, `"top_2"` the two layers nearest the output, `"bottom_2"`
the two nearest the input, `"alternating"` every second layer (`TSTS...`).
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from lasem_tf.checks import InputError

_SHARED, _TASK_SPECIFIC = "S", "T"


@dataclasses.dataclass(frozen=True)
class TransferConfiguration:
    """Says for every convolutional layer whether it shares its filters.

    Attributes:
        shared: One flag per layer, the layer nearest the input first.

    Example:

    >>> configuration = TransferConfiguration.parse("TSTS", num_layers=4)
    >>> configuration.shared
    (False, True, False, True)
    >>> str(TransferConfiguration.parse("bottom_1", num_layers=4))
    'STTT'
    """

    shared: tuple[bool, ...]

    def __str__(self) -> str:
        return "".join(_SHARED if s else _TASK_SPECIFIC for s in self.shared)

    def __len__(self) -> int:
        return len(self.shared)

    @property
    def num_shared(self) -> int:
        """How many layers share."""
        return sum(self.shared)

    @classmethod
    def parse(cls, text: str, num_layers: int) -> TransferConfiguration:
        """Reads letters such as `"TSTS"` or a name such as `"top_2"`.

        Args:
            text: The configuration as the user wrote it.
            num_layers: Number of convolutional layers of the network.

        Raises:
            InputError: If `text` is neither, or does not fit `num_layers`.
        """
        text = str(text)
        letters = _named(text, num_layers) or text
        example = ("TS" * num_layers)[:num_layers]
        unknown = set(letters) - {_SHARED, _TASK_SPECIFIC}
        if unknown or not letters:
            raise InputError(
                "A transfer configuration must be written with the letters "
                "S (shared) and T (task-specific), or be one of 'all', "
                "'single_task', 'alternating', 'top_K', 'bottom_K'.",
                received=repr(text),
                remedy=f"Pass for example {example!r}.",
            )
        if len(letters) != num_layers:
            raise InputError(
                "A transfer configuration must hold one letter per "
                f"convolutional layer, here {num_layers}.",
                received=f"{text!r} with {len(letters)} letters",
                remedy=f"Pass for example {example!r}.",
            )
        return cls(tuple(letter == _SHARED for letter in letters))


def all_configurations(num_layers: int) -> tuple[TransferConfiguration, ...]:
    """Returns the `2**num_layers` configurations, more sharing first.

    Args:
        num_layers: Number of convolutional layers.
    """
    return grouped_configurations(
        num_layers, [[layer] for layer in range(1, num_layers + 1)]
    )


def grouped_configurations(
    num_layers: int, layer_groups: Sequence[Sequence[int]]
) -> tuple[TransferConfiguration, ...]:
    """Returns the configurations that are constant inside each group.

    Source: Lee, Behpour & Eaton (2021), Appendix E.

    Args:
        num_layers: Number of convolutional layers.
        layer_groups: A partition of the layers, numbered from 1 at the input
            as in the paper: `((1, 2, 3), (4, 5, 6))`, or interleaved
            `((1, 3), (2, 4), (5,), (6,))`.

    Returns:
        `2**len(layer_groups)` configurations, more sharing first.

    Raises:
        InputError: If the groups are not a partition of the layers.

    Example:

    >>> [str(c) for c in grouped_configurations(3, [[1, 3], [2]])]
    ['SSS', 'STS', 'TST', 'TTT']
    """
    if not _is_partition(num_layers, layer_groups):
        raise InputError(
            f"`layer_groups` must name each of the layers 1 to {num_layers} "
            "exactly once.",
            received=f"layer_groups={layer_groups}",
            remedy="Put every layer into one group, for example "
            f"`layer_groups={[list(range(1, num_layers + 1))]}`, and leave no "
            "group empty.",
        )
    group_of = {
        layer - 1: index
        for index, group in enumerate(layer_groups)
        for layer in group
    }
    choices = itertools.product((True, False), repeat=len(layer_groups))
    return more_sharing_first(
        TransferConfiguration(
            tuple(choice[group_of[layer]] for layer in range(num_layers))
        )
        for choice in choices
    )


def candidate_configurations(
    candidates: str | TransferConfiguration | Sequence,
    num_layers: int,
    layer_groups: Sequence[Sequence[int]] | None = None,
) -> tuple[TransferConfiguration, ...]:
    """Returns the candidate set that the user described.

    Args:
        candidates: `"full"`, one configuration, or a list of configurations,
            each in words or as a `TransferConfiguration`.
        num_layers: Number of convolutional layers.
        layer_groups: As in `grouped_configurations`; makes `"full"` mean all
            configurations constant inside each group. `None`: no groups.

    Returns:
        Distinct configurations, more sharing first: then the first of the
        most probable ones is the one that shares most.

    Raises:
        InputError: If a configuration cannot be read, none is given, or
            groups are given beside an explicit list.
    """
    if candidates == "full":
        if layer_groups is None:
            return all_configurations(num_layers)
        return grouped_configurations(num_layers, layer_groups)
    if layer_groups is not None:
        raise InputError(
            "`layer_groups` goes with `candidates='full'` only.",
            received=f"candidates={candidates!r}, layer_groups={layer_groups}",
            remedy="Leave out one of the two.",
        )
    several = isinstance(candidates, list | tuple | set)
    texts = [str(c) for c in (candidates if several else [candidates])]
    if not texts:
        raise InputError(
            "`candidates` must hold at least one configuration.",
            received="an empty list",
            remedy="Pass 'full' or for example ['SSTT', 'TTSS'].",
        )
    return more_sharing_first(
        {TransferConfiguration.parse(text, num_layers) for text in texts}
    )


def more_sharing_first(
    configurations: Iterable[TransferConfiguration],
) -> tuple[TransferConfiguration, ...]:
    """Returns the configurations ordered by number of shared layers.

    Ties are broken by sharing nearer the input, so the order is total.

    Args:
        configurations: Any iterable of `TransferConfiguration`.
    """
    return tuple(
        sorted(
            configurations,
            key=lambda c: (c.num_shared, c.shared),
            reverse=True,
        )
    )


def _is_partition(num_layers: int, layer_groups: Any) -> bool:
    groups = layer_groups if isinstance(layer_groups, Sequence) else [None]
    if not all(isinstance(group, Sequence) and group for group in groups):
        return False
    members = [layer for group in groups for layer in group]
    if not all(isinstance(layer, int) for layer in members):
        return False
    every = range(1, num_layers + 1)
    return len(members) == num_layers and set(members) == set(every)


def _named(name: str, num_layers: int) -> str | None:
    """Returns the letters of a usual configuration, `None` for other text."""
    counted = re.fullmatch(r"(top|bottom)_(\d+)", name)
    if counted:
        count = int(counted.group(2))
        if not 1 <= count <= num_layers:
            raise InputError(
                f"'{counted.group(1)}_K' must share between 1 and "
                f"{num_layers} layers.",
                received=repr(name),
                remedy=f"Pass for example '{counted.group(1)}_1'.",
            )
        shared, own = _SHARED * count, _TASK_SPECIFIC * (num_layers - count)
        return own + shared if counted.group(1) == "top" else shared + own
    return {
        "all": _SHARED * num_layers,
        "single_task": _TASK_SPECIFIC * num_layers,
        "alternating": (_TASK_SPECIFIC + _SHARED) * (num_layers // 2)
        + _TASK_SPECIFIC * (num_layers % 2),
    }.get(name)
