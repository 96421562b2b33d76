"""The timing scripts measure what they say."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from lasem_tf import layers
from lasem_tf.methods import Lasem
from lasem_tf.recipes import REPOSITORY
from tests.methods import tiny

SCRIPT = REPOSITORY / "benchmarks" / "step_time.py"


@pytest.fixture
def yardstick(script):
    return script("one_network_per_configuration").OneNetworkPerConfiguration


def trained(method, likelihood):
    made = method(
        tiny.backbone,
        layers.TensorFactorization(orthogonality_weight=0.1),
        head=tiny.head,
        likelihood=likelihood,
    )
    task = tiny.task()
    made.begin_task(task)
    result = made.train_epoch(tiny.batches(task), 0)
    return made, result


@pytest.mark.parametrize("likelihood", ["joint", "mean"])
def test_the_yardstick_computes_what_the_library_does(yardstick, likelihood):
    slow, expected = trained(yardstick, likelihood)
    fast, result = trained(Lasem, likelihood)
    np.testing.assert_allclose(result.posterior, expected.posterior, rtol=1e-4)
    assert result.loss == pytest.approx(expected.loss, rel=1e-5)
    for a, b in zip(fast._trainer.weights, slow._trainer.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6, err_msg=a.path)


def test_step_time_prints_a_table_and_writes_every_sample(tmp_path):
    path = tmp_path / "new" / "step_time.json"
    flags = "--networks cifar --learners hps --batch_sizes 2".split()
    flags += "--rounds 3 --steps 1 --max_networks 15".split()
    result = subprocess.run(
        [sys.executable, SCRIPT, *flags, "--json", path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"cifar +\| hps +\| 2 +\| prefix tree", result.stdout)
    report = json.loads(path.read_text())
    (case,) = report["cases"]
    assert set(case["milliseconds"]) == {
        "static",
        "prefix tree",
        "undecided",
        "few",
        "decided",
        "settled",
    }
    for samples in case["milliseconds"].values():
        assert len(samples) == 3 and min(samples) > 0
