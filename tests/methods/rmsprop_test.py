import keras
import numpy as np

from lasem_tf.methods import RMSprop


def test_is_the_recurrence_of_tensorflow_1():
    rng = np.random.default_rng(0)
    variable = keras.Variable(rng.normal(size=(3, 2)).astype("float32"))
    expected = variable.numpy().astype(np.float64)
    mean_square = np.ones((3, 2))
    optimizer = RMSprop(learning_rate=0.1, rho=0.8, epsilon=1e-3)
    optimizer.build([variable])
    for step in range(50):
        gradient = rng.normal(size=(3, 2)) * 10.0 ** (step % 4 - 3)
        optimizer.apply([gradient.astype(np.float32)], [variable])
        mean_square = 0.8 * mean_square + 0.2 * gradient**2
        expected -= 0.1 * gradient / np.sqrt(mean_square + 1e-3)
        np.testing.assert_allclose(
            variable.numpy(), expected, atol=2e-5, err_msg=f"step {step}"
        )


def test_first_step_is_shorter_than_that_of_keras():
    ours, theirs = keras.Variable([0.0]), keras.Variable([0.0])
    RMSprop(learning_rate=0.1).apply([np.float32([1e-3])], [ours])
    keras.optimizers.RMSprop(learning_rate=0.1).apply(
        [np.float32([1e-3])], [theirs]
    )
    assert 0 < -ours.numpy()[0] < -0.01 * theirs.numpy()[0]


def test_is_rebuilt_from_its_config():
    again = RMSprop.from_config(
        RMSprop(0.2, rho=0.7, epsilon=1e-5).get_config()
    )
    assert (again.rho, again.epsilon) == (0.7, 1e-5)
    assert float(again.learning_rate) == np.float32(0.2)
