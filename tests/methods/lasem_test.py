import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers import HardParameterSharing
from lasem_tf.methods import Lasem, RMSprop, compiled_epoch
from lasem_tf.methods import lasem as lasem_module
from tests.layers import shapes
from tests.methods import tiny
from tests.methods.naive_reference import Reference

LEARNING_RATE = 0.02


def begun(learner="hps", **kwargs):
    task = tiny.task()
    method = Lasem(
        kwargs.pop("backbone", tiny.backbone),
        shapes.RULES[learner],
        optimizer=functools.partial(RMSprop, learning_rate=LEARNING_RATE),
        head=tiny.head,
        **kwargs,
    )
    method.begin_task(task)
    return method, task


@pytest.mark.parametrize("learner", shapes.RULES)
@pytest.mark.parametrize("layer_groups", [None, ((1, 3), (2,))])
@pytest.mark.parametrize("likelihood", ["joint", "mean"])
def test_every_update_is_that_of_the_naive_reference(
    learner, layer_groups, likelihood
):
    method, task = begun(
        learner, layer_groups=layer_groups, likelihood=likelihood
    )
    reference = Reference(
        method._trainer.network,
        learner,
        method._trainer.configurations,
        LEARNING_RATE,
    )
    start = [v.numpy() for v in reference.variables]
    posteriors = []
    for images, labels in tiny.batches(task):
        posterior = reference.e_step(
            images.numpy(), labels.numpy(), tiny.POOLS, likelihood
        )
        reference.m_step(images.numpy(), labels, tiny.POOLS, posterior)
        posteriors.append(posterior)
    result = method.train_epoch(tiny.batches(task), global_epoch=0)

    moved = [
        np.abs(v - s).max()
        for v, s in zip(reference.variables, start, strict=True)
    ]
    assert min(moved) > 1e-4, "the comparison would not see a missing update"
    np.testing.assert_allclose(
        result.posterior, np.mean(posteriors, axis=0), rtol=2e-4
    )
    np.testing.assert_allclose(result.prior, reference.prior("counts"), 1e-6)
    reference.assert_same_weights(method._trainer.network)


def test_average_prior_and_two_m_steps_are_those_of_the_reference():
    method, task = begun("dfcnn", prior="average", num_m_steps=2)
    reference = Reference(
        method._trainer.network,
        "dfcnn",
        method._trainer.configurations,
        LEARNING_RATE,
    )
    for images, labels in tiny.batches(task):
        posterior = reference.e_step(
            images.numpy(), labels.numpy(), tiny.POOLS, prior="average"
        )
        for _ in range(2):
            reference.m_step(images.numpy(), labels, tiny.POOLS, posterior)
    result = method.train_epoch(tiny.batches(task), global_epoch=0)
    np.testing.assert_allclose(result.prior, reference.prior("average"), 1e-4)
    reference.assert_same_weights(method._trainer.network)


def test_compiled_epoch_is_the_eager_one():
    compiled, task = begun("tf")
    eager, _ = begun("tf")
    first = compiled.train_epoch(tiny.batches(task), 0)
    batches = tiny.batches(task)
    tf.config.run_functions_eagerly(True)
    try:
        second = eager.train_epoch(batches, 0)
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(first.posterior, second.posterior, rtol=1e-4)
    for a, b in zip(
        compiled._trainer.network.weights,
        eager._trainer.network.weights,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_e_step_sees_no_dropout_and_m_step_does():
    method, task = begun(backbone=functools.partial(tiny.backbone, dropout=0.5))
    reference = Reference(
        method._trainer.network,
        "hps",
        method._trainer.configurations,
        LEARNING_RATE,
    )
    images, labels = next(iter(tiny.batches(task)))
    posterior = reference.e_step(images.numpy(), labels.numpy(), tiny.POOLS)
    truth = reference.probabilities_of_truth(
        images.numpy(), labels.numpy(), tiny.POOLS
    )
    loss_without_dropout = posterior @ -np.log(truth).mean(axis=1)
    result = method.train_epoch(
        tf.data.Dataset.from_tensors((images, labels)), 0
    )
    np.testing.assert_allclose(result.posterior, posterior, rtol=1e-4)
    assert abs(result.loss - loss_without_dropout) > 1e-2


def test_dropout_is_a_function_of_seed_and_epoch():
    backbone = functools.partial(tiny.backbone, dropout=0.5)
    losses = []
    for epoch in (0, 0, 1):
        method, task = begun(backbone=backbone)
        losses.append(method.train_epoch(tiny.batches(task), epoch).loss)
    assert losses[0] == losses[1] != losses[2]


def test_learning_rate_decays_with_the_global_epoch():
    method, task = begun(learning_rate_decay=0.5)
    result = method.train_epoch(tiny.batches(task), global_epoch=4)
    assert result.learning_rate == pytest.approx(LEARNING_RATE / 3)
    assert float(method._trainer.optimizer.learning_rate) == pytest.approx(
        LEARNING_RATE / 3
    )


def test_selects_what_was_most_often_the_most_probable():
    method, _ = begun()
    names = [str(c) for c in method._trainer.configurations]
    counts = np.zeros(8, np.float32)
    counts[names.index("TST")] = 5
    method._trainer.evidence.assign(counts)
    method.end_task()
    assert method.selection(0) == "TST"


def test_a_tie_goes_to_more_sharing():
    method, _ = begun()
    names = [str(c) for c in method._trainer.configurations]
    counts = np.zeros(8, np.float32)
    counts[[names.index("TTS"), names.index("SST")]] = 2
    method._trainer.evidence.assign(counts)
    assert str(method._selected_configuration()) == "SST"


@pytest.mark.parametrize("learner", shapes.RULES)
def test_end_of_task_rolls_back_what_is_not_shared_and_keeps_the_rest(learner):
    method, task = begun(learner, candidates=["STS", "TTT"])
    before = [
        [v.numpy() for v in variables] for variables in method._knowledge_base
    ]
    method.train_epoch(tiny.batches(task), 0)
    names = [str(c) for c in method._trainer.configurations]
    method._trainer.evidence.assign(tf.one_hot(names.index("STS"), 2))
    trained = [
        [v.numpy() for v in variables] for variables in method._knowledge_base
    ]
    method.end_task()
    for layer, shared in enumerate((True, False, True)):
        expected = trained[layer] if shared else before[layer]
        for variable, value in zip(
            method._knowledge_base[layer], expected, strict=True
        ):
            np.testing.assert_array_equal(variable, value)
        if shared:
            moved = np.abs(trained[layer][0] - before[layer][0]).max()
            assert moved > 1e-4


@pytest.mark.parametrize("learner", shapes.RULES)
def test_storage_per_task_is_that_of_the_selected_sources(learner):
    method, task = begun(learner)
    layers = list(method._trainer.network.selective_layers)
    others = sum(
        np.prod(v.shape) for v in method._trainer.network.other_weights
    )
    shared = sum(np.prod(v.shape) for v in layers[0].shared.knowledge_base)
    mappings = sum(np.prod(v.shape) for v in layers[0].shared.task_mapping)
    own = sum(
        np.prod(v.shape) for la in layers[1:] for v in la.task.task_mapping
    )
    names = [str(c) for c in method._trainer.configurations]
    method._trainer.evidence.assign(tf.one_hot(names.index("STT"), 8))
    method.end_task()
    assert method.num_parameters == shared + mappings + own + others


def test_a_later_task_moves_shared_filters_of_an_earlier_one_only():
    method, task = begun(candidates=["SST"])
    method.train_epoch(tiny.batches(task), 0)
    method.end_task()
    images, _ = next(iter(tiny.batches(task)))
    before = method.task_model(0)
    own = [v.numpy() for v in method.parameters(0).own_weights]
    second = tiny.task("second", seed=1, num_classes=4)
    method.begin_task(second)
    method.train_epoch(tiny.batches(second), 1)
    after = method.task_model(0)
    for variable, value in zip(
        method.parameters(0).own_weights, own, strict=True
    ):
        np.testing.assert_array_equal(variable, value)
    changed = np.abs(before(images) - after(images)).max()
    assert changed > 1e-4


def test_task_model_and_predictor_are_the_network_under_its_mask():
    method, task = begun("dfcnn")
    method.train_epoch(tiny.batches(task), 0)
    images, _ = next(iter(tiny.batches(task)))
    mask = tf.constant(method._selected_configuration().shared)
    expected = method._trainer.network(images, mask)
    np.testing.assert_allclose(
        method.task_model(0)(images), expected, atol=1e-5
    )
    np.testing.assert_allclose(method.predictor(0)(images), expected, atol=1e-5)
    method.end_task()
    np.testing.assert_allclose(method.predictor(0)(images), expected, atol=1e-5)
    types = {type(layer).__module__ for layer in method.task_model(0).layers}
    assert all(module.startswith("keras.") for module in types)


def test_a_task_is_traced_once_whatever_the_number_of_epochs():
    method, task = begun()
    for epoch in range(3):
        method.train_epoch(tiny.batches(task), epoch)
    assert method._trainer.compiled_epoch.num_traces == 1


def test_a_selective_network_of_a_finished_task_is_forgotten():
    import gc
    import weakref

    method, task = begun()
    method.train_epoch(tiny.batches(task), 0)
    names = [str(c) for c in method._trainer.configurations]
    method._trainer.evidence.assign(tf.one_hot(names.index("SSS"), 8))
    unused = [
        weakref.ref(la.task.kernel) for la in method._network.selective_layers
    ]
    method.end_task()
    gc.collect()
    assert [ref() for ref in unused] == [None, None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"likelihood": "max"}, "`likelihood` must be one of 'joint', 'mean'"),
        ({"prior": "flat"}, "`prior` must be one of 'counts', 'average'"),
        ({"num_m_steps": 1.5}, "`num_m_steps` must be a whole number"),
        ({"candidates": 3}, "must be written with the letters S"),
        ({"layer_groups": 5}, "each of the layers 1 to 3 exactly once"),
        (
            {"num_m_steps": 0},
            "`num_m_steps` must be a whole number not below 1",
        ),
        ({"candidates": "TS"}, "one letter per convolutional layer, here 3"),
        ({"candidates": "TSX"}, "letters S .shared. and T .task-specific."),
        ({"layer_groups": ((1, 2),)}, "each of the layers 1 to 3 exactly once"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        begun(**arguments)


def test_refuses_a_backbone_without_a_feature_vector():
    def maps_only(image_shape):
        images = keras.Input(image_shape)
        return keras.Model(images, keras.layers.Conv2D(2, 3)(images))

    with pytest.raises(InputError, match="end in one vector of features"):
        begun(backbone=maps_only)


def test_refuses_a_task_that_has_not_begun():
    method, _ = begun()
    with pytest.raises(InputError, match="task_index=3 after 0 finished"):
        method.parameters(3)


def test_tasks_of_one_architecture_are_compiled_once():
    method, task = begun()
    for epoch in range(3):
        method.train_epoch(tiny.batches(task), epoch)
        compiled = method._trainer.compiled_epoch
        method.end_task()
        method.begin_task(task)
    assert method._trainer.compiled_epoch is compiled
    assert compiled.num_traces == 1


def test_a_trace_for_every_architecture_is_no_cause_for_a_warning(caplog):
    """TensorFlow warns if it takes their functions for one."""
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        method, task = begun()
        for num_classes in range(3, 9):
            method.train_epoch(tiny.batches(task), 0)
            method.end_task()
            task = tiny.task(num_classes=num_classes)
            method.begin_task(task)
    finally:
        logger.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text


def test_refuses_a_backbone_that_changes():
    widths = iter((3, 4, 5, 6))

    def changing(image_shape):
        images = keras.Input(image_shape)
        outputs = keras.layers.Conv2D(2, 3)(images)
        outputs = keras.layers.Flatten()(outputs)
        return keras.Model(images, keras.layers.Dense(next(widths))(outputs))

    with pytest.raises(InputError, match="must always be the same network"):
        begun(backbone=changing)


def test_an_epoch_does_not_make_its_step_a_function_of_the_data_set():
    """TensorFlow would optimise the step anew in every epoch."""
    method, task = begun()
    batches = tiny.batches(task)
    epoch = method._trainer.compiled_epoch._iterated.get_concrete_function(
        iter(batches), batches.cardinality()
    )
    definition = epoch.graph.as_graph_def()
    nodes = [*definition.node]
    for function in definition.library.function:
        nodes += function.node_def
    operations = {node.op for node in nodes}
    assert "IteratorGetNext" in operations
    assert not {op for op in operations if op.endswith("Dataset")}


def test_an_epoch_with_xla_is_cut_into_parts_of_one_size(monkeypatch):
    monkeypatch.setattr(compiled_epoch, "_AT_ONCE", 2)
    results = []
    for jit_compile in (False, True):
        method, task = begun(jit_compile=jit_compile)
        results.append(method.train_epoch(tiny.batches(task), 0))  # 3 batches
        assert method._trainer.compiled_epoch.num_traces == 1
    plain, compiled = results
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-5)
    np.testing.assert_allclose(compiled.posterior, plain.posterior, rtol=1e-4)


def test_mini_batches_of_several_shapes_go_without_xla():
    method, task = begun(jit_compile=True)
    batches = task.train.batch(5).map(
        lambda images, labels: (task.preprocess(images), labels)
    )
    method.train_epoch(batches, 0)
    trained = method._trainer.compiled_epoch
    assert trained._iterated.experimental_get_tracing_count() == 1
    assert trained._stacked.experimental_get_tracing_count() == 0


def test_refuses_batches_of_unknown_number():
    """An epoch of them would train nothing, and nobody would notice."""
    method, task = begun()
    unknown = tiny.batches(task).filter(lambda *_: True)
    with pytest.raises(InputError, match="know how many .* cardinality -2"):
        method.train_epoch(unknown, 0)


def test_loss_falls_below_half_in_sixty_steps():
    """Twelve random images can be memorised, if the gradients are right."""
    method, task = begun()
    losses = [
        method.train_epoch(tiny.batches(task), epoch).loss
        for epoch in range(20)
    ]
    assert losses[-1] < 0.5 * losses[0]


def test_priors_that_heed_earlier_tasks_start_from_their_counts(monkeypatch):
    """Counts are those of the earlier tasks alone, however many there are."""
    weights = iter([0.25, 0.5, 0.75])
    monkeypatch.setattr(
        lasem_module, "relatedness", lambda *asked: next(weights)
    )
    for prior, expected_weights in (
        ("counts", []),
        ("historic", [[1], [1, 1]]),
        ("related", [[0.25], [0.5, 0.75]]),
    ):
        method, _ = begun(prior=prior)
        counts = []
        for index, task_weights in enumerate([[], *expected_weights]):
            if index:
                method.begin_task(tiny.task(f"later_{index}", seed=index))
            pseudo = np.ones(8)
            for weight, count in zip(task_weights, counts, strict=True):
                shares = count if prior == "historic" else count / 6
                pseudo += weight * shares
            np.testing.assert_allclose(
                np.exp(method._log_prior()), pseudo / pseudo.sum(), rtol=1e-5
            )
            for epoch in range(2):
                method.train_epoch(tiny.batches(tiny.task()), epoch)
            counts.append(method._trainer.evidence.numpy())
            assert counts[-1].sum() == 6
            method.end_task()


def test_a_related_task_is_preferred_and_an_unrelated_one_is_not():
    """The same images with the same labels, and with labels by chance."""
    images, labels = tiny.examples(0, num_images=32)
    tasks = {
        name: dataclasses.replace(
            tiny.task(name),
            train=tf.data.Dataset.from_tensor_slices((images, of_task)),
        )
        for name, of_task in (
            ("first", labels),
            ("related", labels),
            ("unrelated", np.random.default_rng(1).permutation(labels)),
        )
    }
    first = {}
    for name in ("related", "unrelated"):
        method = Lasem(
            tiny.backbone,
            HardParameterSharing(),
            prior="related",
            optimizer=functools.partial(RMSprop, learning_rate=0.02),
            head=tiny.head,
        )
        method.begin_task(tasks["first"])
        for epoch in range(60):
            method.train_epoch(tiny.batches(tasks["first"]), epoch)
        method.end_task()
        method.begin_task(tasks[name])
        prior = np.exp(method._log_prior())
        names = [str(c) for c in method._trainer.configurations]
        first[name] = prior[names.index(method.selection(0))]
    # Even: 1 / 8; with one mini-batch's weight more: 2 / 9.
    assert first["unrelated"] < 1.1 / 8
    assert first["related"] > 1.5 / 8


def test_relatedness_is_asked_of_earlier_networks_on_the_new_tasks_images():
    method, first = begun(prior="related")
    method.train_epoch(tiny.batches(first), 0)
    method.end_task()
    second = tiny.task("second", seed=1)
    method.begin_task(second)
    method.train_epoch(tiny.batches(second), 0)
    method.end_task()
    new = tiny.task("new", seed=7, num_classes=4)
    images, expected_labels = next(iter(tiny.batches(new, 12)))
    for index in range(2):
        probabilities, labels = method._asked(index, new)
        expected = tf.nn.softmax(method.predictor(index)(images)).numpy()
        assert probabilities.shape == (12, 3)  # The earlier task's classes.
        assert sorted(labels) == sorted(expected_labels.numpy())
        for answer, label in zip(probabilities, labels, strict=True):
            number = int(np.argmin(np.abs(expected - answer).sum(axis=1)))
            np.testing.assert_allclose(answer, expected[number], rtol=1e-5)
            assert label == expected_labels[number]


def test_relatedness_is_asked_on_all_classes_of_a_sorted_task():
    method, _ = begun(prior="related")
    method.end_task()
    images, labels = tiny.examples(0, num_images=900)
    order = np.argsort(labels)
    data = tf.data.Dataset.from_tensor_slices((images[order], labels[order]))
    new = tiny.task("sorted")
    new = new.__class__(**{**new.__dict__, "train": data})
    _, asked = method._asked(0, new)
    assert len(asked) == 250 and set(asked) == {0, 1, 2}


def test_relatedness_may_be_asked_with_images_of_another_size():
    method, _ = begun(prior="related")
    method.end_task()
    probabilities, _ = method._asked(0, tiny.task("large", shape=(9, 8, 2)))
    assert probabilities.shape == (12, 3)
