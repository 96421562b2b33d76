import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from lasem_tf.checks import InputError
from lasem_tf.transfer import (
    TransferConfiguration,
    all_configurations,
    candidate_configurations,
    grouped_configurations,
    more_sharing_first,
)

repeatable = hypothesis.settings(
    max_examples=40, derandomize=True, deadline=None
)


def parse(text, num_layers):
    return TransferConfiguration.parse(text, num_layers)


def names(configurations):
    return [str(c) for c in configurations]


@repeatable
@hypothesis.given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_letters_read_back_input_side_first(flags):
    text = "".join("S" if flag else "T" for flag in flags)
    configuration = parse(text, len(flags))
    assert configuration.shared == tuple(flags)
    assert str(configuration) == text
    assert len(configuration) == len(flags)
    assert configuration.num_shared == text.count("S")


@pytest.mark.parametrize(
    ("name", "num_layers", "letters"),
    [
        ("all", 4, "SSSS"),
        ("single_task", 3, "TTT"),
        ("alternating", 4, "TSTS"),  # layers {2, 4}
        ("alternating", 5, "TSTST"),
        ("alternating", 1, "T"),
        ("top_1", 4, "TTTS"),  # nearest the output
        ("top_3", 4, "TSSS"),
        ("bottom_1", 4, "STTT"),  # nearest the input
        ("bottom_3", 4, "SSST"),
        ("top_4", 4, "SSSS"),
        ("bottom_10", 12, "SSSSSSSSSSTT"),
    ],
)
def test_usual_names(name, num_layers, letters):
    assert str(parse(name, num_layers)) == letters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TSX", r"letters S .shared. and T .task-specific.*Received: 'TSX'"),
        ("tst", "Received: 'tst'. Pass for example 'TST'"),
        ("", "Received: ''"),
        ("TOP_2", "'top_K', 'bottom_K'. Received: 'TOP_2'"),
        ("TS", "per convolutional layer, here 3. Received: 'TS' with 2 let"),
        ("TSTS", "here 3. Received: 'TSTS' with 4 letters"),
        ("top_0", "'top_K' must share between 1 and 3 layers. Re.*'top_0'"),
        ("bottom_4", "'bottom_K' must share between 1 and 3 layers"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, 3)


@pytest.mark.parametrize("num_layers", range(1, 8))
def test_all_configurations_are_all_of_them_more_sharing_first(num_layers):
    configurations = all_configurations(num_layers)
    assert {c.shared for c in configurations} == set(
        itertools.product((True, False), repeat=num_layers)
    )
    assert len(configurations) == 2**num_layers
    counts = [c.num_shared for c in configurations]
    assert counts == sorted(counts, reverse=True)


def test_order_is_total_and_does_not_depend_on_the_order_given():
    expected = ["SSS", "SST", "STS", "TSS", "STT", "TST", "TTS", "TTT"]
    configurations = all_configurations(3)
    assert names(configurations) == expected
    for shuffled in itertools.islice(
        itertools.permutations(configurations), 0, 40320, 4001
    ):
        assert more_sharing_first(shuffled) == configurations


@st.composite
def partitions(draw):
    """A number of layers and its blocks, adjacent or not."""
    num_layers = draw(st.integers(1, 7))
    block_of = draw(
        st.lists(st.integers(0, 3), min_size=num_layers, max_size=num_layers)
    )
    blocks = [
        [layer for layer, b in enumerate(block_of, start=1) if b == block]
        for block in dict.fromkeys(block_of)
    ]
    return num_layers, blocks


@repeatable
@hypothesis.given(partitions())
def test_groups_hold_every_configuration_that_is_constant_inside_them(case):
    num_layers, blocks = case
    expected = [
        c
        for c in all_configurations(num_layers)
        if all(len({c.shared[k - 1] for k in block}) == 1 for block in blocks)
    ]
    configurations = grouped_configurations(num_layers, blocks)
    assert list(configurations) == expected
    assert len(configurations) == 2 ** len(blocks)


@pytest.mark.parametrize(
    "layer_groups",
    [
        [[1, 2]],
        [[1, 2], [2, 3]],
        [[1, 2], [3, 4]],
        [[0, 1, 2]],
        [[1, 2, 3], []],
        [],
        [1, 2, 3],
        [["1", 2, 3]],
        ["123"],
    ],
)
def test_refuses_groups_that_are_not_a_partition(layer_groups):
    with pytest.raises(InputError) as caught:
        grouped_configurations(3, layer_groups)
    assert str(caught.value) == (
        "`layer_groups` must name each of the layers 1 to 3 exactly once. "
        f"Received: layer_groups={layer_groups}. Put every layer into one "
        "group, for example `layer_groups=[[1, 2, 3]]`, and leave no group "
        "empty."
    )


@pytest.mark.parametrize(
    ("candidates", "layer_groups", "expected"),
    [
        ("full", None, ["SS", "ST", "TS", "TT"]),
        ("full", [[1, 2]], ["SS", "TT"]),
        ("TS", None, ["TS"]),
        ("all", None, ["SS"]),
        (["TT", "top_1", "SS"], None, ["SS", "TS", "TT"]),
        (("TS", "alternating", "top_1"), None, ["TS"]),
    ],
)
def test_candidate_sets(candidates, layer_groups, expected):
    found = candidate_configurations(candidates, 2, layer_groups)
    assert names(found) == expected


def test_refuses_an_empty_candidate_set():
    with pytest.raises(InputError, match="at least one configuration. Rec.*em"):
        candidate_configurations([], 3)


def test_refuses_groups_beside_a_list():
    with pytest.raises(
        InputError, match="goes with `candidates='full'` only. Received: cand"
    ):
        candidate_configurations(["SS"], 2, [[1, 2]])
