import importlib

import pytest

from lasem_tf.recipes import REPOSITORY


@pytest.fixture
def script(monkeypatch):
    """Imports a module of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module
