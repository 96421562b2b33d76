import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import (
    DeconvFactorization,
    HardParameterSharing,
    TensorFactorization,
)
from lasem_tf.methods import Darts, RMSprop
from lasem_tf.methods.architecture_gradient import (
    first_order_gradient,
    second_order_gradient,
)
from lasem_tf.methods.darts import configuration_probabilities
from lasem_tf.seeding import derive_seed
from lasem_tf.transfer import all_configurations
from tests.methods import naive_step, tiny

ALPHA = [[0.3, -0.2], [0.1, 0.4], [-0.5, 0.2]]


def begun(sharing=None, backbone=tiny.backbone, **kwargs):
    optimizer = functools.partial(RMSprop, learning_rate=0.02)
    method = Darts(
        backbone,
        sharing or HardParameterSharing(),
        head=tiny.head,
        **{"optimizer": optimizer, **kwargs},
    )
    method.begin_task(tiny.task())
    return method


def batch(number=0):
    images, labels = list(tiny.batches(tiny.task()))[number]
    return images, labels


@pytest.fixture
def float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def finite_difference(function, architecture, step=1e-5):
    """The gradient of `function` by central differences."""
    start = architecture.numpy()
    gradient = np.zeros_like(start)
    for position in np.ndindex(*start.shape):
        values = []
        for sign in (1, -1):
            moved = start.copy()
            moved[position] += sign * step
            architecture.assign(moved)
            values.append(float(function()))
        gradient[position] = (values[0] - values[1]) / (2 * step)
    architecture.assign(start)
    return gradient


def losses_of(trainer):
    """Training and validation loss as functions, in float64."""
    train, validation = (
        (tf.cast(images, tf.float64), labels)
        for images, labels in (batch(0), batch(1))
    )
    return (
        functools.partial(trainer.mixed_loss, *train, False),
        functools.partial(trainer.validation_loss, *validation),
    )


@pytest.mark.parametrize(
    "sharing", [HardParameterSharing, TensorFactorization, DeconvFactorization]
)
def test_second_order_gradient_is_that_of_a_finite_difference(float64, sharing):
    method = begun(sharing())
    trainer = method._trainer
    trainer.architecture.assign(ALPHA)
    train_loss, validation_loss = losses_of(trainer)
    step_size = 0.05
    start = [weight.numpy() for weight in trainer.weights]

    def after_one_step():
        """Takes the step of the weights for real, and takes it back."""
        with tf.GradientTape() as tape:
            loss = train_loss()
        gradients = tape.gradient(loss, [w.value for w in trainer.weights])
        for weight, gradient in zip(trainer.weights, gradients, strict=True):
            if gradient is not None:
                weight.assign_sub(step_size * gradient)
        found = validation_loss()
        for weight, value in zip(trainer.weights, start, strict=True):
            weight.assign(value)
        return found

    architecture = trainer.architecture
    exact = second_order_gradient(
        train_loss,
        validation_loss,
        architecture.value,
        trainer.weights,
        step_size,
    )
    expected = finite_difference(after_one_step, architecture)
    np.testing.assert_allclose(exact, expected, rtol=1e-5, atol=1e-9)
    first = first_order_gradient(validation_loss, architecture.value)
    # The second-order terms are there to be seen.
    assert np.abs(first - expected).max() > 100 * np.abs(exact - expected).max()
    np.testing.assert_allclose(
        first, finite_difference(validation_loss, architecture), rtol=1e-5
    )
    for weight, value in zip(trainer.weights, start, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_without_a_step_second_order_is_first_order():
    """With layers that add losses, and whose averages must not move."""

    def backbone(image_shape):
        images = keras.Input(image_shape)
        outputs = keras.layers.Conv2D(3, 3)(images)
        outputs = keras.layers.BatchNormalization()(outputs)
        outputs = keras.layers.ActivityRegularization(l2=1.0)(outputs)
        return keras.Model(images, keras.layers.Flatten()(outputs))

    found = []
    for settings in ({"second_order": False}, {"unrolled_learning_rate": 0.0}):
        method = begun(backbone=backbone, **settings)
        averages = [w.numpy() for w in method._trainer.network.other_weights]
        found.append(method._architecture_gradient(*batch()).numpy())
        for now, before in zip(
            method._trainer.network.other_weights, averages, strict=True
        ):
            np.testing.assert_array_equal(now, before)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert np.abs(found[0]).max() > 0.01


@pytest.mark.parametrize("rate", [None, 0.3])
def test_the_second_order_gradient_is_put_together_right(rate):
    """Training batch for the step, drawn batch for alpha, the rate in force."""
    method = begun(unrolled_learning_rate=rate, seed=4)
    trainer = method._trainer
    found = []
    for step in range(2):
        trainer.num_steps.assign(step)
        seed = derive_seed(4, "validation_batches")
        drawn = trainer.held_out.draw(tf.constant(4), tf.stack([seed, step]))
        expected = second_order_gradient(
            functools.partial(trainer.mixed_loss, *batch(), True),
            functools.partial(trainer.validation_loss, *drawn),
            trainer.architecture.value,
            trainer.weights,
            0.02 if rate is None else rate,
        )
        received = method._architecture_gradient(*batch())
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-7)
        found.append(received.numpy())
    assert np.abs(found[0] - found[1]).max() > 1e-4  # Another batch each time.
    trainer.num_steps.assign(0)
    method._train_step(*batch())
    assert int(trainer.num_steps) == 1


def mixture(network, images):
    """Logits under `ALPHA`, layer by layer, of hard parameter sharing."""
    shares = np.exp(ALPHA) / np.exp(ALPHA).sum(axis=1, keepdims=True)
    for layer, (shared, own), size in zip(
        network.selective_layers, shares, tiny.POOLS, strict=True
    ):
        branches = [
            naive_step.convolve(images, *slot)
            for slot in (layer.shared.knowledge_base, layer.task.weights)
        ]
        images = shared * branches[0] + own * branches[1]
        images = naive_step.pool(images, size)
    return naive_step.dense(images, *network.other_weights)


def test_a_layer_gives_the_mixture_of_its_branches():
    method = begun()
    trainer = method._trainer
    trainer.architecture.assign(ALPHA)
    images, labels = batch()
    logits = mixture(trainer.network, images)
    expected = naive_step.cross_entropy(labels, logits)
    received = trainer.mixed_loss(images, labels, False)
    assert float(received) == pytest.approx(float(expected), abs=1e-5)
    np.testing.assert_allclose(
        trainer.mixed_logits(images), logits, rtol=1e-4, atol=1e-5
    )


def test_penalties_count_in_proportion():
    method = begun(TensorFactorization(orthogonality_weight=0.1))
    trainer = method._trainer
    images, labels = batch()
    penalties = trainer.network.regularization().numpy()
    assert penalties[0].min() > 0 and penalties[1].max() == 0

    def loss(alpha):
        trainer.architecture.assign([[alpha, 0.0]] * 3)
        return float(trainer.mixed_loss(images, labels, False))

    without = begun(TensorFactorization(orthogonality_weight=0.0))
    for a, b in zip(without._trainer.weights, trainer.weights, strict=True):
        a.assign(b)
    for alpha, share in ((0.0, 0.5), (np.log(3), 0.75)):
        without._trainer.architecture.assign([[alpha, 0.0]] * 3)
        plain = float(without._trainer.mixed_loss(images, labels, False))
        added = share * penalties[0].sum()
        assert loss(alpha) - plain == pytest.approx(added, rel=1e-3)


def test_losses_that_layers_add_count_where_weights_are_trained():
    """So the second order sees them through its step, the first does not."""

    def gradient(weight, second_order):
        def backbone(image_shape):
            images = keras.Input(image_shape)
            outputs = keras.layers.Conv2D(3, 3)(images)
            outputs = keras.layers.ActivityRegularization(l2=weight)(outputs)
            return keras.Model(images, keras.layers.Flatten()(outputs))

        method = begun(
            backbone=backbone,
            second_order=second_order,
            unrolled_learning_rate=0.1,
        )
        return method._architecture_gradient(*batch()).numpy()

    first = [gradient(weight, second_order=False) for weight in (0.0, 1.0)]
    np.testing.assert_allclose(first[0], first[1], rtol=1e-5)
    second = [gradient(weight, second_order=True) for weight in (0.0, 1.0)]
    assert np.abs(second[0] - second[1]).max() > 0.01


def test_penalties_of_weights_give_no_slot_an_advantage():
    """The shared slot's would move alpha more than any data do."""
    found = []
    for weight in (0.0, 10.0):
        method = begun(
            TensorFactorization(orthogonality_weight=weight), second_order=False
        )
        found.append(method._architecture_gradient(*batch()).numpy())
    assert method._trainer.network.regularization().numpy()[0].min() > 0
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize("second_order", [True, False])
def test_a_step_moves_alpha_with_adam_and_then_the_weights(second_order):
    """Adam's first step: its rate times the sign of the gradient."""
    method = begun(
        second_order=second_order,
        architecture_data="training",
        architecture_learning_rate=0.01,
        architecture_weight_decay=0.0,
    )
    trainer = method._trainer
    images, labels = batch()
    gradient = method._architecture_gradient(images, labels).numpy()
    assert np.abs(gradient).min() > 1e-6
    reference = begun(architecture_data="training")._trainer
    method._train_step(images, labels)
    np.testing.assert_allclose(
        trainer.architecture, -0.01 * np.sign(gradient), rtol=1e-2
    )
    # The weights descend the loss under the alpha that was just moved.
    reference.architecture.assign(trainer.architecture)
    reference.minimize(lambda: reference.mixed_loss(images, labels, True))
    for a, b in zip(trainer.weights, reference.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_step_descends_the_loss_of_the_mixture():
    method = begun(
        second_order=False,
        architecture_learning_rate=0.0,
        optimizer=naive_step.DESCENT,
    )
    trainer, network = method._trainer, method._trainer.network
    trainer.architecture.assign(ALPHA)
    slots = [
        slot
        for layer in network.selective_layers
        for slot in (layer.shared.knowledge_base, layer.task.weights)
    ]
    naive_step.assert_descends(
        method,
        tiny.task(),
        lambda images, labels: naive_step.cross_entropy(
            labels, mixture(network, images)
        ),
        trained=[*itertools.chain(*slots), *network.other_weights],
    )


def test_weight_decay_pulls_alpha_to_zero():
    method = begun(
        architecture_data="training",
        architecture_learning_rate=0.01,
        architecture_weight_decay=1e3,
    )
    start = np.array([[0.5, -0.5], [0.2, 0.1], [-0.3, 0.3]], np.float32)
    method._trainer.architecture.assign(start)
    method._train_step(*batch())
    np.testing.assert_allclose(
        method._trainer.architecture, start - 0.01 * np.sign(start), rtol=1e-3
    )


def test_alpha_learns_from_validation_unless_told_otherwise():
    """With validation labels of one kind only, alpha follows those."""
    task = tiny.task()
    images, _ = next(iter(task.validation.batch(12)))
    of_one_class = tf.data.Dataset.from_tensor_slices(
        (images, tf.zeros([12], tf.int32))
    )
    odd = task.__class__(**{**task.__dict__, "validation": of_one_class})
    gradients = {}
    for data in ("validation", "training"):
        for each in (task, odd):
            method = begun(architecture_data=data, second_order=False)
            if data == "validation":
                method._trainer.held_out.put(each)
            found = method._architecture_gradient(*batch())
            gradients[data, each is odd] = found.numpy()
    np.testing.assert_array_equal(
        gradients["training", False], gradients["training", True]
    )
    difference = gradients["validation", False] - gradients["validation", True]
    assert np.abs(difference).max() > 1e-3


def test_the_larger_alpha_is_kept_and_the_rest_rolled_back():
    method = begun()
    kernels = [vs[0].numpy() for vs in method._knowledge_base]
    method.train_epoch(tiny.batches(tiny.task()), 0)
    method._trainer.architecture.assign([[1, 0], [0, 1], [0.5, 0.5]])
    method.end_task()
    assert method.selection(0) == "STS"  # Of equal ones the shared one.
    moved = [
        not np.array_equal(vs[0], before)
        for vs, before in zip(method._knowledge_base, kernels, strict=True)
    ]
    assert moved == [True, False, True]


def test_a_new_task_starts_without_preference():
    method = begun()
    method.train_epoch(tiny.batches(tiny.task()), 0)
    trainer = method._trainer
    assert np.abs(trainer.architecture.numpy()).min() > 0
    slots = [v.numpy() for v in trainer.architecture_optimizer.variables]
    assert slots[0] == 3  # Adam's iterations
    method.end_task()
    method.begin_task(tiny.task("second"))
    assert method._trainer is trainer
    assert np.abs(trainer.architecture.numpy()).max() == 0
    for variable in trainer.architecture_optimizer.variables:
        if variable.name != "learning_rate":
            assert not np.any(variable.numpy()), variable.name


def test_what_is_told_of_configurations_is_the_product_over_layers():
    architecture = np.log([[3.0, 1.0], [1.0, 1.0]])
    told = configuration_probabilities(architecture, all_configurations(2))
    names = [str(c) for c in all_configurations(2)]
    expected = {"SS": 3 / 8, "ST": 3 / 8, "TS": 1 / 8, "TT": 1 / 8}
    np.testing.assert_allclose(told, [expected[n] for n in names], rtol=1e-6)


def test_many_layers_are_not_told_one_configuration_at_a_time():
    def deep(image_shape):
        images = keras.Input(image_shape)
        outputs = images
        for _ in range(10):
            outputs = keras.layers.Conv2D(2, 1)(outputs)
        return keras.Model(images, keras.layers.Flatten()(outputs))

    method = begun(backbone=deep, second_order=False)
    result = method.train_epoch(tiny.batches(tiny.task()), 0)
    assert result.configurations == ()
    method.end_task()
    assert len(method.selection(0)) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture_data": "test"}, "`architecture_data` must be one of"),
        ({"architecture_learning_rate": -1}, "must be a number not below 0"),
        ({"architecture_weight_decay": -1}, "must be a number not below 0"),
        ({"unrolled_learning_rate": -1}, "must be a number not below 0"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(InputError, match=message):
        begun(**arguments)
