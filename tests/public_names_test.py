"""What `import lasem_tf` gives."""

import subprocess
import sys
import types

import pytest

import lasem_tf
from lasem_tf.recipes import REPOSITORY


@pytest.mark.parametrize("name", lasem_tf.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(lasem_tf, name)
    assert value.__doc__
    if not isinstance(value, types.ModuleType):
        assert value.__name__ == name


def test_names_are_what_they_say():
    from lasem_tf.experiment import run
    from lasem_tf.methods.lasem import Lasem
    from lasem_tf.networks import backbones

    assert lasem_tf.run is run
    assert lasem_tf.Lasem is Lasem
    assert lasem_tf.backbones is backbones


def test_all_names_are_listed_by_dir():
    assert set(lasem_tf.__all__) <= set(dir(lasem_tf))


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'Lassem'"):
        _ = lasem_tf.Lassem


def test_star_import_works_and_plain_import_loads_no_tensorflow():
    code = (
        "import sys, lasem_tf\n"
        "assert 'tensorflow' not in sys.modules\n"
        "from lasem_tf import *\n"
        "print(Lasem.__name__, data.digits.__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert result.stdout == "Lasem digits\n", result.stderr
