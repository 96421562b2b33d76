"""What tells one run's settings from another's, in any process."""

import dataclasses
import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.layers import HardParameterSharing
from lasem_tf.methods.settings import described
from lasem_tf.recipes import REPOSITORY


class Factory:
    def __init__(self, units):
        self.units = units

    def backbone(self, image_shape):
        return image_shape, self.units


@dataclasses.dataclass
class Choice:
    of: object


class Rule(HardParameterSharing):
    def __init__(self, init):
        self.init = init


class Holder:
    """Keeps its argument under the argument's name, as methods do."""

    def __init__(self, value):
        self.value = value


def text_of(value):
    return described(Holder(value), Holder.__init__)["value"]


def double(x):
    return 2 * x


class Init(keras.initializers.Initializer):
    """Says nothing of its setting, as Keras lets it."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, self.scale, dtype)


class Slots:
    __slots__ = ("number",)

    def backbone(self, image_shape):
        return image_shape


class Drawing:
    def __init__(self):
        self.rng, self.missing = np.random.default_rng(0), object()

    def backbone(self, image_shape):
        return image_shape


# Each makes a value from a number.
MAKERS = {
    "bound method": lambda n: Factory(n).backbone,
    "partial": lambda n: functools.partial(double, n),
    "array": lambda n: np.arange(5000) + n * (np.arange(5000) == 2500),
    "set": lambda n: {"one", "two", str(n)},
    "mapping": lambda n: {"function": double, "number": n},
    "dataclass": lambda n: Choice(functools.partial(double, n)),
    "rule": lambda n: Rule(keras.initializers.HeNormal(seed=n)),
    "closure": lambda n: lambda: n,
    "initializer": Init,
    "key": lambda n: {n: double, double: n},
    "objects": lambda n: np.array([n, double, None], dtype=object),
    "tensor": lambda n: tf.range(5000) + n,
}


@pytest.mark.parametrize("name", MAKERS)
def test_equal_values_have_one_text_and_others_another(name):
    make = MAKERS[name]
    assert text_of(make(1)) == text_of(make(1))
    assert text_of(make(1)) != text_of(make(2))
    assert " at 0x" not in text_of(make(1))


@pytest.mark.parametrize("made", [Slots, Drawing])
def test_what_tells_little_of_itself_has_one_text_too(made):
    one, other = text_of(made().backbone), text_of(made().backbone)
    assert one == other
    assert " at 0x" not in one


def test_keys_of_another_kind_are_other_keys():
    assert text_of({1: 2}) != text_of({"1": 2})


def test_a_seed_that_keras_draws_is_not_told():
    assert text_of(Rule(keras.initializers.HeNormal())) == text_of(
        Rule(keras.initializers.HeNormal())
    )


def test_the_order_of_a_set_is_not_that_of_the_process():
    program = (
        "import sys; sys.path.insert(0, '.');"
        "from tests.methods.settings_test import text_of;"
        "print(text_of({'a', 'b', 'c', 'd', 'e'}))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "TF_CPP_MIN_LOG_LEVEL": "3"},
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in "12"
    }
    assert texts == {"{'a', 'b', 'c', 'd', 'e'}\n"}
