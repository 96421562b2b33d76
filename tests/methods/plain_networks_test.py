import keras
import pytest

from lasem_tf.checks import InputError
from lasem_tf.methods.plain_networks import TaskNetworks
from lasem_tf.networks.backbones import linear_head
from tests.methods import tiny

SHAPE = (6, 6, 2)


def new(backbone, times=1):
    networks = TaskNetworks(backbone, linear_head)
    for _ in range(times):
        made = networks.new(SHAPE, 3)
    return made


def test_a_backbone_gets_a_head():
    assert new(tiny.backbone, times=2).output.shape == (None, 3)


def test_refuses_a_backbone_that_is_the_same_each_time():
    model = tiny.backbone(SHAPE)
    with pytest.raises(InputError, match="makes new layers .* 'conv2d"):
        new(lambda shape: model, times=2)


def test_refuses_layers_that_are_the_same_each_time():
    layer = keras.layers.Conv2D(2, 3)

    def backbone(shape):
        images = keras.Input(shape)
        return keras.Model(images, keras.layers.Flatten()(layer(images)))

    with pytest.raises(InputError, match="makes new layers"):
        new(backbone, times=2)


def test_what_is_not_trained_may_be_the_same_each_time():
    frozen = keras.layers.Dense(4, trainable=False)

    def backbone(shape):
        model = tiny.backbone(shape)
        return keras.Model(model.input, frozen(model.output))

    assert new(backbone, times=2).output.shape == (None, 3)


def test_refuses_a_layer_named_like_the_head():
    def backbone(shape):
        images = keras.Input(shape)
        outputs = keras.layers.Conv2D(2, 3, name="head")(images)
        return keras.Model(images, keras.layers.Flatten()(outputs))

    with pytest.raises(InputError, match="Received: a layer 'head'"):
        new(backbone)


class Subclassed(keras.Model):
    def call(self, images):
        return images


@pytest.mark.parametrize(
    ("made", "received"),
    [
        (None, "a NoneType"),
        (keras.layers.Conv2D(2, 3), "a Conv2D"),
        (Subclassed(), "a Subclassed without known outputs"),
        (keras.Sequential([keras.layers.Flatten()]), "a Sequential without"),
    ],
)
def test_refuses_a_backbone_whose_ends_are_not_known(made, received):
    with pytest.raises(InputError, match=f"Received: {received}"):
        new(lambda shape: made)
