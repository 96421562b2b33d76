"""What the task-specific parts of several tasks have in common."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans


def consolidate(
    parts: np.ndarray, num_clusters: int, largest_gap: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits each task's part into what its cluster shares and what is left.

    Tasks whose parts are alike are found with k-means. Within a cluster,
    elements that differ by no more than `largest_gap` between its tasks are
    replaced by the middle of their range and stored once.

    Source: Yoon, Kim, Yang & Hwang (2020), Section 3.2, Eq. 4; the middle of
    the range in place of the mean is the authors' code. For each cluster g of
    several tasks, element by element,

        local_g = (max_t tau_t + min_t tau_t) / 2
            if max_t tau_t - min_t tau_t <= beta, else 0
        tau_t   = 0 if local_g took its place, else tau_t

    Args:
        parts: float32 [num_tasks, ...]. tau of each task.
        num_clusters: At most so many; never more than there are tasks.
        largest_gap: beta, at least 0.
        seed: Of k-means.

    Returns:
        What clusters share and what is left to each task, both of the shape of
        `parts`. A task that is alone in its cluster keeps all it has. No
        element of their sum differs from `parts` by more than half of
        `largest_gap`.
    """
    num_tasks = len(parts)
    clusters = KMeans(
        min(num_clusters, num_tasks), n_init=10, random_state=seed
    ).fit_predict(parts.reshape(num_tasks, -1))
    local = np.zeros_like(parts)
    left = parts.copy()
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        if len(members) > 1:
            low, high = parts[members].min(axis=0), parts[members].max(axis=0)
            alike = high - low <= largest_gap
            local[members] = np.where(alike, (high + low) / 2, 0)
            left[members] = np.where(alike, 0, parts[members])
    return local, left
