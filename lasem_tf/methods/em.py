"""The equations of LASEM: one function each, no state, in log space.

Symbols of the paper: c_i = a candidate configuration, pi(c_i) = its prior,
L_i = likelihood of the mini-batch under it, p_i = its posterior.
"""

from __future__ import annotations

import tensorflow as tf


def cross_entropies(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns `-log p(y_n | x_n, c_i)` for every candidate and example.

    Args:
        labels: int32 [batch].
        logits: float32 [num_configurations, batch, num_classes].

    Returns:
        float32 [num_configurations, batch]. Natural logarithm, at least 0.
    """
    tf.debugging.assert_shapes([(labels, ("B",)), (logits, ("C", "B", "K"))])
    every = tf.broadcast_to(labels, tf.shape(logits)[:2])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(every, logits)


def joint_log_likelihood(losses: tf.Tensor) -> tf.Tensor:
    """Returns the log-likelihood of a mini-batch of independent examples.

    Source: Lee, Behpour & Eaton (2021), Eq. 2:

        log L_i = sum_n log p(y_n | x_n, c_i)

    Args:
        losses: float32 [num_configurations, batch], of `cross_entropies`.

    Returns:
        float32 [num_configurations]. At most 0.
    """
    return -tf.reduce_sum(losses, axis=1)


def mean_log_likelihood(losses: tf.Tensor) -> tf.Tensor:
    """Returns the log of the mean probability of the true class.

    What the authors' code uses in place of Eq. 2; it favours one
    configuration far less sharply.

        L_i = mean_n p(y_n | x_n, c_i)

    Args:
        losses: float32 [num_configurations, batch], of `cross_entropies`.

    Returns:
        float32 [num_configurations]. At most 0.
    """
    batch = tf.cast(tf.shape(losses)[1], losses.dtype)
    return tf.reduce_logsumexp(-losses, axis=1) - tf.math.log(batch)


LIKELIHOODS = {"joint": joint_log_likelihood, "mean": mean_log_likelihood}


def e_step(log_likelihood: tf.Tensor, log_prior: tf.Tensor) -> tf.Tensor:
    """Returns the posterior over configurations for one mini-batch.

    Normalised in log space, so that long mini-batches do not underflow.

    Source: Lee, Behpour & Eaton (2021), E-step of Algorithm 1:

        p_i  proportional to  pi(c_i) L_i

    Args:
        log_likelihood: float32 [num_configurations].
        log_prior: float32 [num_configurations]. Its exponential sums to 1.

    Returns:
        float32 [num_configurations]. In [0, 1]; sums to 1.

    Example:

    >>> e_step(tf.math.log([0.9, 0.1]), tf.math.log([0.5, 0.5])).numpy()
    array([0.9, 0.1], dtype=float32)
    """
    tf.debugging.assert_shapes([(log_likelihood, ("C",)), (log_prior, ("C",))])
    return tf.nn.softmax(log_likelihood + log_prior)


def count_log_prior(counts: tf.Tensor) -> tf.Tensor:
    """Returns the prior from how often each candidate was the most probable.

    Source: Lee, Behpour & Eaton (2021), Eq. 1:

        pi(c_i) = (n_i + 1) / sum_j (n_j + 1)

    Args:
        counts: float32 [num_configurations]. Mini-batches of this task in
            which the candidate had the highest posterior.

    Returns:
        float32 [num_configurations]. log pi.

    Example:

    >>> tf.exp(count_log_prior(tf.constant([2.0, 0.0, 0.0, 0.0]))).numpy()
    array([0.5       , 0.16666667, 0.16666667, 0.16666667], dtype=float32)
    """
    return tf.math.log((counts + 1) / tf.reduce_sum(counts + 1))


def average_log_prior(
    posterior_sum: tf.Tensor, num_batches: tf.Tensor
) -> tf.Tensor:
    """Returns the running mean of this task's posteriors.

    Named in the paper as an alternative to Eq. 1. The uniform prior before
    the first mini-batch counts as one posterior, so that no candidate is ever
    ruled out:

        pi(c_i) = (1 / C + sum_b p_i(b)) / (1 + num_batches)

    Args:
        posterior_sum: float32 [num_configurations].
        num_batches: float32 []. How many posteriors were summed.

    Returns:
        float32 [num_configurations]. log pi.
    """
    uniform = 1 / tf.cast(tf.shape(posterior_sum)[0], posterior_sum.dtype)
    return tf.math.log((uniform + posterior_sum) / (1 + num_batches))


def most_probable(posterior: tf.Tensor) -> tf.Tensor:
    """Returns which candidate is the most probable, as a one-hot vector.

    Args:
        posterior: float32 [num_configurations], candidates that share more
            first: the first of several equals is the one sharing most.

    Returns:
        float32 [num_configurations].
    """
    return tf.one_hot(tf.argmax(posterior), tf.shape(posterior)[0])


def not_negligible(posterior: tf.Tensor, floor: float) -> tf.Tensor:
    """Returns which candidates the M-step cannot do without.

    The least probable ones whose posteriors add up to `floor` at most are
    left out, but never all. Gradients then differ from Eq. 3 by at most
    `floor` times the largest gradient of a candidate that was left out.

    Args:
        posterior: float32 [num_configurations].
        floor: In [0, 1]. 0 leaves out only what has no probability at all.

    Returns:
        bool [num_configurations], at least one of them true.

    Example:

    >>> not_negligible(tf.constant([1e-7, 0.3, 0.7, 1e-5]), 1e-6).numpy()
    array([False,  True,  True,  True])
    """
    order = tf.argsort(posterior, stable=True)
    mass = tf.cumsum(tf.gather(posterior, order))
    kept = tf.concat([mass[:-1] > floor, [True]], axis=0)
    return tf.gather(kept, tf.argsort(order))


def expected_loss(posterior: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
    """Returns the loss that the M-step descends.

    Its gradient is Eq. 3: the shared parameters of layer l are moved only by
    configurations that share it, its task-specific ones only by the others.

    Source: Lee, Behpour & Eaton (2021), Eq. 3:

        sum_i p_i mean_n CE(x_n, y_n; c_i),    p held constant

    Args:
        posterior: float32 [num_configurations].
        losses: float32 [num_configurations, batch], of `cross_entropies`.

    Returns:
        float32 []. Nats.
    """
    tf.debugging.assert_shapes([(posterior, ("C",)), (losses, ("C", "B"))])
    per_configuration = tf.reduce_mean(losses, axis=1)
    return tf.tensordot(tf.stop_gradient(posterior), per_configuration, axes=1)


def expected_penalty(
    posterior: tf.Tensor, masks: tf.Tensor, penalties: tf.Tensor
) -> tf.Tensor:
    """Returns each layer's penalty, weighted by how probably it applies.

        sum_l R_l P(c_l = 1) + R'_l P(c_l = 0)

    Args:
        posterior: float32 [num_configurations].
        masks: float32 [num_configurations, num_layers]. 1 where shared.
        penalties: float32 [2, num_layers]. R of the shared slots, R' of the
            task-specific ones.

    Returns:
        float32 [].
    """
    tf.debugging.assert_shapes(
        [(posterior, ("C",)), (masks, ("C", "L")), (penalties, (2, "L"))]
    )
    shared = tf.tensordot(tf.stop_gradient(posterior), masks, axes=1)  # [L]
    return tf.reduce_sum(shared * penalties[0] + (1 - shared) * penalties[1])
