import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.methods import em

# Two candidates, three examples: the probability each gives to the truth.
PROBABILITIES = np.array([[0.5, 0.5, 0.5], [0.9, 0.9, 0.1]])
LOSSES = tf.constant(-np.log(PROBABILITIES), tf.float32)


def test_cross_entropies_are_minus_log_probability_of_the_true_class():
    logits = tf.math.log([[[0.2, 0.8], [0.6, 0.4]], [[0.5, 0.5], [0.1, 0.9]]])
    losses = em.cross_entropies(tf.constant([1, 0]), logits)
    np.testing.assert_allclose(
        losses, -np.log([[0.8, 0.6], [0.5, 0.1]]), rtol=1e-5
    )


def test_joint_likelihood_is_the_product_over_examples():
    np.testing.assert_allclose(
        np.exp(em.joint_log_likelihood(LOSSES)), [0.125, 0.081], rtol=1e-5
    )


def test_mean_likelihood_is_the_mean_over_examples():
    np.testing.assert_allclose(
        np.exp(em.mean_log_likelihood(LOSSES)), [0.5, 1.9 / 3], rtol=1e-5
    )


def test_the_two_likelihoods_can_disagree():
    assert np.argmax(em.joint_log_likelihood(LOSSES)) == 0
    assert np.argmax(em.mean_log_likelihood(LOSSES)) == 1


def test_posterior_is_prior_times_likelihood_normalised():
    posterior = em.e_step(tf.math.log([0.2, 0.4]), tf.math.log([0.75, 0.25]))
    np.testing.assert_allclose(posterior, [0.6, 0.4], rtol=1e-6)


def test_posterior_survives_a_likelihood_that_underflows():
    posterior = em.e_step(
        tf.constant([-1000.0, -1001.0]), tf.math.log([0.5, 0.5])
    )
    np.testing.assert_allclose(posterior, [0.731059, 0.268941], rtol=1e-5)


def test_permuting_candidates_permutes_the_posterior():
    rng = np.random.default_rng(0)
    fit = rng.normal(size=7).astype(np.float32)
    prior = np.log(rng.dirichlet(np.ones(7))).astype(np.float32)
    order = rng.permutation(7)
    posterior = em.e_step(tf.constant(fit), tf.constant(prior)).numpy()
    permuted = em.e_step(tf.constant(fit[order]), tf.constant(prior[order]))
    np.testing.assert_allclose(posterior[order], permuted, atol=1e-6)
    assert posterior.min() >= 0
    assert posterior.sum() == pytest.approx(1, abs=1e-6)


def test_count_prior_is_equation_one():
    log_prior = em.count_log_prior(tf.constant([3.0, 0.0, 1.0]))
    np.testing.assert_allclose(np.exp(log_prior), [4 / 7, 1 / 7, 2 / 7], 1e-6)


def test_average_prior_counts_the_uniform_start_as_one_posterior():
    posteriors = np.array([[0.9, 0.1], [0.7, 0.3]])
    log_prior = em.average_log_prior(
        tf.constant(posteriors.sum(axis=0), tf.float32), tf.constant(2.0)
    )
    np.testing.assert_allclose(np.exp(log_prior), [0.7, 0.3], rtol=1e-6)
    start = em.average_log_prior(tf.zeros([4]), tf.constant(0.0))
    np.testing.assert_allclose(np.exp(start), [0.25] * 4, rtol=1e-6)


def test_the_first_of_equals_is_the_most_probable():
    np.testing.assert_array_equal(
        em.most_probable(tf.constant([0.2, 0.4, 0.4])), [0, 1, 0]
    )


def test_prior_after_a_scripted_sequence_of_mini_batches():
    counts = tf.zeros([3])
    for posterior in ([0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.4, 0.2, 0.4]):
        counts += em.most_probable(tf.constant(posterior))
    np.testing.assert_allclose(
        np.exp(em.count_log_prior(counts)), [2 / 6, 3 / 6, 1 / 6], rtol=1e-6
    )


@pytest.mark.parametrize("floor", [0.0, 1e-8, 1e-3, 0.2, 1.0])
def test_least_probable_candidates_are_negligible_up_to_the_floor(floor):
    rng = np.random.default_rng(0)
    for _ in range(20):
        posterior = rng.dirichlet([0.03] * 9).astype(np.float32)
        posterior[posterior < 1e-30] = 0.0  # As TensorFlow takes them.
        kept = em.not_negligible(tf.constant(posterior), floor).numpy()
        assert kept.any()
        left_out = posterior[~kept].astype(np.float64)
        assert left_out.sum() <= floor + 1e-6 * floor
        least = posterior[kept].min()
        assert least >= left_out.max(initial=0.0)
        if kept.sum() > 1:
            assert left_out.sum() + least > floor * (1 - 1e-6)


def test_gradient_of_the_expected_loss_is_the_weighted_gradient():
    weights = tf.Variable([1.0, -2.0])
    posterior = tf.constant([0.3, 0.7])
    with tf.GradientTape(persistent=True) as tape:
        losses = tf.stack([weights * 2.0, weights**2])  # [C, B]
        loss = em.expected_loss(posterior, losses)
        each = [tf.reduce_mean(losses[0]), tf.reduce_mean(losses[1])]
    expected = sum(
        p * tape.gradient(one, weights).numpy()
        for p, one in zip([0.3, 0.7], each, strict=True)
    )
    np.testing.assert_allclose(tape.gradient(loss, weights), expected, 1e-6)


def test_expected_loss_holds_the_posterior_constant():
    fit = tf.Variable([0.0, 1.0])
    with tf.GradientTape() as tape:
        loss = em.expected_loss(tf.nn.softmax(fit), LOSSES)
    assert tape.gradient(loss, fit) is None


def test_expected_penalty_weights_each_layer_by_its_marginal():
    # P(c_1 = 1) = 0.2 + 0.3, P(c_2 = 1) = 0.2.
    penalty = em.expected_penalty(
        tf.constant([0.2, 0.3, 0.5]),
        tf.constant([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
        tf.constant([[10.0, 100.0], [1.0, 2.0]]),
    )
    assert float(penalty) == pytest.approx(5 + 20 + 0.5 + 1.6)


def test_refuses_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match="must have size"):
        em.e_step(tf.zeros([3]), tf.zeros([2]))
    with pytest.raises(ValueError, match="must have size"):
        em.expected_loss(tf.zeros([3]), tf.zeros([2, 5]))
