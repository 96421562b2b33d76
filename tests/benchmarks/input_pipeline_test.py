import pytest

from lasem_tf import data


def test_rates_are_images_per_second(script, monkeypatch):
    input_pipeline = script("input_pipeline")
    samples = {"delivers": [0.5, 1.0, 9.0], "consumes": [4.0, 4.0, 4.0]}

    def interleaved(variants, num_rounds):
        for call in variants.values():
            call()
        return samples

    monkeypatch.setattr(input_pipeline.measuring, "interleaved", interleaved)
    found = input_pipeline._measure("digits", 3, data.Augmentation())
    assert found["image_shape"] == (8, 8, 1)
    # Five epochs of whole mini-batches, in the median of the samples.
    assert found["delivered_per_second"] % 50 == 0
    assert found["delivered_per_second"] == 4 * found["consumed_per_second"]
    assert found["ratio"] == pytest.approx(4)


def test_a_folder_outlives_its_files(script):
    (task,) = script("input_pipeline")._image_folder()
    assert task.image_shape == (96, 96, 3)
    assert task.num_train == 200
    assert len(task.class_names) == 10
    image, _ = next(iter(task.train))
    assert image.numpy().std() > 0
