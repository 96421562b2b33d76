import functools
import gc
import weakref

import keras
import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.layers import HardParameterSharing
from lasem_tf.methods import BruteForce, RMSprop, Static
from tests.methods import tiny


def normalised(image_shape):
    """Brute force trains one network at a time, which this needs."""
    inputs = keras.Input(image_shape)
    outputs = keras.layers.Conv2D(3, 3)(inputs)
    outputs = keras.layers.BatchNormalization()(outputs)
    outputs = keras.layers.ReLU()(outputs)
    regularizer = keras.regularizers.L2(0.1)
    outputs = keras.layers.Conv2D(3, 3, kernel_regularizer=regularizer)(outputs)
    outputs = keras.layers.ActivityRegularization(l1=0.01)(outputs)
    return keras.Model(inputs, keras.layers.Flatten()(outputs))


def made(method_class, dropout=0.0, backbone=None, **kwargs):
    return method_class(
        backbone or functools.partial(tiny.backbone, dropout=dropout),
        HardParameterSharing(),
        optimizer=functools.partial(RMSprop, learning_rate=0.02),
        learning_rate_decay=0.1,
        head=tiny.head,
        seed=3,
        **kwargs,
    )


def trained(method, task=None, num_epochs=2, first_epoch=0):
    task = task or tiny.task()
    method.begin_task(task)
    for epoch in range(first_epoch, first_epoch + num_epochs):
        method.train_epoch(tiny.batches(task), epoch)
    return method


def weights_of_candidate(method, number):
    """What the candidate's network has become, of the weights it uses."""
    method._trainer.take_up(number)
    network = method._trainer.network
    used = network.trainable_weights_of(
        [method._trainer.configurations[number]]
    )
    return [weight.numpy() for weight in used]


@pytest.mark.parametrize(
    ("backbone", "numbers"), [(None, (0, 3, 7)), (normalised, (0, 1, 3))]
)
def test_each_candidate_is_what_static_training_makes_of_it(backbone, numbers):
    kwargs = {"backbone": backbone, "dropout": 0.3}
    method = trained(made(BruteForce, **kwargs))
    configurations = list(map(str, method._trainer.configurations))
    assert len(configurations) == numbers[-1] + 1
    for number in numbers:
        alone = trained(
            made(Static, configuration=configurations[number], **kwargs)
        )
        expected = [w.numpy() for w in alone._trainer.weights]
        received = weights_of_candidate(method, number)
        for a, b in zip(received, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)
        # Averages of the normalisation included.
        for a, b in zip(
            method._trainer.network.other_weights,
            alone._trainer.network.other_weights,
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=2e-5)


def test_candidates_of_a_later_task_start_from_what_was_selected():
    method = trained(made(BruteForce, candidates=["SSS", "TTT"]))
    method.end_task()
    before = [v.numpy() for vs in method._knowledge_base for v in vs]
    trained(method, tiny.task("second", seed=2), 0)
    for number in range(2):
        method._trainer.take_up(number)
        now = [v.numpy() for vs in method._knowledge_base for v in vs]
        for a, b in zip(now, before, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_best_on_validation_is_selected():
    task = tiny.task()
    method = trained(made(BruteForce), task, num_epochs=4)
    images, labels = next(iter(tiny.batches(task, 12)))
    correct = []
    for number, configuration in enumerate(method._trainer.configurations):
        method._trainer.take_up(number)
        logits = method._trainer.network(images, configuration.shared)
        correct.append(int(np.sum(np.argmax(logits, axis=1) == labels)))
    np.testing.assert_array_equal(method._trainer.num_correct, correct)
    best = method._trainer.configurations[int(np.argmax(correct))]
    method._trainer.take_up(method._best())
    method.end_task()
    assert method.selection(0) == str(best)


def test_of_equally_good_ones_that_which_shares_most_is_selected():
    method = trained(made(BruteForce), num_epochs=1)
    numbers = {str(c): n for n, c in enumerate(method._trainer.configurations)}
    for tied, expected in [
        (("TTT", "STT", "SST"), "SST"),
        (("TTT", "TST"), "TST"),
        (numbers, "SSS"),
    ]:
        counts = [5 if name in tied else 4 for name in numbers]
        method._trainer.num_correct.assign(counts)
        assert str(method._selected_configuration()) == expected


def test_what_an_epoch_tells_is_of_the_best_candidate():
    method = made(BruteForce)
    method.begin_task(tiny.task())
    result = method.train_epoch(tiny.batches(tiny.task()), 0)
    assert result.posterior.tolist() == result.prior.tolist()
    assert result.prior.max() == 1 and result.prior.sum() == 1
    assert result.most_probable == str(method._selected_configuration())
    alone = made(Static, configuration=result.most_probable)
    alone.begin_task(tiny.task())
    expected = alone.train_epoch(tiny.batches(tiny.task()), 0)
    assert result.loss == pytest.approx(expected.loss, abs=1e-5)
    assert result.learning_rate == expected.learning_rate


def test_predicting_is_done_with_the_best_candidate():
    task = tiny.task()
    method = trained(made(BruteForce), task)
    images, _ = next(iter(tiny.batches(task, 12)))
    network = method._trainer.network
    expected = network(images, method._selected_configuration().shared)
    np.testing.assert_allclose(method.predictor(0)(images), expected, atol=1e-5)


def test_refuses_a_task_without_validation_images():
    task = tiny.task()
    without = task.__class__(
        **{**task.__dict__, "validation": task.validation.take(0)}
    )
    with pytest.raises(InputError, match="every task needs some.*'tiny'"):
        made(BruteForce).begin_task(without)


def test_what_candidates_became_leaves_with_their_task():
    """At once: in a cycle it would wait for Python's garbage collector."""
    method = trained(made(BruteForce))
    copies = [weakref.ref(variable) for variable in method._trainer._copies]
    assert copies
    gc.disable()
    try:
        method.end_task()
        assert not [copy for copy in copies if copy() is not None]
    finally:
        gc.enable()
