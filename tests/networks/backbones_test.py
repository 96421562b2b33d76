import keras
import numpy as np
import pytest

from lasem_tf.networks import backbones

IMAGE_SHAPES = {
    "cifar": (32, 32, 3),
    "office_home": (128, 128, 3),
    "stl10": (96, 96, 3),
    "stl10_nine_layers": (96, 96, 3),
    "digits": (8, 8, 1),
}


def made(name):
    return getattr(backbones, name)(IMAGE_SHAPES[name])


def table(model):
    """The network as PROTOCOL.md writes it down."""
    pools, convolutions, dense = [], [], []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            convolutions.append(layer)
            pools.append(1)
        elif isinstance(layer, keras.layers.MaxPooling2D):
            assert layer.strides == layer.pool_size == (layer.pool_size[0],) * 2
            assert layer.padding == "same"
            pools[-1] = layer.pool_size[0]
        elif isinstance(layer, keras.layers.Dense):
            dense.append(layer.units)
    for layer in convolutions:
        assert (layer.strides, layer.padding) == ((1, 1), "same")
        assert layer.kernel_size[0] == layer.kernel_size[1]
    return (
        [layer.kernel_size[0] for layer in convolutions],
        [layer.filters for layer in convolutions],
        pools,
        dense,
    )


@pytest.mark.parametrize(
    ("name", "kernels", "channels", "pools", "dense"),
    [
        ("cifar", [3] * 4, [32, 32, 64, 64], [1, 2, 1, 2], [64]),
        (
            "office_home",
            [11, 5, 3, 3],
            [64, 256, 256, 256],
            [3, 3, 2, 2],
            [256, 64],
        ),
        (
            "stl10",
            [3] * 6,
            [32, 32, 64, 64, 128, 128],
            [1, 3, 1, 3, 1, 3],
            [128, 16],
        ),
        (
            "stl10_nine_layers",
            [3] * 9,
            [32, 32, 32, 64, 64, 64, 128, 128, 128],
            [1, 1, 3, 1, 1, 3, 1, 1, 3],
            [128, 16],
        ),
        ("digits", [3] * 3, [16, 16, 32], [1, 2, 1], [32]),
    ],
)
def test_networks_are_those_of_the_paper(name, kernels, channels, pools, dense):
    assert table(made(name)) == (kernels, channels, pools, dense)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # Convolutions 896 + 9248 + 18496 + 36928, dense 8 * 8 * 64 * 64 + 64.
        ("cifar", 65568 + 262208),
        # 128 -> 43 -> 15 -> 8 -> 4: dense 4 * 4 * 256 * 256 + 256 and 16448.
        ("office_home", 23296 + 409856 + 2 * 590080 + 1048832 + 16448),
        # 96 -> 32 -> 11 -> 4: dense 4 * 4 * 128 * 128 + 128 and 2064.
        ("stl10", 65568 + 73856 + 147584 + 262272 + 2064),
    ],
)
def test_sizes_by_hand(name, size):
    assert made(name).count_params() == size


def test_a_layer_convolves_adds_the_bias_rectifies_and_pools():
    """Two channels of a 1 x 1 kernel: everything can be done by hand."""
    model = backbones.plain_cnn(
        (2, 2, 1),
        channels=(2,),
        kernel_sizes=(1,),
        pool_sizes=(2,),
        dense_units=(2,),
    )
    weights = [[[[3.0, 3.0]]]], [-1.0, -4.0], [[1.0, -1.0]] * 2, [0.5, 0.5]
    model.set_weights([np.array(w) for w in weights])
    images = np.array([[0.0, 1.0], [2.0, 1.0]]).reshape(1, 2, 2, 1)
    # Channels max(3 * 2 - 1, 0) = 5 and max(3 * 2 - 4, 0) = 2, sum 7.
    np.testing.assert_allclose(model(images), [[7.5, 0.0]])


def test_one_dropout_of_a_half_right_after_flattening():
    model = made("stl10")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[-4:] == ["Flatten", "Dropout", "Dense", "Dense"]
    assert kinds.count("Dropout") == 1
    assert model.get_layer("dropout").rate == 0.5


def test_initial_weights_are_those_of_the_authors():
    """Truncated at two deviations, so the deviation is 0.88 of 0.05."""
    keras.utils.set_random_seed(0)
    model = made("cifar")
    head = backbones.linear_head(10)
    head.build((None, 64))
    for layer in [*model.layers, head]:
        for variable in layer.weights:
            if variable.name == "bias":
                np.testing.assert_array_equal(
                    variable, np.full(variable.shape, 0.2, np.float32)
                )
                continue
            assert np.abs(variable).max() <= 0.1
            np.testing.assert_allclose(np.std(variable), 0.044, rtol=0.07)


def test_the_head_is_linear():
    head = backbones.linear_head(3)
    outputs = head(np.array([[-100.0, 1.0]]))
    expected = np.array([[-100.0, 1.0]]) @ head.kernel + 0.2
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)


def test_a_head_of_zeros_gives_every_configuration_the_same_likelihood():
    outputs = backbones.zero_head(3)(np.array([[-100.0, 1.0]]))
    np.testing.assert_array_equal(outputs, np.zeros((1, 3)))


@pytest.mark.parametrize("num_channels", [1, 3])
def test_each_convolution_reads_its_own_channel(num_channels):
    model = backbones.by_channel((15, 15, num_channels), filters=2)
    images = np.random.default_rng(0).normal(size=(1, 15, 15, num_channels))
    images = images.astype(np.float32)
    before = np.array(model(images)).reshape(num_channels, 2)
    for channel in range(num_channels):
        changed = images.copy()
        changed[..., channel] = 3.0
        after = np.array(model(changed)).reshape(num_channels, 2)
        differs = (before != after).any(axis=1)
        assert differs.tolist() == [c == channel for c in range(num_channels)]
