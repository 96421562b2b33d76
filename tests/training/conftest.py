"""Loads the helper next to it, which is no package's module."""

import importlib.util
import pathlib

import pytest


@pytest.fixture(scope="session")
def fake_run():
    path = pathlib.Path(__file__).with_name("fake_run.py")
    spec = importlib.util.spec_from_file_location("fake_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def left_alone(fake_run, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    path = tmp_path_factory.mktemp("left_alone") / "run"
    fake_run.make_runner(path).run()
    return path
