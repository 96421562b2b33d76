import keras
import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.networks.layer_graph import LayerGraph, takes_training
from tests.networks import graphs

layers = keras.layers


def plainly(step, args, kwargs):
    return step.layer(*args, **kwargs)


def output_of(model, images):
    graph = LayerGraph(model)
    return graph.run(images, plainly)[graph.output]


@pytest.mark.parametrize("seed", range(4))
def test_running_the_graph_is_running_the_model(seed):
    keras.utils.set_random_seed(seed)
    model = graphs.graph(num_steps=6, seed=seed).model
    images = graphs.images()
    before = model(images).numpy()
    np.testing.assert_allclose(output_of(model, images), before, atol=1e-6)
    # Taking the model apart has not changed it.
    np.testing.assert_array_equal(model(images), before)


class Twins(layers.Layer):
    """Two outputs by name, in an order that is not the alphabet's."""

    def call(self, inputs):
        return {"late": inputs * 3.0, "early": inputs + 1.0}


def test_outputs_by_name_and_by_position():
    images = keras.Input((2, 2, 4))
    twins = Twins()(images)
    left, right = keras.ops.split(twins["late"], 2, axis=-1)
    outputs = layers.Flatten()(left - 2.0 * right + twins["early"][..., :2])
    values = graphs.images((2, 2, 4))
    expected = (
        3.0 * values[..., :2] - 6.0 * values[..., 2:] + values[..., :2] + 1.0
    )
    np.testing.assert_allclose(
        output_of(keras.Model(images, outputs), values),
        expected.reshape(2, -1),
        atol=1e-5,
    )


def test_replaces_each_layer_once_however_often_it_is_called():
    shared = layers.Dense(2, name="shared")
    images = keras.Input((2,))
    inner = keras.Sequential([keras.Input((2,)), shared, layers.ReLU()])
    model = keras.Model(images, shared(inner(inner(images))))
    replaced = []

    def replace(layer):
        replaced.append(layer)
        return f"replacement {len(replaced)}"

    graph = LayerGraph(model, replace)
    assert [type(la).__name__ for la in replaced] == ["Dense", "ReLU"]
    assert graph.layers() == ["replacement 1", "replacement 2"]
    assert [step.layer[-1] for step in graph.steps] == list("12121")


def test_a_single_answer_stands_for_all_outputs_of_a_call():
    images = keras.Input((4,))
    model = keras.Model(images, layers.Add()(keras.ops.split(images, 2, -1)))
    graph = LayerGraph(model)
    assert graph.run("x", lambda *_: "y")[graph.output] == "y"


def test_knows_which_values_differ_between_training_and_inference():
    images = keras.Input((4, 4, 2))
    stem = layers.Conv2D(2, 1, name="stem")(images)
    noisy = layers.Dropout(0.5, name="dropout")(stem)
    after = layers.Conv2D(2, 1, name="after")(noisy)
    beside = layers.Conv2D(2, 1, name="beside")(stem)
    merged = layers.Concatenate(name="merged")([beside, after])
    graph = LayerGraph(keras.Model(images, merged))
    differing = {
        step.layer.name
        for step in graph.steps
        if graph.training_dependent.intersection(step.outputs)
    }
    assert differing == {"dropout", "after", "merged"}


def test_takes_training():
    assert takes_training(layers.Dropout(0.5))
    assert takes_training(layers.BatchNormalization())
    assert not takes_training(layers.Conv2D(2, 1))
    assert not takes_training(keras.ops.add)


class Subclassed(keras.Model):
    """A model whose calls nobody knows before it makes them."""

    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(2, 1)

    def call(self, inputs):
        return 2.0 * self.convolution(inputs)


def test_a_model_with_a_call_of_its_own_is_a_layer_like_any_other():
    images = keras.Input((3, 4, 2))
    inner = Subclassed()
    model = keras.Model(images, layers.Flatten()(inner(images)))
    assert inner in LayerGraph(model).layers()
    values = graphs.images()
    np.testing.assert_allclose(output_of(model, values), model(values))


def two_inputs():
    first, second = keras.Input((3,)), keras.Input((3,))
    return keras.Model([first, second], layers.Add()([first, second]))


def two_outputs():
    images = keras.Input((3,))
    return keras.Model(images, [layers.ReLU()(images), images])


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (Subclassed, "a Subclassed with 0 inputs and 0 outputs defined"),
        (
            lambda: keras.Sequential([layers.Dense(2)]),
            "a Sequential with 0 inputs and 0 outputs defined",
        ),
        (two_inputs, "a Functional with 2 inputs and 1 outputs defined"),
        (two_outputs, "a Functional with 1 inputs and 2 outputs defined"),
    ],
)
def test_refuses_what_is_not_one_known_chain_of_calls(make, received):
    with pytest.raises(InputError) as caught:
        LayerGraph(make())
    assert str(caught.value) == (
        "A backbone must be a functional or Sequential Keras model with one "
        f"input and one output. Received: {received}. Make it with "
        "`keras.Model(inputs, outputs)`, or begin a Sequential model with a "
        "`keras.Input`."
    )


class Between(layers.Layer):
    """Its first argument is not the one that Keras' layers call `inputs`."""

    def call(self, context, inputs):
        return context - 2.0 * inputs


def test_arguments_keep_their_places_however_they_are_given():
    images = keras.Input((4, 4, 2))
    values = Between()(context=images, inputs=layers.ReLU()(images))
    values = layers.Concatenate()(inputs=[values, images])
    model = keras.Model(images, layers.Flatten()(values))
    given = graphs.images((4, 4, 2))
    np.testing.assert_allclose(output_of(model, given), model(given), atol=1e-6)


def test_inputs_given_by_name_are_the_first_argument():
    images = keras.Input((4, 4, 2))
    values = layers.Conv2D(3, 3)(inputs=images)
    model = keras.Model(images, layers.Flatten()(inputs=values))
    graph = LayerGraph(model)
    assert all(len(step.args) == 1 for step in graph.steps)
    assert not any("inputs" in step.kwargs for step in graph.steps)
    given = graphs.images((4, 4, 2))
    np.testing.assert_allclose(output_of(model, given), model(given), atol=1e-6)
