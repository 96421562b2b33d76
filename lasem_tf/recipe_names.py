"""What recipes may name of the library, and what they may set of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import keras

from lasem_tf import data, layers, methods
from lasem_tf.experiment import run_experiment
from lasem_tf.methods.network_method import NetworkMethod
from lasem_tf.methods.selective_method import SelectiveMethod
from lasem_tf.networks import backbones


def _named(module: str, *functions: Callable) -> dict[str, Callable]:
    return {f"{module}.{f.__name__}": f for f in functions}


LIBRARY: dict[str, Callable] = {
    **_named(
        "data",
        data.Augmentation,
        data.cifar100,
        data.digits,
        data.from_arrays,
        data.image_folder,
        data.office_home,
        data.office_home_incremental,
        data.stl10,
        data.synthetic,
        data.tfds_classes,
    ),
    **_named(
        "backbones",
        backbones.by_channel,
        backbones.cifar,
        backbones.digits,
        backbones.office_home,
        backbones.plain_cnn,
        backbones.stl10,
        backbones.stl10_nine_layers,
        backbones.zero_head,
    ),
    **_named(
        "layers",
        layers.DeconvFactorization,
        layers.HardParameterSharing,
        layers.TensorFactorization,
    ),
    **_named(
        "methods",
        methods.AdditiveDecomposition,
        methods.BruteForce,
        methods.ChannelGated,
        methods.Darts,
        methods.DynamicallyExpandable,
        methods.FixedPosterior,
        methods.Lasem,
        methods.Progressive,
        methods.Static,
    ),
    **_named(
        "optimizers",
        methods.RMSprop,
        keras.optimizers.Adam,
        keras.optimizers.SGD,
    ),
}
_ROOT = {"lasem_tf.run_experiment": run_experiment}

# Given on the command line, or by it.
_NOT_OF_ROOT = ("workdir", "run_name", "config_text")
# The root hands these on, or the method does: recipes set them at the root.
_GIVEN_BY_ROOT = (
    "backbone",
    "head",
    "image_shape",
    "jit_compile",
    "learning_rate_decay",
    "optimizer",
    "seed",
    "sharing",
)


def names() -> tuple[str, ...]:
    """Returns what recipes may name: without module where that is enough."""
    everything = LIBRARY | _ROOT
    last_parts = [name.split(".")[-1] for name in everything]
    return tuple(
        last if last_parts.count(last) == 1 else name
        for name, last in zip(everything, last_parts, strict=True)
    )


def is_same(name: str, other: str) -> bool:
    """Whether two names differ only in how much of the module they say.

    Args:
        name: Such as `"Lasem"` or `"Lasem.prior"`.
        other: Such as `"methods.Lasem"` or `"methods.Lasem.prior"`.
    """
    return f".{name}".endswith(f".{other}") or f".{other}".endswith(f".{name}")


def parameters_of(name: str) -> tuple[str, ...]:
    """Returns what recipes may set of a name; nothing if it is not ours.

    Args:
        name: With as much of the module as the user wrote.
    """
    for known, function in (LIBRARY | _ROOT).items():
        if is_same(name, known):
            return settable(function)
    return ()


def settable(function: Callable) -> tuple[str, ...]:
    """Returns the parameters of a class or function that recipes may set.

    What a method takes by `**` is looked up where it ends: gin would take any
    name for one of those.

    Args:
        function: One of ours.
    """
    excluded = _NOT_OF_ROOT if function is run_experiment else _GIVEN_BY_ROOT
    owners = [function]
    if inspect.isclass(function):
        ends = (SelectiveMethod, NetworkMethod)
        owners += [end for end in ends if issubclass(function, end)]
    found = [
        parameter.name
        for owner in owners
        for parameter in inspect.signature(owner).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    return tuple(n for n in dict.fromkeys(found) if n not in excluded)
