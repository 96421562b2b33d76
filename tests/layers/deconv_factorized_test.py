import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.layers import DeconvFactorization
from tests.layers import naive, shapes


@pytest.mark.parametrize("kernel_size", shapes.KERNEL_SIZES)
def test_filters_are_a_transposed_convolution_and_a_contraction(kernel_size):
    layer = shapes.convolution(kernel_size, channels_in=3, channels_out=4)
    source = DeconvFactorization([5], [6]).filter_source(0, layer)
    (base,) = (v.numpy().astype(np.float64) for v in source.knowledge_base)
    deconvolution, deconvolution_bias, contraction, expected_bias = (
        v.numpy().astype(np.float64) for v in source.task_mapping
    )
    grown = naive.transposed_convolution(base, deconvolution, kernel_size)
    grown += deconvolution_bias
    expected = np.tensordot(grown, contraction, axes=1)
    kernel, bias = source()
    np.testing.assert_allclose(kernel, expected, rtol=5e-4, atol=1e-6)
    np.testing.assert_array_equal(bias, expected_bias.astype(np.float32))


@pytest.mark.parametrize(
    ("kernel_size", "base_size"),
    [
        ((1, 1), (1, 1)),
        ((3, 3), (2, 2)),
        ((5, 5), (3, 3)),
        ((11, 11), (6, 6)),
        ((2, 2), (1, 1)),
        ((3, 5), (2, 3)),
        ((4, 1), (2, 1)),
    ],
)
def test_base_is_half_the_filter_and_channels_are_thirds_of_in_plus_out(
    kernel_size, base_size
):
    layer = shapes.convolution(kernel_size, channels_in=7, channels_out=4)
    source = DeconvFactorization().filter_source(0, layer)
    # 11 / 3 and 22 / 3, rounded up.
    assert tuple(source.knowledge_base[0].shape) == (*base_size, 4)
    assert [tuple(v.shape) for v in source.task_mapping] == [
        (3, 3, 8, 4),
        (8,),
        (8, 7, 4),
        (4,),
    ]


CIFAR = ((3, 3, 32), (3, 32, 32), (3, 32, 64), (3, 64, 64))
OFFICE_HOME = ((11, 3, 64), (5, 64, 256), (3, 256, 256), (3, 256, 256))
STL10 = (
    (3, 3, 32),
    (3, 32, 32),
    (3, 32, 64),
    (3, 64, 64),
    (3, 64, 128),
    (3, 128, 128),
)


@pytest.mark.parametrize(
    ("layers", "base_channels", "deconv_channels", "bases", "mappings"),
    [
        (
            CIFAR,
            (16, 24, 32, 36),
            (24, 48, 64, 72),
            [64, 96, 128, 144],
            # 9 c_D c_K + c_D + c_D c_in c_out + c_out
            [5816, 59600, 149632, 318376],
        ),
        (
            OFFICE_HOME,
            (24, 64, 64, 64),
            (48, 128, 128, 128),
            [864, 576, 256, 256],
            [19696, 2171264, 8462720, 8462720],
        ),
        (
            STL10,
            (12, 24, 32, 48, 64, 96),
            (24, 48, 64, 96, 128, 192),
            [48, 96, 128, 192, 256, 384],
            [4952, 59600, 149632, 434848, 1122560, 3311936],
        ),
    ],
)
def test_sizes_by_the_tables_of_the_authors(
    layers, base_channels, deconv_channels, bases, mappings
):
    rule = DeconvFactorization(base_channels, deconv_channels)
    sources = [
        rule.filter_source(index, shapes.convolution(*layer))
        for index, layer in enumerate(layers)
    ]
    assert [shapes.size(s.knowledge_base) for s in sources] == bases
    assert [shapes.size(s.task_mapping) for s in sources] == mappings


def test_sizes_by_the_rule_of_the_paper():
    """CIFAR: c_K = 12, 22, 32, 43 and c_D = 24, 43, 64, 86."""
    sources = [
        DeconvFactorization().filter_source(0, shapes.convolution(*layer))
        for layer in CIFAR
    ]
    assert [shapes.size(s.knowledge_base) for s in sources] == [
        4 * 12,
        4 * 22,
        4 * 32,
        4 * 43,
    ]
    assert [shapes.size(s.task_mapping) for s in sources] == [
        4952,  # 9 * 24 * 12 + 24 + 24 * 3 * 32 + 32
        52621,  # 9 * 43 * 22 + 43 + 43 * 32 * 32 + 32
        149632,  # 9 * 64 * 32 + 64 + 64 * 32 * 64 + 64
        385688,  # 9 * 86 * 43 + 86 + 86 * 64 * 64 + 64
    ]


def test_every_parameter_is_glorot_uniform_biases_too():
    layer = shapes.convolution(3, channels_in=32, channels_out=64)
    source = DeconvFactorization().filter_source(0, layer)
    limits = {
        "base": np.sqrt(6 / (2 * 2 + 2 * 32)),
        "deconvolution": np.sqrt(6 / (9 * 64 + 9 * 32)),
        "deconvolution_bias": np.sqrt(6 / (64 + 64)),
        "contraction": np.sqrt(6 / (64 * 32 + 64 * 64)),
        "bias": np.sqrt(6 / (64 + 64)),
    }
    assert [v.name for v in source.weights] == list(limits)
    for variable in source.weights:
        limit = limits[variable.name]
        assert np.abs(variable).max() <= limit, variable.name
        assert np.abs(variable).max() > 0.8 * limit, variable.name


@pytest.mark.parametrize("channels", [[4, 0], [4, -1], [4, 2.0], ["4"]])
@pytest.mark.parametrize("name", ["base_channels", "deconv_channels"])
def test_refuses_channels_that_are_not_positive(name, channels):
    with pytest.raises(
        InputError, match=f"`{name}` must hold one positive whole number"
    ):
        DeconvFactorization(**{name: channels})


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("name", ["base_channels", "deconv_channels"])
def test_refuses_another_number_of_layers(name, num_layers):
    rule = DeconvFactorization(**{name: [4, 4]})
    rule.check_fits(2)
    message = rf"the network's {num_layers} conv.* Received: {name}=\(4, 4\)\."
    with pytest.raises(InputError, match=message):
        rule.check_fits(num_layers)
