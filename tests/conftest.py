import importlib
import os

import pytest

from lasem_tf.recipes import REPOSITORY

# Who sets it asks TensorFlow to talk; the programs under test are expected to
# say nothing of their own.
os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)


@pytest.fixture
def script(monkeypatch):
    """Imports a module of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def started(monkeypatch):
    """Takes the place of training; holds what would have been run."""
    from lasem_tf import experiment  # Not every test wants TensorFlow.

    started = []

    def run(method, stream, **settings):
        started.append({"method": method, "stream": stream, **settings})

    monkeypatch.setattr(experiment, "run", run)
    monkeypatch.setattr(experiment, "_print_results", lambda workdir: None)
    return started
