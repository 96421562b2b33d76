import pytest

from lasem_tf.training.bindings import first_difference

_OPERATIVE = """\
# Macros:
# ==============================================================================
DATA_DIR = '/data'
NUM_EPOCHS = 20

# Parameters for lasem:
# ==============================================================================
lasem.candidates = \\
    ['SSTT',
     'TTSS']
paper/lasem.likelihood = 'joint'
run_experiment.workdir = '/runs/a'
"""


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("'/data'", "'/elsewhere'"),
        ("'/runs/a'", "'/runs/b'"),
        ("DATA_DIR = '/data'\n", ""),
        ("# Macros:\n", ""),
        ("['SSTT',\n     'TTSS']", "['SSTT', 'TTSS']"),
    ],
)
def test_places_and_layout_do_not_count(before, now):
    changed = _OPERATIVE.replace(before, now)

    assert changed != _OPERATIVE
    assert first_difference(_OPERATIVE, changed) is None


@pytest.mark.parametrize(
    ("before", "now", "difference"),
    [
        ("= 20", "= 21", ("NUM_EPOCHS", "20", "21")),
        (
            "'TTSS'",
            "'TTTT'",
            ("lasem.candidates", "['SSTT', 'TTSS']", "['SSTT', 'TTTT']"),
        ),
        ("'joint'", "'mean'", ("paper/lasem.likelihood", "'joint'", "'mean'")),
        ("NUM_EPOCHS = 20\n", "", ("NUM_EPOCHS", "20", "(not set)")),
    ],
)
def test_names_the_binding_with_both_values(before, now, difference):
    changed = _OPERATIVE.replace(before, now)

    assert first_difference(_OPERATIVE, changed) == difference


def test_names_a_binding_that_only_the_new_text_has():
    added = _OPERATIVE + "lasem.seed = 1\n"

    difference = ("lasem.seed", "(not set)", "1")
    assert first_difference(_OPERATIVE, added) == difference


def test_the_first_of_several_differences_is_named():
    changed = _OPERATIVE.replace("20", "21").replace("joint", "mean")

    assert first_difference(_OPERATIVE, changed)[0] == "NUM_EPOCHS"
