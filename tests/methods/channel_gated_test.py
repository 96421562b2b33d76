import dataclasses
import functools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.export.saved_model import export_task, load_task
from lasem_tf.methods import channel_gated
from lasem_tf.methods.channel_gated import ChannelGated, open_share
from lasem_tf.methods.model_per_task import seed_states
from tests.methods import naive_step, tiny

TASKS = [
    tiny.task("first", seed=1),
    tiny.task("second", seed=2, num_classes=4),
    tiny.task("third", seed=3),
]
# What each layer's gates do with every image of the first task.
FIRST = ([1, 0, 1], [0, 1, 1, 0], [1, 1, 0])
# Moves weights where the gradient is zero.
ADAMW = functools.partial(
    keras.optimizers.AdamW, learning_rate=0.05, weight_decay=0.2
)


def made(backbone=tiny.backbone, seed=5, **kwargs):
    kwargs = {"optimizer": ADAMW, "gate_units": 4, **kwargs}
    return ChannelGated(backbone, head=tiny.head, seed=seed, **kwargs)


def train(method, task_index, epoch=0):
    batches = tiny.batches(TASKS[task_index])
    return method.train_epoch(batches, 2 * task_index + epoch).loss


def images_of(task_index):
    return next(iter(tiny.batches(TASKS[task_index], 12)))[0]


def answers(method, task_index):
    return method.predictor(task_index)(images_of(task_index)).numpy()


def force_gates(method, of_layers):
    """Opens and closes the current task's gates whatever the image."""
    for gates, is_open in zip(method._gates, of_layers, strict=True):
        gates.logits.kernel.assign(tf.zeros_like(gates.logits.kernel))
        gates.logits.bias.assign(200 * np.array(is_open, np.float32) - 100)


def filters_of(method):
    """Per layer kernel and bias, output channels last."""
    return [
        [value.numpy() for value in filters.values()]
        for filters in method._filters
    ]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Three tasks; stopped in the second one and continued anew."""
    told = types.SimpleNamespace(folder=tmp_path_factory.mktemp("story"))
    backbone = functools.partial(tiny.backbone, dropout=0.3)
    told.method = method = made(backbone)
    told.answers, told.traces = [], []
    method.begin_task(TASKS[0])
    train(method, 0)
    force_gates(method, FIRST)
    told.trained = filters_of(method)
    told.before_end = answers(method, 0)
    method.end_task()
    told.ended = filters_of(method)
    told.stored = method.num_parameters
    told.answers.append(answers(method, 0))

    method.begin_task(TASKS[1])
    told.trainer = method._trainer
    train(method, 1)
    path = str(told.folder / "state")
    tf.train.Checkpoint(**method.state).write(path)
    told.continued = made(backbone)
    told.continued.rebuild_task(TASKS[0], method.selection(0))
    told.continued.begin_task(TASKS[1])
    reader = tf.train.Checkpoint(**told.continued.state)
    reader.read(path).assert_consumed()
    told.losses = [_to_the_end(m) for m in (method, told.continued)]
    return told


def _to_the_end(method):
    losses = [train(method, 1, 1)]
    method.end_task()
    method.begin_task(TASKS[2])
    losses += [train(method, 2, 0)]
    method.end_task()
    return losses


def test_filters_that_open_gates_are_frozen_and_others_drawn_anew(story):
    """However often the optimizer decays the weights afterwards."""
    last = filters_of(story.method)
    for relevant, *layer in zip(
        FIRST, story.trained, story.ended, last, strict=True
    ):
        relevant = np.array(relevant, bool)
        for trained, ended, now in zip(*layer, strict=True):
            np.testing.assert_array_equal(
                trained[..., relevant], ended[..., relevant]
            )
            np.testing.assert_array_equal(
                trained[..., relevant], now[..., relevant]
            )
            assert np.all(trained[..., ~relevant] != ended[..., ~relevant])
            assert np.all(ended[..., ~relevant] != now[..., ~relevant])


def test_answers_of_an_earlier_task_stay_to_the_last_bit(story):
    np.testing.assert_array_equal(story.before_end, story.answers[0])
    np.testing.assert_array_equal(story.answers[0], answers(story.method, 0))
    assert np.ptp(story.answers[0], axis=0).max() > 0.01


def test_a_continued_run_is_the_run_left_alone(story):
    alone, continued = story.losses
    assert alone == continued
    for task_index in range(3):
        np.testing.assert_array_equal(
            answers(story.method, task_index),
            answers(story.continued, task_index),
        )
    for a, b in zip(
        filters_of(story.method), filters_of(story.continued), strict=True
    ):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)


def test_a_task_costs_one_trace(story):
    epoch = story.trainer.compiled_epoch
    assert epoch.num_traces == 1


def test_task_model_and_export_answer_as_the_predictor_does(story):
    for task_index in range(3):
        model = story.method.task_model(task_index)
        expected = answers(story.method, task_index)
        np.testing.assert_allclose(
            model(images_of(task_index)), expected, atol=1e-5
        )
    path = story.folder / "task_01"
    export_task(story.method.task_model(1), TASKS[1], path)
    pixels = np.stack([image for image, _ in TASKS[1].test])
    exported = load_task(path)(pixels)["logits"]
    np.testing.assert_allclose(exported, answers(story.method, 1), atol=1e-5)


def test_filters_of_no_use_to_a_finished_task_are_not_counted(story):
    kernel_and_bias = [18 + 1, 27 + 1, 16 + 1]
    used = sum(
        sum(relevant) * numbers
        for relevant, numbers in zip(FIRST, kernel_and_bias, strict=True)
    )
    dense = 27 * 5 + 5 + 5 * 3 + 3
    units = 4
    gates = sum(
        (inputs + 1) * units + 2 * units + (units + 1) * outputs + outputs
        for inputs, outputs in ((2, 3), (3, 4), (4, 3))
    )
    assert story.stored == used + dense + gates


def test_the_loss_is_cross_entropy_and_the_share_of_open_gates():
    method = made(sparsity_weight=3.0)
    assert method.num_parameters == 0
    method.begin_task(TASKS[0])
    force_gates(method, FIRST)
    images, labels = next(iter(tiny.batches(TASKS[0])))
    log_p = tf.nn.log_softmax(method.predictor(0)(images)).numpy()
    cross_entropy = -log_p[np.arange(4), labels.numpy()].mean()
    share = (2 / 3 + 2 / 4 + 2 / 3) / 3
    loss = method._loss(images, labels).numpy()
    np.testing.assert_allclose(loss, cross_entropy + 3 * share, rtol=1e-5)


@tf.custom_gradient
def drawn(logits, noise):
    """Hard on the way there, on the way back as if it were soft."""
    soft = tf.sigmoid((logits + noise) / (2 / 3))

    def gradient(upstream):
        return upstream * soft * (1 - soft) / (2 / 3), None

    return tf.cast(logits + noise > 0, tf.float32), gradient


def opened_by(gates, inputs, chance):
    """The gating module written out: [batch, filters], each 0 or 1."""
    hidden = tf.reduce_mean(inputs, (1, 2)) @ gates.hidden.kernel
    hidden += gates.hidden.bias
    mean = tf.reduce_mean(hidden, 1, keepdims=True)
    variance = tf.reduce_mean((hidden - mean) ** 2, 1, keepdims=True)
    hidden = (hidden - mean) / tf.sqrt(variance + 1e-3)
    hidden = tf.nn.relu(hidden * gates.norm.gamma + gates.norm.beta)
    logits = hidden @ gates.logits.kernel + gates.logits.bias
    return drawn(logits, tf.math.log(chance / (1 - chance)))


def test_a_step_descends_the_loss_through_the_gates(monkeypatch):
    """Of a later task, whose frozen filters stay as they are."""
    frozen = ([1, 0, 1], [0, 1, 1, 0], [1, 0, 0])
    method = made(optimizer=naive_step.DESCENT, sparsity_weight=0.7)
    method.begin_task(TASKS[0])
    force_gates(method, frozen)
    method.end_task()
    method.begin_task(TASKS[1])
    rng = np.random.default_rng(1)
    chances = [
        tf.constant(rng.uniform(0.02, 0.98, (12, n)), tf.float32)
        for n in (3, 4, 3)
    ]
    of_calls = iter(chances)
    monkeypatch.setattr(
        keras.random, "uniform", lambda *_, **__: next(of_calls)
    )
    layers = [filters.convolution for filters in method._filters]
    model = method._models[-1]
    own = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    dense = [weight for layer in own for weight in layer.weights]

    def loss(images, labels):
        values, shares = images, []
        for layer, gates, chance, size in zip(
            layers, method._gates, chances, tiny.POOLS, strict=True
        ):
            opened = opened_by(gates, values, chance)
            shares.append(tf.reduce_mean(opened))
            values = naive_step.convolve(values, layer.kernel, layer.bias)
            values = naive_step.pool(values * opened[:, None, None], size)
        assert all(0.2 < share < 0.95 for share in shares), "some are closed"
        logits = naive_step.dense(values, *dense)
        cross_entropy = naive_step.cross_entropy(labels, logits)
        return cross_entropy + 0.7 * tf.add_n(shares) / 3

    filters = [(layer.kernel, layer.bias) for layer in layers]
    naive_step.assert_descends(
        method,
        TASKS[1],
        loss,
        trained=[
            *(w for gates in method._gates for w in gates.trainable_weights),
            *(w for of_layer in filters for w in of_layer),
            *dense,
        ],
        frozen=[
            (weight, np.array(is_frozen, bool))
            for of_layer, is_frozen in zip(filters, frozen, strict=True)
            for weight in of_layer
        ],
    )


def test_a_large_weight_closes_gates():
    shares = []
    for weight in (0.0, 50.0):
        method = made(sparsity_weight=weight)
        method.begin_task(TASKS[0])
        for epoch in range(20):
            train(method, 0, epoch)
        _, gates = method._model_with_gates(images_of(0), training=False)
        shares.append(float(open_share(gates)))
    assert shares[0] > 0.5
    assert shares[1] < 0.2


@pytest.mark.parametrize("has_validation", [True, False])
def test_relevance_counts_the_images_that_open_a_gate(
    monkeypatch, has_validation
):
    monkeypatch.setattr(channel_gated, "_RELEVANCE_BATCH_SIZE", 8)
    task = tiny.task("counted", seed=8, num_images=20)
    other = tiny.task("other", seed=9, num_images=12).train
    if has_validation:
        task = dataclasses.replace(task, train=other, validation=task.train)
    else:
        task = dataclasses.replace(task, validation=other.take(0))
    examples = task.validation if has_validation else task.train
    method = made(relevance_threshold=0.4)
    method.begin_task(task)
    for gates in method._gates:  # So that it depends on the image.
        gates.logits.bias.assign(tf.zeros_like(gates.logits.bias))
    counts = [np.zeros(n) for n in (3, 4, 3)]
    for image, _ in examples:
        pixels = task.preprocess(image[None])
        _, opened = method._model_with_gates(pixels, training=False)
        for count, (of_layer,) in zip(counts, opened, strict=True):
            count += np.round(of_layer[0].numpy())
    relevance = method._relevance()
    for count, found in zip(counts, relevance, strict=True):
        np.testing.assert_allclose(found, count / 20, rtol=1e-12)
    inner = np.concatenate(relevance)
    assert np.any((inner > 0) & (inner <= 0.4)) and np.any(inner > 0.4)
    gates = method._gates
    method.end_task()
    for of_layer, filters, share in zip(
        gates, method._filters, relevance, strict=True
    ):
        np.testing.assert_array_equal(filters.frozen, share > 0.4)
        np.testing.assert_array_equal(of_layer.may_open, share > 0.4)


def test_filters_drawn_anew_do_not_leak_into_a_finished_task():
    """Gates to them opened on some images, too few to count."""
    method = made(relevance_threshold=0.7)
    method.begin_task(TASKS[0])
    for gates in method._gates:
        gates.logits.bias.assign(tf.zeros_like(gates.logits.bias))
    relevance = np.concatenate(method._relevance())
    assert np.any((relevance > 0) & (relevance <= 0.7))
    before_end = answers(method, 0)
    method.end_task()
    before = answers(method, 0)
    assert np.any(before != before_end)
    method.begin_task(TASKS[1])
    train(method, 1)
    np.testing.assert_array_equal(before, answers(method, 0))


def test_renewed_filters_are_a_function_of_seed_and_task():
    renewed = []
    for seed, index in ((5, 0), (5, 0), (6, 0), (5, 1)):
        method = made(seed=seed)
        for task in TASKS[: index + 1]:
            method.begin_task(task)
            force_gates(method, [np.zeros_like(g) for g in FIRST])
            keras.random.uniform(())  # What was drawn before is no matter.
            method.end_task()
        renewed.append(filters_of(method)[1][0])
    np.testing.assert_array_equal(renewed[0], renewed[1])
    assert np.all(renewed[0] != renewed[2])
    assert np.all(renewed[0] != renewed[3])


def test_learning_goes_on_when_every_filter_is_frozen():
    method = made()
    method.begin_task(TASKS[0])
    force_gates(method, [np.ones_like(g) for g in FIRST])
    method.end_task()
    before = filters_of(method)
    method.begin_task(TASKS[1])
    losses = [train(method, 1, epoch) for epoch in range(15)]
    assert losses[-1] < losses[0] - 0.1
    for a, b in zip(before, filters_of(method), strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)


def residual(image_shape):
    """One convolution is called twice, sizes are open to larger images."""
    images = keras.Input(image_shape)
    conv = functools.partial(keras.layers.Conv2D, padding="same")
    first = conv(3, 1, activation="relu")(images)
    twice = conv(3, 3, use_bias=False)
    total = keras.ops.relu(first + twice(twice(first)))
    total = keras.layers.BatchNormalization()(total)
    return keras.Model(images, keras.layers.GlobalMaxPooling2D()(total))


def test_residual_networks_keep_their_answers_too():
    method = made(residual)
    method.begin_task(TASKS[0])
    train(method, 0)
    force_gates(method, ([1, 0, 1], [0, 1, 1]))
    method.end_task()
    before = answers(method, 0)
    larger = tiny.task("larger", seed=4, shape=(8, 9, 2))
    method.begin_task(larger)
    method.train_epoch(tiny.batches(larger), 2)
    np.testing.assert_array_equal(before, answers(method, 0))
    np.testing.assert_allclose(
        method.task_model(0)(images_of(0)), before, atol=1e-5
    )


def test_random_numbers_are_those_of_the_epoch():
    method = made()
    method.begin_task(TASKS[0])
    assert len(seed_states(method._models[0])) == len(FIRST)
    weights = method._trainer.weights + method._trainer.optimizer.variables
    start = [tf.identity(w.value) for w in weights]
    losses = []
    for epoch in (0, 0, 1):
        for weight, value in zip(weights, start, strict=True):
            weight.assign(value)
        losses.append(train(method, 0, epoch))
    assert losses[0] == losses[1] != losses[2]


def plain_stack(kernel_size=3, depth=2):
    def backbone(image_shape):
        layers = [keras.layers.Conv2D(3, kernel_size) for _ in range(depth)]
        return keras.Sequential(
            [keras.Input(image_shape), *layers, keras.layers.Flatten()]
        )

    return backbone


@pytest.mark.parametrize(
    ("backbone", "shape", "message"),
    [
        (
            plain_stack(),
            (6, 6, 3),
            r"Convolution 1 .* kernel \(3, 3, 2, 3\).* Received: "
            r"kernel \(3, 3, 3, 3\).* 'other'",
        ),
        (
            lambda shape: plain_stack(depth=2 if shape[0] == 6 else 3)(shape),
            (9, 9, 2),
            "as many convolutions for each task, here 2. Received: 3",
        ),
    ],
)
def test_refuses_a_later_task_of_other_convolutions(backbone, shape, message):
    method = made(backbone)
    method.begin_task(TASKS[0])
    method.end_task()
    with pytest.raises(InputError, match=message):
        method.begin_task(tiny.task("other", shape=shape))


def test_refuses_a_backbone_without_convolutions():
    with pytest.raises(InputError, match="at least one `keras.layers.Conv2D`"):
        made(plain_stack(depth=0)).begin_task(TASKS[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity_weight": -1}, "`sparsity_weight` must be a number not"),
        ({"relevance_threshold": 2}, "`relevance_threshold` must lie between"),
        ({"gate_units": 0}, "`gate_units` must be a whole number not below 1"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        made(**arguments)
