"""Importing the data package must stay quick."""

import subprocess
import sys


def test_heavy_libraries_are_imported_only_when_needed():
    program = (
        "import sys, lasem_tf.data;"
        "heavy = ('tensorflow_datasets', 'sklearn.datasets');"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]", result.stderr
