import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import HardParameterSharing
from lasem_tf.networks import BranchedEvaluation, SelectiveNetwork
from lasem_tf.transfer import all_configurations

layers = keras.layers


def network(*after):
    images = keras.Input((6, 6, 2))
    outputs = layers.Conv2D(3, 3, padding="same", name="first")(images)
    for function in after:
        outputs = function(outputs)
    outputs = layers.Conv2D(3, 3, name="second")(outputs)
    features = layers.Dense(2)(layers.Flatten()(outputs))
    return SelectiveNetwork(
        keras.Model(images, features), HardParameterSharing()
    )


def centred(outputs):
    return outputs - keras.ops.mean(outputs, axis=0, keepdims=True)


@pytest.mark.parametrize(
    "mixing",
    [centred, layers.Lambda(lambda x: x[::-1], name="turned")],
    ids=["mean over the batch", "another image's answer"],
)
def test_a_layer_that_mixes_images_is_refused_by_name(mixing):
    with pytest.raises(InputError, match="must not depend on the other images"):
        BranchedEvaluation(network(mixing), all_configurations(2))


def test_one_configuration_may_mix_its_images():
    evaluation = BranchedEvaluation(network(centred), all_configurations(2)[:1])
    assert evaluation is not None


def test_ordinary_layers_are_accepted():
    ordinary = network(
        layers.LayerNormalization(),
        layers.BatchNormalization(trainable=False),
        layers.Dropout(0.5),
        keras.ops.relu,
    )
    evaluate = BranchedEvaluation(ordinary, all_configurations(2))
    images = np.random.default_rng(0).normal(size=(3, 6, 6, 2))
    result = evaluate(images.astype("float32"), ordinary.filters())
    assert result.logits.shape == (4, 3, 2)
    assert np.isfinite(result.logits).all()


def test_the_message_names_the_layer():
    def reversed_images(outputs):
        return layers.Lambda(lambda x: x[::-1], name="turned")(outputs)

    with pytest.raises(InputError, match="Lambda 'turned'"):
        BranchedEvaluation(network(reversed_images), all_configurations(2))


class TrainsOnBatch(layers.Layer):
    def call(self, inputs, training=False):
        return centred(inputs) if training else inputs


def test_a_layer_that_mixes_images_only_in_training_is_refused():
    with pytest.raises(InputError, match="TrainsOnBatch 'mixing'"):
        BranchedEvaluation(
            network(layers.Dropout(0.5), TrainsOnBatch(name="mixing")),
            all_configurations(2),
        )


class Noise(layers.Layer):
    def call(self, inputs, training=False):
        noise = tf.random.normal(tf.shape(inputs))
        return inputs + noise if training else inputs


def test_a_layer_of_noise_is_not_taken_for_one_that_mixes():
    noisy = network(Noise(), layers.GaussianDropout(0.5))
    assert BranchedEvaluation(noisy, all_configurations(2)) is not None


def test_trying_a_network_leaves_it_as_it_was():
    tried = network(
        layers.Dropout(0.5), layers.BatchNormalization(trainable=False)
    )
    before = [variable.numpy() for variable in tried.variables]
    BranchedEvaluation(tried, all_configurations(2))
    for variable, value in zip(tried.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
