import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.methods import DynamicallyExpandable, RMSprop
from tests.methods import naive_step, tiny

NUM_EPOCHS = 8  # Phases begin with the epochs 0, 2, 4 and 6.


def made(dropout=0.2, **kwargs):
    defaults = {
        "num_epochs": NUM_EPOCHS,
        "phase_shares": (0.25, 0.25, 0.25, 0.25),
        "num_new_units": 2,
        "loss_threshold": 0.0,
        "drift_threshold": 1e9,
        "group_weight": 0.0,
        "optimizer": functools.partial(RMSprop, learning_rate=0.01),
        "head": tiny.head,
    }
    return DynamicallyExpandable(
        functools.partial(tiny.backbone, dropout=dropout), **defaults | kwargs
    )


def task_of(index):
    return tiny.task(f"task_{index}", seed=index, num_classes=3 + index % 2)


def learn(method, index, num_epochs=NUM_EPOCHS, first_epoch=0):
    if first_epoch == 0:
        method.begin_task(task_of(index))
    for epoch in range(first_epoch, num_epochs):
        method.train_epoch(tiny.batches(task_of(index)), epoch)


@pytest.fixture
def second():
    """A method that begins its second task."""

    def begun(**kwargs):
        method = made(**kwargs)
        learn(method, 0)
        method.end_task()
        return method

    return begun


def kernels(method):
    return [layer.kernel.numpy() for layer in method._trainer.layers]


def num_alive(method):
    return [int(mask.numpy().sum()) for mask in method._trainer.alive]


def answers(method, index, images_of=0):
    images, _ = next(iter(tiny.batches(task_of(images_of), 12)))
    return method.predictor(index)(images).numpy()


def test_the_first_task_trains_the_backbone_as_it_is():
    method = made()
    learn(method, 0)
    assert num_alive(method) == [3, 4, 3]
    assert [layer.filters for layer in method._trainer.layers] == [3, 4, 3]
    method.end_task()
    assert method.selection(0) == "3-4-3"


def test_selection_trains_the_dense_layers_alone(second):
    method = second()
    before = kernels(method._chains[0] and _as_trainer(method))
    learn(method, 1, num_epochs=2)
    for now, then in zip(kernels(method), before, strict=True):
        np.testing.assert_array_equal(
            now[:, :, : then.shape[2], : then.shape[3]], then
        )
    assert int(method._trainer.num_transitions) == 1


def _as_trainer(method):
    """Lets the last finished network be looked at like one in training."""

    class Wrapped:
        class _trainer:
            layers = method._chains[-1].convolutions

    return Wrapped


def test_only_weights_between_selected_units_are_retrained(second):
    method = second()
    learn(method, 1, num_epochs=2)
    trainer = method._trainer
    # The dense layer uses unit 1 of the last layer only; that one does not
    # listen to units 0 and 3 of the layer below, nor its others to unit 0 of
    # the first. Places of units to come listen to all, and lead nowhere.
    dense = trainer.chain.dense.kernel.numpy()
    channels = trainer.chain.channels_of_features()
    dense[channels != 1] = 0.0
    trainer.chain.dense.kernel.assign(dense)
    top = trainer.layers[2].kernel.numpy()
    top[:, :, [0, 3], 1] = 0.0
    trainer.layers[2].kernel.assign(top)
    middle = trainer.layers[1].kernel.numpy()
    middle[:, :, 0, [1, 2]] = 0.0
    assert np.all(middle[:, :, 0, 4:] != 0) and np.all(top[:, :, 4:, 1] != 0)
    trainer.layers[1].kernel.assign(middle)
    before = kernels(method)
    biases = [layer.bias.numpy() for layer in trainer.layers]
    learn(method, 1, num_epochs=4, first_epoch=2)
    selected = [{1, 2}, {1, 2}, {1}]
    below = [{0, 1}, *selected[:2]]
    for number, layer in enumerate(trainer.layers):
        moved = np.any(layer.kernel.numpy() != before[number], axis=(0, 1))
        for channel, unit in np.ndindex(*moved.shape):
            is_free = channel in below[number] and unit in selected[number]
            assert moved[channel, unit] == is_free, (number, channel, unit)
        moved = layer.bias.numpy() != biases[number]
        assert set(np.flatnonzero(moved)) == selected[number]


# Units per layer: of before the task, with two new ones, with two copies
# besides, which are as many as there may be although all units drift.
OLD, WITH_NEW, WITH_COPIES = (3, 4, 3), (5, 6, 5), (7, 8, 7)


def is_free(phase, *ends_are_new):
    """May a weight between these units, or a unit's bias, be trained?"""
    if phase == "expansion":
        return any(ends_are_new)
    return phase != "selection"


@pytest.mark.parametrize(
    ("phase", "num_epochs", "num_units"),
    [
        ("selection", 1, OLD),
        ("retraining", 3, OLD),
        ("expansion", 5, WITH_NEW),
        ("split", 7, WITH_COPIES),
    ],
)
def test_a_step_descends_the_loss_in_what_its_phase_frees(
    second, phase, num_epochs, num_units
):
    """The phase has begun an epoch ago; nothing is sparse, so all is used."""
    method = second(
        dropout=0.0,
        l1_weight=0.0,
        l2_weight=0.5,
        drift_threshold=0.0,
        optimizer=naive_step.DESCENT,
    )
    before = [
        [weight.numpy() for weight in layer.weights]
        for layer in method._chains[0].convolutions
    ]
    learn(method, 1, num_epochs)
    layers = method._trainer.layers
    own = [w for la in method._trainer.chain.own_layers for w in la.weights]
    # Places are as many in each phase; units that exist come first.
    heard = (2, *num_units[:-1])
    frozen = []
    for number, layer in enumerate(layers):
        kernel, bias = (np.ones(w.shape[-2:], bool) for w in layer.weights)
        for unit in range(num_units[number]):
            unit_is_new = unit >= OLD[number]
            bias[unit] = not is_free(phase, unit_is_new)
            for channel in range(heard[number]):
                channel_is_new = number > 0 and channel >= OLD[number - 1]
                kernel[channel, unit] = not is_free(
                    phase, channel_is_new, unit_is_new
                )
        frozen += [(layer.kernel, kernel), (layer.bias, bias)]

    def loss(images, labels):
        values, pull = images, 0.0
        for layer, num, num_heard, then, size in zip(
            layers, num_units, heard, before, tiny.POOLS, strict=True
        ):
            kernel = layer.kernel[:, :, :num_heard, :num]
            values = naive_step.convolve(values, kernel, layer.bias[:num])
            values = naive_step.pool(values, size)
            for now, old in zip(layer.weights, then, strict=True):
                old_part = now[tuple(map(slice, old.shape))]
                pull += tf.reduce_sum((old_part - old) ** 2)
        silent = WITH_COPIES[-1] - num_units[-1]
        values = tf.pad(values, [[0, 0], [0, 0], [0, 0], [0, silent]])
        logits = naive_step.dense(values, *own)
        return naive_step.cross_entropy(labels, logits) + 0.5 * pull

    naive_step.assert_descends(
        method,
        task_of(1),
        loss,
        trained=[*(w for layer in layers for w in layer.weights), *own],
        frozen=frozen,
    )


def test_retraining_is_pulled_to_the_values_before(second):
    distances = []
    for weight in (0.0, 100.0):
        # Adaptive steps would be as long near the old values as far away.
        descent = functools.partial(keras.optimizers.SGD, 0.002)
        method = second(l2_weight=weight, optimizer=descent)
        learn(method, 1, num_epochs=4)
        trainer = method._trainer
        distances.append(
            sum(
                float(tf.reduce_sum((now - before) ** 2))
                for number, values in enumerate(trainer.before)
                for now, before in zip(
                    trainer._of_old(number), values, strict=True
                )
            )
        )
    assert distances[1] < 0.3 * distances[0]


def test_the_loss_is_cross_entropy_and_pull(second):
    method = second(l2_weight=0.5)
    learn(method, 1, num_epochs=4)
    trainer = method._trainer
    keras.utils.set_random_seed(0)
    images, labels = next(iter(tiny.batches(task_of(1), 12)))
    method._start_epoch(0)
    logits = trainer.model(images, training=True)
    expected = np.mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    )
    old = method._chains[0].convolutions
    for now, then in zip(trainer.layers, old, strict=True):
        for a, b in zip(now.weights, then.weights, strict=True):
            part = tuple(map(slice, b.shape))
            expected += 0.5 * np.sum((a.numpy()[part] - b.numpy()) ** 2)
    method._start_epoch(0)  # The same dropout again.
    received = float(trainer.loss(images, labels))
    assert received == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("threshold", "grows"), [(0.0, True), (1e9, False)])
def test_it_expands_if_the_loss_stays_above_the_threshold(
    second, threshold, grows
):
    method = second(loss_threshold=threshold)
    learn(method, 1, num_epochs=4)
    assert num_alive(method) == [3, 4, 3]
    before = kernels(method)
    learn(method, 1, num_epochs=6, first_epoch=4)
    assert num_alive(method) == ([5, 6, 5] if grows else [3, 4, 3])
    old_moved = [
        np.any(now[:, :, :then, :width] != old[:, :, :then, :width])
        for now, old, then, width in zip(
            kernels(method), before, (2, 3, 4), (3, 4, 3), strict=True
        )
    ]
    # New weights alone are trained, or else retraining goes on.
    assert old_moved == [not grows] * 3
    method.end_task()
    assert method.selection(1) == ("5-6-5" if grows else "3-4-3")


def test_the_group_lasso_takes_useless_units_away(second):
    # Two epochs of three steps of 0.01 * 80 each; places of copies, which
    # nothing moves, make up norms of 0 and of more than 1.
    method = second(group_weight=80.0)
    learn(method, 1, num_epochs=6)
    alive = [slice(None), *method._trainer._alive()]
    for number, kernel in enumerate(kernels(method)):
        old = (3, 4, 3)[number]
        assert not np.any(kernel[:, :, alive[number], old : old + 2])
    learn(method, 1, first_epoch=6)
    assert num_alive(method) == [3, 4, 3]
    method.end_task()
    assert method.selection(1) == "3-4-3"


def test_units_that_drifted_are_split_and_no_others(second):
    method = second(loss_threshold=1e9, drift_threshold=0.5)
    learn(method, 1, num_epochs=6)
    trainer = method._trainer
    layer = trainer.layers[1]
    before, bias_before = (value.numpy() for value in trainer.before[1])
    for other in (0, 2):  # Nothing moved there.
        kernel, bias = trainer.before[other]
        widened = [w.numpy() for w in trainer.layers[other].weights]
        widened[0][:, :, : kernel.shape[2], : kernel.shape[3]] = kernel
        widened[1][: bias.shape[0]] = bias
        trainer.layers[other].set_weights(widened)
    kernel, bias = (w.numpy() for w in layer.weights)
    kernel[:, :, :3, :4] = before
    kernel[0, 0, 0, 2] += 0.6
    kernel[0, 0, 0, 3] += 0.4
    layer.set_weights([kernel, bias])
    above = trainer.layers[2].kernel.numpy()
    trainer._split()
    assert num_alive(method) == [3, 5, 3]
    copy = 4 + 2  # behind the old ones and the places of new ones
    assert trainer.alive[1].numpy()[copy] == 1
    now = layer.kernel.numpy()
    np.testing.assert_array_equal(now[..., copy], kernel[..., 2])
    np.testing.assert_array_equal(now[:, :, :3, 2], before[..., 2])
    # It hears nothing from units that there were not.
    assert np.any(kernel[:, :, 3:, 2]) and not np.any(now[:, :, 3:, 2])
    np.testing.assert_array_equal(now[..., 3], kernel[..., 3])
    np.testing.assert_array_equal(layer.bias.numpy()[2], bias_before[2])
    np.testing.assert_array_equal(layer.bias.numpy()[copy], bias[2])
    fed = trainer.layers[2].kernel.numpy()
    np.testing.assert_array_equal(fed[:, :, copy], above[:, :, 2])


def test_only_so_many_units_are_split_those_that_moved_farthest(second):
    method = second(loss_threshold=1e9, drift_threshold=0.1)
    learn(method, 1, num_epochs=6)
    trainer = method._trainer
    layer = trainer.layers[1]
    before = trainer.before[1][0].numpy()
    kernel, bias = (w.numpy() for w in layer.weights)
    kernel[:, :, :3, :4] = before
    kernel[0, 0, 0, :4] += [0.2, 0.4, 0.05, 0.3]
    layer.set_weights([kernel, bias])
    trainer._split()
    assert num_alive(method)[1] == 4 + 2
    copies = layer.kernel.numpy()[..., 6:8]
    np.testing.assert_array_equal(copies, kernel[..., [1, 3]])


def test_a_split_below_the_dense_layer_changes_no_answer_of_the_task(second):
    method = second(loss_threshold=1e9, drift_threshold=0.5)
    learn(method, 1, num_epochs=6)
    trainer = method._trainer
    for number in (0, 1):  # Only the last layer is to be split.
        kernel, *bias = trainer.before[number]
        widened = [w.numpy() for w in trainer.layers[number].weights]
        widened[0][:, :, : kernel.shape[2], : kernel.shape[3]] = kernel
        trainer.layers[number].set_weights(widened)
    layer = trainer.layers[2]
    kernel = layer.kernel.numpy()
    kernel[:, :, :4, 0] += 1.0
    layer.kernel.assign(kernel)
    before = answers(method, 1)
    trainer._split()
    assert num_alive(method)[2] > 3
    np.testing.assert_allclose(answers(method, 1), before, atol=1e-4)


def test_splitting_what_moved_gives_earlier_tasks_their_answers_back(second):
    method = second(loss_threshold=1e9, drift_threshold=0.0, num_new_units=4)
    before = answers(method, 0)
    learn(method, 1, num_epochs=6)
    assert np.abs(answers(method, 0) - before).max() > 0.01
    method._trainer._split()
    assert num_alive(method) == [6, 8, 6]
    np.testing.assert_array_equal(answers(method, 0), before)


def test_timestamps_hide_later_units_from_earlier_tasks(second):
    """The second task adds units, and moves none that the first one sees."""
    method = second(phase_shares=(0.25, 0.0, 0.75, 0.0))
    before = answers(method, 0)
    learn(method, 1)
    assert num_alive(method) == [5, 6, 5]
    np.testing.assert_array_equal(answers(method, 0), before)
    method.end_task()
    assert [method.selection(i) for i in range(2)] == ["3-4-3", "5-6-5"]
    np.testing.assert_array_equal(answers(method, 0), before)
    shapes = [w.shape for w in method.task_model(0).weights]
    assert shapes[2] == (3, 3, 3, 4)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.5, 0.0, 0.0, 0.5), [3, 4, 3]),
        ((0.5, 0.5, 0.0, 0.0), [3, 4, 3]),
        ((0.5, 0.0, 0.5, 0.0), [5, 6, 5]),
    ],
)
def test_an_expansion_without_a_share_is_left_out(second, shares, expected):
    method = second(phase_shares=shares)
    learn(method, 1)
    assert num_alive(method) == expected


def nested(image_shape):
    """Its convolutions lie in models inside the model, under one name."""
    images = keras.Input(image_shape)
    outputs = images
    for filters in (3, 4):
        convolution = keras.layers.Conv2D(filters, 3, name="conv")
        outputs = keras.Sequential(
            [keras.Input(outputs.shape[1:]), convolution, keras.layers.ReLU()]
        )(inputs=outputs)
    features = keras.layers.Flatten()(outputs)
    return keras.Model(images, keras.layers.Dense(5)(inputs=features))


def test_convolutions_inside_a_nested_model_grow():
    method = DynamicallyExpandable(
        nested, NUM_EPOCHS, num_new_units=2, loss_threshold=0, head=tiny.head
    )
    for index in range(3):
        learn(method, index)
        method.end_task()
    widths = [method.selection(index) for index in range(3)]
    assert widths == ["3-4", "5-6", "7-8"]
    assert answers(method, 1).shape == (12, 4)


def test_units_that_earlier_tasks_see_may_move(second):
    method = second(loss_threshold=1e9)
    before = answers(method, 0)
    learn(method, 1, num_epochs=4)
    assert np.abs(answers(method, 0) - before).max() > 1e-4
    during = answers(method, 0)
    method.end_task()
    np.testing.assert_allclose(answers(method, 0), during, atol=1e-5)


def test_dead_units_do_not_count(second):
    """What lies in the places of units to come changes nothing."""
    method = second()
    learn(method, 1, num_epochs=2)
    before = answers(method, 1)
    for layer, width in zip(method._trainer.layers, (3, 4, 3), strict=True):
        kernel, bias = layer.get_weights()
        kernel[..., width:], bias[width:] = 7.0, 7.0
        layer.set_weights([kernel, bias])
    np.testing.assert_array_equal(answers(method, 1), before)


@pytest.mark.parametrize("num_epochs", [1, 2, 3, 4])
def test_every_phase_with_a_share_begins_in_short_runs(second, num_epochs):
    shares = (0.2, 0.3, 0.3, 0.2)
    method = second(num_epochs=num_epochs, phase_shares=shares)
    learn(method, 1, num_epochs)
    assert int(method._trainer.num_transitions) == 4


@pytest.mark.parametrize("num_epochs", [1, 3, 5, 7])
def test_a_run_stopped_in_any_phase_continues_bit_for_bit(
    second, tmp_path, num_epochs
):
    settings = {"drift_threshold": 0.1, "group_weight": 0.8}
    method = second(**settings)
    learn(method, 1, num_epochs)
    path = str(tmp_path / "state")
    tf.train.Checkpoint(**method.state).write(path)
    continued = made(**settings)
    continued.rebuild_task(task_of(0), method.selection(0))
    continued.begin_task(task_of(1))
    tf.train.Checkpoint(**continued.state).read(path).assert_consumed()
    for each in (method, continued):
        learn(each, 1, first_epoch=num_epochs)
        each.end_task()
    assert method.selection(1) == continued.selection(1)
    for index in range(2):
        np.testing.assert_array_equal(
            answers(method, index), answers(continued, index)
        )


def test_a_task_is_traced_once_however_it_grows(second):
    method = second(drift_threshold=0.1)
    learn(method, 1)
    assert num_alive(method) != [3, 4, 3]
    count = method._trainer.compiled_epoch.num_traces
    assert count == 1


def test_the_exported_network_answers_as_the_one_in_training(second):
    method = second(drift_threshold=0.1, group_weight=0.8)
    images, _ = next(iter(tiny.batches(task_of(1), 12)))
    method.begin_task(task_of(1))
    for epoch in range(NUM_EPOCHS):
        method.train_epoch(tiny.batches(task_of(1)), epoch)
        model = method.task_model(1)
        np.testing.assert_allclose(
            model(images), answers(method, 1, 1), atol=1e-4
        )
    during = answers(method, 1, 1)
    method.end_task()
    np.testing.assert_allclose(answers(method, 1, 1), during, atol=1e-4)
    weights = [w for w in method.task_model(1).weights]
    of_second = sum(np.prod(w.shape) for w in weights)
    of_first = sum(np.prod(w.shape) for w in method.task_model(0).weights[6:])
    assert method.num_parameters == of_second + of_first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_epochs": 0}, "`num_epochs` must be"),
        ({"phase_shares": (0.5, 0.5)}, "`phase_shares` must be four numbers"),
        ({"phase_shares": (0.5, 0.5, 0.5, 0)}, "that sum to 1"),
        ({"phase_shares": "all"}, "`phase_shares` must be four numbers"),
        ({"l1_weight": -1}, "`l1_weight` must be a number not below 0"),
        ({"l2_weight": -1}, "`l2_weight` must be a number not below 0"),
        ({"group_weight": -1}, "`group_weight` must be a number not below"),
        ({"loss_threshold": -1}, "`loss_threshold` must be a number not"),
        ({"drift_threshold": -1}, "`drift_threshold` must be a number not"),
        ({"num_new_units": 0}, "`num_new_units` must be"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(InputError, match=message):
        made(**arguments)


def test_refuses_later_tasks_of_another_kind(second):
    method = second()
    with pytest.raises(InputError, match="as many and as large as the first"):
        method.begin_task(tiny.task("other", shape=(6, 6, 3)))


def shrunk(kernel, threshold):
    return np.sign(kernel) * np.maximum(np.abs(kernel) - threshold, 0)


@pytest.mark.parametrize(
    ("num_epochs", "expanding"), [(1, False), (3, False), (5, True), (7, False)]
)
def test_a_step_descends_and_then_shrinks(second, num_epochs, expanding):
    """In every phase: what is free moves, new filters shrink as a whole."""
    l1, group, rate = 0.003, 20.0, 0.01
    method = second(
        l1_weight=l1,
        l2_weight=0.5,
        group_weight=group,
        optimizer=functools.partial(keras.optimizers.SGD, rate),
    )
    learn(method, 1, num_epochs)
    trainer = method._trainer
    images, labels = next(iter(tiny.batches(task_of(1))))
    method._start_epoch(num_epochs)
    with tf.GradientTape() as tape:
        loss = trainer.loss(images, labels)
    values = [w.value for w in trainer.weights]
    gradients = tape.gradient(loss, values, unconnected_gradients="zero")
    expected = {
        id(w): w.numpy() - rate * g.numpy()
        for w, g in zip(trainer.weights, gradients, strict=True)
    }
    dense = id(trainer.chain.dense.kernel)
    expected[dense] = shrunk(expected[dense], l1)
    for number, layer in enumerate(trainer.layers):
        kernel = shrunk(expected[id(layer.kernel)], l1)
        old = (3, 4, 3)[number]
        if expanding:
            # A filter is what it hears from units that exist.
            heard = trainer._alive()[number - 1] if number else slice(None)
            for unit in (old, old + 1):
                norm = np.linalg.norm(kernel[:, :, heard, unit])
                assert norm > rate * group, "or nothing would be left to see"
                kernel[..., unit] *= (norm - rate * group) / norm
        free = trainer.free_kernels[number].numpy() > 0
        kernel = np.where(free, kernel, layer.kernel.numpy())
        free = trainer.free_units[number].numpy() > 0
        bias = np.where(free, expected[id(layer.bias)], layer.bias.numpy())
        expected[id(layer.kernel)], expected[id(layer.bias)] = kernel, bias
    method._start_epoch(num_epochs)  # The same dropout again.
    trainer._train_step(images, labels)
    for weight in trainer.weights:
        np.testing.assert_allclose(
            weight.numpy(), expected[id(weight)], atol=1e-5, err_msg=weight.path
        )
