"""What every method owes the runner, checked over all of them.

To put a new method under the suite add one line to `METHODS`, or to
`WITHOUT_LEARNER` if it shares in a way of its own. Tracing is what
takes time here, so each method lives through one story, told once, and tests
look at what was recorded of it; but for that of seeds, which tells it again.
"""

import functools
import inspect
import time
import types

import numpy as np
import pytest
import tensorflow as tf

import lasem_tf.methods
from lasem_tf.checks import InputError
from lasem_tf.export.saved_model import export_task, load_task
from lasem_tf.layers import (
    DeconvFactorization,
    HardParameterSharing,
    TensorFactorization,
)
from lasem_tf.methods import (
    AdditiveDecomposition,
    BruteForce,
    ChannelGated,
    Darts,
    DynamicallyExpandable,
    FixedPosterior,
    Lasem,
    Progressive,
    RMSprop,
    Static,
)
from lasem_tf.methods.lifelong_method import LifelongMethod
from tests.methods import tiny

METHODS = {
    "lasem": Lasem,
    "lasem_mean_average": functools.partial(
        Lasem, likelihood="mean", prior="average"
    ),
    "lasem_grouped": functools.partial(Lasem, layer_groups=((1, 3), (2,))),
    "lasem_rare_e_steps": functools.partial(Lasem, e_step_tolerance=0.5),
    "fixed_posterior": functools.partial(
        FixedPosterior, configuration="TST", probability=0.8
    ),
    "lasem_average": functools.partial(Lasem, prior="average"),
    "lasem_bfloat16": functools.partial(Lasem, e_step_dtype="bfloat16"),
    "lasem_historic": functools.partial(Lasem, prior="historic"),
    "lasem_related": functools.partial(Lasem, prior="related"),
    "static": functools.partial(Static, configuration="STS"),
    "brute_force": functools.partial(BruteForce, candidates=["STS", "TST"]),
    "darts": Darts,
    "darts_first_order": functools.partial(
        Darts, second_order=False, architecture_data="training"
    ),
}
WITHOUT_LEARNER = {
    "additive_decomposition": functools.partial(
        AdditiveDecomposition, clustering_every=2
    ),
    "additive_decomposition_without_clusters": AdditiveDecomposition,
    "channel_gated": ChannelGated,
    "dynamically_expandable": functools.partial(
        DynamicallyExpandable, num_epochs=2, num_new_units=2
    ),
    "progressive": Progressive,
}
LEARNERS = {
    "hps": HardParameterSharing,
    "tf": TensorFactorization,
    "dfcnn": DeconvFactorization,
}
# Every method with one base learner, every base learner with one method.
WITH_LEARNER = [(m, "dfcnn") for m in METHODS] + [
    (method, learner)
    for method in ("lasem", "brute_force", "darts")
    for learner in ("hps", "tf")
]
GOLDENS = WITH_LEARNER + [(m, "none") for m in WITHOUT_LEARNER]
TASKS = [
    tiny.task("first", seed=1),
    tiny.task("second", seed=2, num_classes=4),
    tiny.task("third", seed=3),
]


def test_every_method_of_the_library_is_under_the_suite():
    under_it = {
        getattr(make, "func", make)
        for make in (*METHODS.values(), *WITHOUT_LEARNER.values())
    }
    in_library = {
        thing
        for thing in vars(lasem_tf.methods).values()
        if isinstance(thing, type)
        and issubclass(thing, LifelongMethod)
        and not inspect.isabstract(thing)
    }
    assert in_library == under_it


def made(golden, seed=5, dropout=0.3, rate=0.05, **kwargs):
    name, learner = golden
    make = WITHOUT_LEARNER.get(name)
    if make is None:
        make = functools.partial(METHODS[name], sharing=LEARNERS[learner]())
    return make(
        functools.partial(tiny.backbone, dropout=dropout),
        optimizer=functools.partial(RMSprop, learning_rate=rate),
        learning_rate_decay=0.25,
        head=tiny.head,
        seed=seed,
        **kwargs,
    )


def train(method, task_index, epoch):
    batches = tiny.batches(TASKS[task_index])
    return method.train_epoch(batches, 2 * task_index + epoch)


def images_of(task_index):
    return next(iter(tiny.batches(TASKS[task_index], 12)))[0]


def answers(method, task_index):
    return method.predictor(task_index)(images_of(task_index)).numpy()


def head_of(method, task_index):
    return method.task_model(task_index).layers[-1].get_weights()


def values(variables):
    return [variable.numpy() for variable in variables]


def size(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


@pytest.fixture(scope="module", params=GOLDENS, ids="-".join)
def story(request, tmp_path_factory):
    """Three tasks; stopped in the second one and continued anew."""
    told = types.SimpleNamespace(folder=tmp_path_factory.mktemp("story"))
    told.golden = request.param
    told.method = method = made(request.param)
    method.begin_task(TASKS[0])
    told.first_results = [train(method, 0, epoch) for epoch in range(2)]
    told.trainers = [method._trainer]
    method.end_task()
    told.head = head_of(method, 0)
    if request.param in WITH_LEARNER:
        network = told.trainers[0].network
        told.layers = list(network.selective_layers)
        told.own_weights = values(method.parameters(0).own_weights)
    told.stored = method.num_parameters

    method.begin_task(TASKS[1])
    told.stored_in_the_next = method.num_parameters
    told.trainers.append(method._trainer)
    told.second_result = train(method, 1, 0)
    told.rate_in_force = float(method._trainer.optimizer.learning_rate)
    told.model = method.task_model(0)
    told.model_answers = told.model(images_of(0)).numpy()
    told.answers = answers(method, 0)
    path = str(told.folder / "state")
    tf.train.Checkpoint(**method.state).write(path)
    told.continued = made(request.param)
    told.continued.rebuild_task(TASKS[0], method.selection(0))
    told.continued.begin_task(TASKS[1])
    reader = tf.train.Checkpoint(**told.continued.state)
    reader.read(path).assert_consumed()
    told.restored = [
        (values(module.items), values(told.continued.state[name].items))
        for name, module in method.state.items()
    ]

    told.last, told.continued_last = (
        [*_to_the_end(either)] for either in (method, told.continued)
    )
    return told


@pytest.fixture
def story_with_learner(story):
    if story.golden not in WITH_LEARNER:
        pytest.skip("shares in a way of its own")
    return story


def _to_the_end(method):
    """The third task is of the first one's architecture."""
    yield train(method, 1, 1)
    method.end_task()
    method.begin_task(TASKS[2])
    yield train(method, 2, 0)
    method.end_task()


def test_the_learning_rate_decays_with_the_epochs_of_all_tasks(story):
    results = [*story.first_results, story.second_result, *story.last]
    rates = [0.05 / (1 + 0.25 * epoch) for epoch in range(5)]
    assert [r.learning_rate for r in results] == pytest.approx(rates)
    assert story.rate_in_force == pytest.approx(rates[2])


def test_tasks_may_differ_in_their_number_of_classes(story):
    assert answers(story.method, 0).shape == (12, 3)
    assert answers(story.method, 1).shape == (12, 4)
    assert np.isfinite(answers(story.method, 1)).all()


def test_every_value_of_the_state_is_restored(story):
    for saved, restored in story.restored:
        for a, b in zip(saved, restored, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_continued_run_is_the_run_left_alone(story):
    """Where tasks before left their trainer does not matter either."""
    for a, b in zip(story.last, story.continued_last, strict=True):
        assert a.loss == b.loss
        np.testing.assert_array_equal(a.posterior, b.posterior)
    for task_index in range(3):
        np.testing.assert_array_equal(
            answers(story.method, task_index),
            answers(story.continued, task_index),
        )
        selections = {
            m.selection(task_index) for m in (story.method, story.continued)
        }
        assert len(selections) == 1


def test_the_head_of_an_earlier_task_stays(story):
    for a, b in zip(head_of(story.method, 0), story.head, strict=True):
        np.testing.assert_array_equal(a, b)


def test_own_weights_of_an_earlier_task_stay(story_with_learner):
    story = story_with_learner
    now = values(story.method.parameters(0).own_weights)
    for a, b in zip(now, story.own_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_task_model_is_a_copy_that_training_does_not_move(story):
    np.testing.assert_allclose(story.model_answers, story.answers, atol=1e-5)
    np.testing.assert_array_equal(
        story.model(images_of(0)).numpy(), story.model_answers
    )


def test_export_answers_as_the_method_does(story):
    path = story.folder / "task_01"
    export_task(story.method.task_model(1), TASKS[1], path)
    pixels = np.stack([image for image, _ in TASKS[1].test])
    exported = load_task(path)(pixels)["logits"]
    np.testing.assert_allclose(exported, answers(story.method, 1), atol=1e-5)


def test_results_name_the_candidates_and_sum_to_one(story_with_learner):
    story = story_with_learner
    for result in story.first_results:
        num = len(result.configurations)
        assert result.prior.shape == result.posterior.shape == (num,)
        assert result.prior.sum() == pytest.approx(1, abs=1e-5)
        assert result.posterior.sum() == pytest.approx(1, abs=1e-5)
    names = map(str, story.first_results[0].configurations)
    assert story.method.selected_configuration(0) in names


def test_methods_without_a_learner_choose_no_configuration(story):
    if story.golden in WITH_LEARNER:
        assert story.method.learner == story.golden[1]
    else:
        assert story.method.learner == "none"
        assert not story.method.has_base_learner
        assert story.first_results[0].configurations == ()
        assert story.method.selected_configuration(0) is None


def test_a_task_costs_one_trace(story):
    """Tasks of one architecture even share it, where the method can."""
    for trainer in story.trainers:
        assert trainer.compiled_epoch.num_traces == 1


def test_parameters_are_counted_when_a_task_has_ended(story):
    assert 0 < story.stored < story.method.num_parameters
    assert story.stored_in_the_next == story.stored


def test_storage_is_that_of_one_network_per_task(story_with_learner):
    """Appendix F: of each layer's two slots the larger one at most.

    And the knowledge base once. The third task is of the first one's
    architecture.
    """
    story = story_with_learner
    first, second = [
        size(trainer.network.other_weights)
        + sum(
            max(size(la.shared.task_mapping), size(la.task.task_mapping))
            for la in trainer.network.selective_layers
        )
        for trainer in story.trainers
    ]
    shared = [size(la.shared.knowledge_base) for la in story.layers]
    used = sum(
        num
        for letter, num in zip(story.method.selection(0), shared, strict=True)
        if letter == "S"
    )
    assert 0 < story.stored - used <= first
    stored = story.method.num_parameters
    assert 0 < stored <= 2 * first + second + sum(shared)


def test_nothing_else_is_kept_when_a_task_has_ended(story):
    """APD-Net keeps zeros too, and does not count them."""
    kept = [v for module in story.method.state.values() for v in module.items]
    num_kept = sum(np.count_nonzero(value) for value in values(kept))
    if not story.golden[0].startswith("additive_decomposition"):
        num_kept = size(kept)
    # What no task uses of the knowledge base; evidence, flags of filters.
    beside = 30
    if story.golden in WITH_LEARNER:
        beside += sum(size(la.shared.knowledge_base) for la in story.layers)
    assert 0 <= num_kept - story.method.num_parameters <= beside


def test_a_run_is_a_function_of_its_seed(story):
    """Of a whole task and what follows it, not of its first epoch alone."""
    again, other = made(story.golden), made(story.golden, seed=6)
    for method in (again, other):
        method.begin_task(TASKS[0])
    losses = [train(again, 0, epoch).loss for epoch in range(2)]
    again.end_task()
    again.begin_task(TASKS[1])
    losses.append(train(again, 1, 0).loss)
    results = [*story.first_results, story.second_result]
    assert losses == [result.loss for result in results]
    assert again.selection(0) == story.method.selection(0)
    assert abs(train(other, 0, 0).loss - losses[0]) > 1e-4


# Channel gating draws random numbers, of which XLA has its own; a bfloat16
# E-step rounds in another order.
COMPILED = [
    ("lasem", "tf"),
    ("lasem_rare_e_steps", "hps"),
    ("lasem_average", "dfcnn"),
    ("lasem_related", "dfcnn"),
    ("static", "dfcnn"),
    ("fixed_posterior", "dfcnn"),
    ("brute_force", "hps"),
    ("progressive", "none"),
    ("additive_decomposition", "none"),
]


@pytest.mark.parametrize("golden", COMPILED, ids="-".join)
def test_xla_computes_the_same(golden):
    # APD-Net's losses grow at the usual rate, and rounding with them.
    rate = 0.005 if golden[0] == "additive_decomposition" else 0.05
    losses, found = [], []
    for jit_compile in (False, True):
        method = made(golden, dropout=0.0, rate=rate, jit_compile=jit_compile)
        for index in range(2):
            method.begin_task(TASKS[index])
            losses.append([train(method, index, e).loss for e in range(2)])
            assert method._trainer.compiled_epoch.num_traces == 1
            assert method._with_xla == jit_compile
            method.end_task()
        found.append([answers(method, index) for index in range(2)])
    np.testing.assert_allclose(losses[2:], losses[:2], rtol=1e-4)
    for xla, plain in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(xla, plain, atol=1e-4)


def test_xla_trains_what_draws_random_numbers():
    """Other ones than without it, so only what they lead to is alike."""
    losses = []
    for jit_compile in (False, True):
        method = made(("channel_gated", "none"), jit_compile=jit_compile)
        method.begin_task(TASKS[0])
        losses.append([train(method, 0, epoch).loss for epoch in range(20)])
        assert method._trainer.compiled_epoch.num_traces == 1
    plain, xla = np.array(losses)
    assert np.all(plain != xla), "XLA took no part"
    assert plain[-5:].mean() < 0.8 * plain[0]
    assert xla[-5:].mean() < 0.8 * xla[0]
    np.testing.assert_allclose(xla.mean(), plain.mean(), rtol=0.15)


def test_xla_compiles_no_epoch_anew():
    """It would if a step indexed with what it has computed.

    Nor does it for another number of mini-batches.
    """
    method = made(("lasem_rare_e_steps", "hps"), jit_compile=True)
    method.begin_task(TASKS[0])
    seconds = []
    for epoch in range(6):
        batches = tiny.batches(TASKS[0]).take(1 + epoch % 3)
        began = time.perf_counter()
        method.train_epoch(batches, epoch)
        seconds.append(time.perf_counter() - began)
    assert np.median(seconds[1:]) < seconds[0] / 5


@pytest.mark.parametrize("name", ["darts", "dynamically_expandable"])
def test_what_xla_cannot_compile_says_so(name):
    learner = "hps" if name in METHODS else "none"
    with pytest.raises(InputError, match="XLA cannot compile"):
        made((name, learner), jit_compile=True)


def test_xla_is_left_to_the_device_unless_asked_for(monkeypatch):
    gpus = []
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    assert not made(("lasem", "hps"))._with_xla
    gpus.append("GPU:0")
    assert made(("lasem", "hps"))._with_xla
    assert not made(("darts", "hps"))._with_xla
    assert made(("lasem", "hps"), jit_compile=False)._floor is None
    assert not made(("lasem", "hps"), jit_compile=False)._with_xla
    with pytest.raises(InputError, match="`jit_compile` must be one of"):
        made(("lasem", "hps"), jit_compile="yes")
