import functools
import inspect

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
from lasem_tf.methods import FixedPosterior, Lasem, RMSprop, Static
from lasem_tf.methods.selective_method import SelectiveMethod
from tests.methods import tiny
from tests.methods.naive_reference import Reference

LEARNING_RATE = 0.02


def begun(method_class, sharing=None, **kwargs):
    method = method_class(
        tiny.backbone,
        sharing or HardParameterSharing(),
        optimizer=functools.partial(RMSprop, learning_rate=LEARNING_RATE),
        head=tiny.head,
        **kwargs,
    )
    method.begin_task(tiny.task())
    return method


def trained(method, num_epochs=2):
    for epoch in range(num_epochs):
        method.train_epoch(tiny.batches(tiny.task()), epoch)
    return method


def test_static_is_one_plain_network():
    method = begun(Static, configuration="TST")
    reference = Reference(
        method._trainer.network,
        "hps",
        method._trainer.configurations,
        LEARNING_RATE,
    )
    batches = tiny.batches(tiny.task())
    for images, labels in batches:
        reference.m_step(images.numpy(), labels, tiny.POOLS, [1.0])
    method.train_epoch(batches, 0)
    reference.assert_same_weights(method._trainer.network)


def test_lasem_with_all_mass_on_one_configuration_is_static_training():
    static = trained(begun(Static, configuration="TST"))
    fixed = trained(begun(FixedPosterior, configuration="TST", probability=1))
    for a, b in zip(
        static.task_model(0).weights, fixed.task_model(0).weights, strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_fixed_posterior_spreads_the_rest_evenly_and_weighs_all_losses():
    method = begun(FixedPosterior, configuration="STS", probability=0.65)
    trainer = method._trainer
    reference = Reference(
        trainer.network, "hps", trainer.configurations, LEARNING_RATE
    )
    expected = [
        0.65 if str(c) == "STS" else 0.05 for c in trainer.configurations
    ]
    batches = tiny.batches(tiny.task())
    for images, labels in batches:
        reference.m_step(images.numpy(), labels, tiny.POOLS, expected)
    result = method.train_epoch(batches, 0)
    assert result.configurations == trainer.configurations
    np.testing.assert_allclose(result.posterior, expected, rtol=1e-5)
    reference.assert_same_weights(trainer.network)
    method.end_task()
    assert method.selection(0) == "STS"


def test_static_trains_only_what_its_configuration_uses():
    method = begun(Static, configuration="SST")
    used = {id(v) for v in method._trainer.weights}
    layers = method._trainer.network.selective_layers
    assert id(layers[0].shared.knowledge_base[0]) in used
    assert id(layers[0].task.kernel) not in used
    assert id(layers[2].task.kernel) in used
    assert id(layers[2].shared.knowledge_base[0]) not in used


def test_single_task_learning_is_the_same_for_every_base_learner():
    models = [
        trained(
            begun(Static, sharing, configuration="single_task", seed=3)
        ).task_model(0)
        for sharing in (
            HardParameterSharing(),
            TensorFactorization(),
            DeconvFactorization(),
        )
    ]
    for other in models[1:]:
        for a, b in zip(models[0].weights, other.weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_single_task_learning_leaves_the_knowledge_base_alone():
    method = begun(Static, configuration="single_task")
    before = [v.numpy() for vs in method._knowledge_base for v in vs]
    trained(method)
    # Before the roll-back at the end of the task: it was never moved.
    after = [v.numpy() for vs in method._knowledge_base for v in vs]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_static_shares_everything_unless_told_otherwise():
    method = begun(Static)
    method.end_task()
    assert method.selection(0) == "SSS"


def test_hyperparameters_name_every_argument():
    method = begun(Static, configuration="TST", seed=4, num_m_steps=2)
    told = method.hyperparameters
    assert told["configuration"] == "'TST'"
    assert told["seed"] == "4"
    assert told["num_m_steps"] == "2"
    assert told["sharing"] == "HardParameterSharing()"
    assert told["optimizer"] == (
        "lasem_tf.methods.rmsprop.RMSprop(learning_rate=0.02)"
    )
    for constructor in (Static, FixedPosterior, Lasem, SelectiveMethod):
        parameters = inspect.signature(constructor).parameters.values()
        names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        assert names <= set(told)


def test_hyperparameters_tell_optimizers_and_functions_apart():
    def told(**kwargs):
        method = Static(tiny.backbone, HardParameterSharing(), **kwargs)
        return method.hyperparameters

    positional = [functools.partial(RMSprop, rate) for rate in (0.1, 0.2)]
    assert told(optimizer=positional[0]) != told(optimizer=positional[1])
    nameless = [lambda n: tiny.head(n), lambda n: tiny.head(n + 0)]
    assert told(head=nameless[0]) != told(head=nameless[1])
    assert told(head=nameless[0]) == told(head=nameless[0])

    def holding(k):
        return lambda n: tiny.head(n + k)

    held = [holding(0), holding(0), holding(1)]
    assert told(head=held[0]) == told(head=held[1]) != told(head=held[2])
    given = [lambda n, k=k: tiny.head(n + k) for k in (0, 0, 1)]
    assert told(head=given[0]) == told(head=given[1]) != told(head=given[2])


def test_functions_that_hold_themselves_can_be_told():
    def make():
        def head(n):
            return tiny.head(n) if n else head(1)

        return head

    heads = [
        Static(
            tiny.backbone, HardParameterSharing(), head=make()
        ).hyperparameters["head"]
        for _ in range(2)
    ]
    assert heads[0] == heads[1]


def test_refuses_an_optimizer_with_a_schedule():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    method = Static(
        tiny.backbone,
        HardParameterSharing(),
        optimizer=functools.partial(RMSprop, learning_rate=schedule),
    )
    with pytest.raises(InputError, match="must have a constant learning rate"):
        method.begin_task(tiny.task())


def test_predicting_again_and_again_leaves_nothing_behind():
    method = begun(Static)
    images, _ = next(iter(tiny.batches(tiny.task())))
    method.predictor(0)(images)
    (plain, _), *_ = method._networks._compiled.values()
    nodes = [len(layer._inbound_nodes) for layer in plain.model.layers]
    for _ in range(3):
        method.predictor(0)(images)
    assert nodes == [len(layer._inbound_nodes) for layer in plain.model.layers]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"configuration": "TS"}, "one letter per convolutional layer, here 3"),
        ({"configuration": "most"}, "must be written with the letters S"),
        ({"configuration": "top_4"}, "must share between 1 and 3 layers"),
        ({"probability": "x"}, "`probability` must be a number not below 0"),
        ({"configuration": 4}, "must be written with the letters S"),
        ({"probability": 1.5}, "`probability` must lie between 0 and 1"),
        (
            {"configuration": "STS", "layer_groups": ((1, 2), (3,))},
            "`configuration` must be one of the candidates",
        ),
    ],
)
def test_fixed_posterior_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        begun(FixedPosterior, **arguments)


def test_lasem_accepts_one_candidate_as_static_does():
    lasem = trained(begun(Lasem, candidates=["TST"]))
    static = trained(begun(Static, configuration="TST"))
    for a, b in zip(
        lasem.task_model(0).weights, static.task_model(0).weights, strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_posterior_of_static_is_certain():
    result = begun(Static).train_epoch(tiny.batches(tiny.task()), 0)
    np.testing.assert_array_equal(result.posterior, [1.0])
    assert float(tf.reduce_sum(result.prior)) == 1.0


def test_a_task_that_diverged_does_not_spoil_the_next_one():
    """Single-task learning: nothing of the first is used by the second."""
    lost, fresh = (
        Static(
            tiny.backbone,
            HardParameterSharing(),
            configuration="single_task",
            head=tiny.head,
        )
        for _ in range(2)
    )
    for method in (lost, fresh):
        task = tiny.task("first", seed=1)
        method.begin_task(task)
        batches = tiny.batches(task)
        if method is lost:
            batches = batches.map(lambda x, y: (x * np.inf, y))
        method.train_epoch(batches, 0)
        method.end_task()
    results = []
    for method in (lost, fresh):
        task = tiny.task("second", seed=2)
        method.begin_task(task)
        results.append(method.train_epoch(tiny.batches(task), 1).loss)
    assert np.isfinite(results[0])
    assert results[0] == results[1]


@pytest.mark.parametrize("method_class", [Static, FixedPosterior])
@pytest.mark.parametrize(
    "setting",
    [
        {"likelihood": "mean"},
        {"prior": "related"},
        {"e_step_tolerance": 0.5},
        {"e_step_dtype": "bfloat16"},
    ],
)
def test_settings_of_an_e_step_that_is_not_made_are_refused(
    method_class, setting
):
    name = method_class.__name__
    with pytest.raises(InputError, match=f"Bayes' rule, which `{name}` does"):
        begun(method_class, **setting)
