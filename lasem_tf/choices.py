"""Whether what a recipe chose for a part of the run is such a part."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.checks import InputError, check_one_of

_EXAMPLES = {
    "stream": "data.digits",
    "method": "Lasem",
    "sharing": "HardParameterSharing",
    "backbone": "backbones.cifar",
    "optimizer": "RMSprop",
    "augmentation": "Augmentation",
}


def set_dtype_policy(name: str) -> None:
    """Makes networks compute in another dtype, for the rest of the process.

    Args:
        name: Keras' name of the policy. It must keep weights in float32:
            "float32" or a mixed one.

    Raises:
        InputError: If Keras does not know it, or it keeps weights otherwise.
    """
    try:
        fits = keras.DTypePolicy(name).variable_dtype == "float32"
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(
            "`dtype_policy` must be one that Keras knows, with weights in "
            "float32.",
            received=f"dtype_policy={name!r}",
            remedy="Pass for example `dtype_policy='mixed_bfloat16'`.",
        )
    keras.config.set_dtype_policy(name)


def set_tensor_float_32(allowed: bool) -> None:
    """Says whether a GPU may round what it multiplies, for the whole process.

    Args:
        allowed: To eleven bits; otherwise to float32's 24.

    Raises:
        InputError: If it is neither true nor false.
    """
    check_one_of("tensor_float_32", allowed, (False, True))
    tf.config.experimental.enable_tensor_float_32_execution(bool(allowed))


def made(
    name: str, make: Callable, kind: type, *args: Any, **kwargs: Any
) -> Any:
    """Calls what a recipe chose, if it is what makes such a thing.

    Args:
        name: The parameter of `run_experiment` that it was chosen for.
        make: What was chosen.
        kind: What it should make.
        *args: To call it with.
        **kwargs: To call it with.

    Raises:
        InputError: If it makes something else, or cannot be called so.
    """
    makes_other = isinstance(make, type) and not issubclass(make, kind)
    if makes_other or not callable(make) or not _takes(make, args, kwargs):
        received = f"{name}={getattr(make, '__name__', repr(make))}"
    else:
        thing = make(*args, **kwargs)
        if isinstance(thing, kind):
            return thing
        received = f"a {type(thing).__name__}"
    raise InputError(
        f"`run_experiment.{name}` must name what makes a {kind.__name__}.",
        received=received,
        remedy=f"Name a class or function, such as `@{_EXAMPLES[name]}`.",
    )


def _takes(make: Callable, args: tuple, kwargs: dict[str, Any]) -> bool:
    try:
        inspect.signature(make).bind_partial(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # Python knows no signature of it.
        return True
    return True


def check_optimizer(
    optimizer: Callable[[], keras.optimizers.Optimizer],
) -> None:
    """Raises an `InputError` if it makes no optimizer.

    Args:
        optimizer: What a recipe chose.
    """
    try:
        made("optimizer", optimizer, keras.optimizers.Optimizer)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            "An optimizer must be made of values that it takes.",
            received=str(error).splitlines()[0],
            remedy="Set for example `LEARNING_RATE=1e-4`.",
        ) from error
