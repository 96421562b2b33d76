import pytest

from lasem_tf.checks import InputError
from lasem_tf.data.resizing import checked_size


@pytest.mark.parametrize(
    ("image_size", "size"), [(96, (96, 96)), ((64, 48), (64, 48))]
)
def test_one_number_stands_for_both(image_size, size):
    assert checked_size(image_size, (None, None), "images") == size


def test_images_of_one_size_may_stay():
    assert checked_size(None, (32, 32), "images") is None


def test_images_of_several_sizes_may_not():
    with pytest.raises(InputError, match="to give the birds, which differ"):
        checked_size(None, (None, 32), "birds")


@pytest.mark.parametrize("image_size", [0, -3, "96", (64,), (1, 2, 3), 1.5])
def test_refuses_what_is_no_size(image_size):
    with pytest.raises(InputError, match="`image_size` must be"):
        checked_size(image_size, (None, None), "images")
