import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.methods import Progressive, RMSprop
from tests.methods import naive_step, tiny


def made(backbone=tiny.backbone, **kwargs):
    optimizer = functools.partial(RMSprop, learning_rate=0.02)
    return Progressive(
        backbone, head=tiny.head, **{"optimizer": optimizer, **kwargs}
    )


def learned(method, num_tasks=2, num_epochs=1):
    for index in range(num_tasks):
        task = tiny.task(f"task_{index}", seed=index)
        method.begin_task(task)
        for epoch in range(num_epochs):
            method.train_epoch(tiny.batches(task), epoch)
        method.end_task()
    return method


def images(seed=0):
    return next(iter(tiny.batches(tiny.task(seed=seed), 12)))[0]


def weights_by_role(model):
    """Weights of the plain layers by column and kind, and of adapters."""
    columns, adapters = {}, []
    for layer in model.layers:
        if layer.name.startswith("column_"):
            _, column, name = layer.name.split("_", 2)
            kind = "dense" if "dense" in name else "conv"
            if layer.weights:
                columns.setdefault((int(column), kind), []).append(layer)
        elif layer.weights:
            adapters.append(layer)
    return columns, adapters


def lateral(adapter, values):
    """U relu(V a h), written out."""
    scale, compress, project = adapter
    hidden = naive_step.convolve(
        scale.scale * values, compress.kernel, compress.bias
    )
    return tf.nn.conv2d(hidden, project.kernel, 1, "SAME")


def logits_of_the_second_column(model, images):
    """Eq. 2 for two columns, written out layer by layer."""
    columns, adapters = weights_by_role(model)
    scales = [a for a in adapters if type(a).__name__ == "LearnedScale"]
    compressions = [
        a for a in adapters if getattr(a, "kernel_size", 0) == (1, 1)
    ]
    projections = [
        a
        for a in adapters
        if isinstance(a, keras.layers.Conv2D) and not a.use_bias
    ]
    assert len(scales) == len(compressions) == len(projections) == 2
    # What feeds the second convolution has 3 channels, the third one's 4.
    compressions.sort(key=lambda layer: layer.kernel.shape[2])
    projections.sort(key=lambda layer: -layer.kernel.shape[3])
    of_layer = list(zip(scales, compressions, projections, strict=True))

    values = [images, images]
    for number, size in enumerate(tiny.POOLS):
        before = list(values)
        # Nothing asks what an earlier column's last convolution gives.
        for column in (0, 1) if number < 2 else (1,):
            layer = columns[column, "conv"][number]
            total = tf.nn.conv2d(before[column], layer.kernel, 1, "SAME")
            total += layer.bias
            if column and number:
                total += lateral(of_layer[number - 1], before[0])
            values[column] = naive_step.pool(tf.nn.relu(total), size)
    weights = [w for layer in columns[1, "dense"] for w in layer.weights]
    return naive_step.dense(values[1], *weights)


def test_a_later_column_is_fed_as_the_paper_says():
    model = learned(made()).task_model(1)
    expected = logits_of_the_second_column(model, images(1))
    np.testing.assert_allclose(model(images(1)), expected, atol=1e-4)


def test_a_step_descends_the_cross_entropy_of_the_new_column_alone():
    method = learned(made(optimizer=naive_step.DESCENT), 1)
    task = tiny.task("second", seed=1)
    method.begin_task(task)
    first, model = method._models
    columns, adapters = weights_by_role(model)
    for adapter in adapters:
        if type(adapter).__name__ == "LearnedScale":
            adapter.scale.assign(0.7)  # So that much goes through it.
    new = [*columns[1, "conv"], *columns[1, "dense"], *adapters]
    naive_step.assert_descends(
        method,
        task,
        lambda images, labels: naive_step.cross_entropy(
            labels, logits_of_the_second_column(model, images)
        ),
        trained=[weight for layer in new for weight in layer.weights],
        at_rest=first.weights,
    )


def test_nothing_of_an_earlier_task_ever_changes():
    method = learned(made(functools.partial(tiny.backbone, dropout=0.3)), 1)
    before = method.predictor(0)(images()).numpy()
    weights = method.task_model(0).get_weights()
    task = tiny.task("second", seed=1)
    method.begin_task(task)
    for epoch in range(3):
        method.train_epoch(tiny.batches(task), epoch)
    method.end_task()
    np.testing.assert_array_equal(method.predictor(0)(images()), before)
    for a, b in zip(method.task_model(0).get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def with_early_dropout(image_shape):
    """What feeds the second convolution is random while it trains."""
    inputs = keras.Input(image_shape)
    outputs = keras.layers.Conv2D(3, 3, padding="same")(inputs)
    outputs = keras.layers.BatchNormalization()(outputs)
    outputs = keras.layers.Dropout(0.5)(outputs)
    outputs = keras.layers.Conv2D(3, 3, padding="same")(outputs)
    return keras.Model(inputs, keras.layers.Flatten()(outputs))


def test_earlier_columns_are_used_as_they_answer_not_as_they_train():
    method = learned(made(with_early_dropout), 1)
    method.begin_task(tiny.task("second", seed=1))
    inner = keras.Model(method._images, method._inputs[0][1])
    expected = inner(images(), training=False).numpy()
    column = keras.Model(
        method._images, [*method._training_model.outputs, *inner.outputs]
    )
    # As the training step calls it: without saying `training`.
    answers = [column(images()) for _ in range(2)]
    for _, fed in answers:
        np.testing.assert_array_equal(fed, expected)
    # The new column's own dropout is on.
    assert np.abs(answers[0][0] - answers[1][0]).max() > 1e-3


def test_a_residual_backbone_has_its_columns_connected_too():
    def residual(image_shape):
        inputs = keras.Input(image_shape)
        first = keras.layers.Conv2D(3, 3, padding="same", name="first")(inputs)
        second = keras.layers.Conv2D(3, 3, padding="same", name="second")(first)
        outputs = keras.layers.add([first, second])
        return keras.Model(inputs, keras.layers.Flatten()(outputs))

    method = learned(made(residual), 3)
    one_column = 2 * 9 * 3 + 3 + 9 * 9 + 3 + 6 * 6 * 3 * 3 + 3
    adapter = 1 + 3 * 2 + 2 + 9 * 2 * 3
    assert method.num_parameters == 3 * one_column + 3 * adapter
    assert method.predictor(2)(images()).shape == (12, 3)


@pytest.mark.parametrize(("compression", "channels"), [(1, 3), (2, 2), (9, 1)])
def test_adapters_compress_as_told(compression, channels):
    method = learned(made(compression=compression))
    _, adapters = weights_by_role(method.task_model(1))
    sizes = {
        a.kernel.shape[2:]
        for a in adapters
        if isinstance(a, keras.layers.Conv2D) and a.use_bias
    }
    assert (3, channels) in sizes


def test_messages():
    with pytest.raises(InputError, match="`compression` must be a number not"):
        made(compression=0.5)
    method = learned(made(), 1)
    with pytest.raises(InputError, match="images of one shape, here"):
        method.begin_task(tiny.task("large", shape=(8, 8, 2)))
    with pytest.raises(InputError, match="task that has begun.*after 1 "):
        method.task_model(1)


@pytest.mark.parametrize("pool", [1, 2])
def test_a_convolution_called_twice_is_fed_call_by_call(pool):
    """Each call hears what fed the same call of the earlier column."""

    def backbone(image_shape):
        inputs = keras.Input(image_shape)
        twice = keras.layers.Conv2D(3, 3, padding="same", activation="relu")
        values = keras.layers.Conv2D(3, 3, padding="same")(inputs)
        values = twice(values)
        values = keras.layers.MaxPooling2D(pool)(values)
        return keras.Model(inputs, keras.layers.Flatten()(twice(values)))

    method = learned(made(backbone))
    graph_inputs = method._inputs
    for first, second in zip(*graph_inputs, strict=True):
        assert [v.shape for v in first] == [v.shape for v in second]
    assert [len(calls) for calls in graph_inputs[1]] == [1, 2]
    model = method.task_model(1)
    columns, adapters = weights_by_role(model)
    scale = [a for a in adapters if type(a).__name__ == "LearnedScale"]
    compress, project = [
        a for a in adapters if isinstance(a, keras.layers.Conv2D)
    ]
    assert len(scale) == 1
    stem, twice = zip(columns[0, "conv"], columns[1, "conv"], strict=True)
    values = [c(images(1)) for c in stem]
    for call in range(2):
        own = tf.nn.conv2d(values[1], twice[1].kernel, 1, "SAME")
        own += tf.constant(twice[1].bias)
        own += lateral((scale[0], compress, project), values[0])
        values = [twice[0](values[0]), tf.nn.relu(own)]
        if call == 0:
            values = [tf.nn.max_pool2d(v, pool, pool, "VALID") for v in values]
    head = columns[1, "dense"][-1]
    expected = tf.reshape(values[1], [12, -1]) @ head.kernel
    np.testing.assert_allclose(
        model(images(1)), expected + tf.constant(head.bias), atol=1e-4
    )


def test_adapters_learn_from_every_earlier_column():
    method = learned(made(), 2)
    method.begin_task(tiny.task("third", seed=2))
    *earlier, model = method._models
    known = {id(layer) for other in earlier for layer in other.layers}
    _, adapters = weights_by_role(model)
    fed_by_two = [a for a in adapters if id(a) not in known]
    # Scale, compression, projection; two convolutions, two columns to hear.
    assert len(fed_by_two) == 3 * 2 * 2
    before = [adapter.get_weights() for adapter in fed_by_two]
    for epoch in range(3):
        method.train_epoch(tiny.batches(tiny.task("third", seed=2)), epoch)
    for adapter, values in zip(fed_by_two, before, strict=True):
        for now, then in zip(adapter.get_weights(), values, strict=True):
            assert np.abs(now - then).max() > 1e-6, adapter.name


def test_penalties_of_frozen_columns_are_not_in_the_loss():
    def noisy(image_shape):
        inputs = keras.Input(image_shape)
        outputs = keras.layers.Conv2D(3, 3)(inputs)
        outputs = keras.layers.ActivityRegularization(l2=1.0)(outputs)
        outputs = keras.layers.Conv2D(3, 3)(outputs)
        return keras.Model(inputs, keras.layers.Flatten()(outputs))

    method = learned(made(noisy), 1)
    method.begin_task(tiny.task("second", seed=1))
    batch, labels = next(iter(tiny.batches(tiny.task(), 12)))
    loss = method._loss(batch, labels)
    model = method._models[-1]
    logits = model(batch, training=True)
    own = [layer.losses for layer in model.layers if "column_1" in layer.name]
    (penalty,) = [loss for losses in own for loss in losses]
    cross_entropy = keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
    assert len(model.losses) == 2 and penalty > 0.01
    np.testing.assert_allclose(
        loss, tf.reduce_mean(cross_entropy) + penalty, rtol=1e-5
    )


def test_models_can_be_trained_on_and_what_a_user_froze_stays():
    def frozen_stem(image_shape):
        inputs = keras.Input(image_shape)
        outputs = keras.layers.Conv2D(3, 3, trainable=False)(inputs)
        outputs = keras.layers.Conv2D(3, 3)(outputs)
        return keras.Model(inputs, keras.layers.Flatten()(outputs))

    method = learned(made(frozen_stem), 2)
    # Kernel and bias of one convolution and head; of the second column too,
    # and the adapter: scale, compression's two, projection's one.
    for index, num_weights in enumerate((4, 2 + 2 + 4)):
        model = method.task_model(index)
        assert len(model.trainable_weights) == num_weights
