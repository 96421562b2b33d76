import numpy as np
import pytest
from PIL import Image

from lasem_tf.checks import InputError
from lasem_tf.export import export_task, load_task, predict_files
from lasem_tf.export.prediction import Prediction
from tests.export.small_task import (
    CLASS_NAMES,
    images_of,
    make_model,
    make_task,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exports") / "task_00"
    export_task(make_model(), make_task(), path)
    return load_task(path)


@pytest.fixture
def photos(tmp_path):
    paths = []
    for index, pixels in enumerate(images_of(make_task().test)[:5]):
        paths.append(tmp_path / f"photo_{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def test_every_file_gets_its_own_answer(exported, photos):
    predictions = predict_files(exported, photos, top_k=2, batch_size=2)

    images = images_of(make_task().test)[:5]
    expected = exported(images)["probabilities"].numpy()
    for path, probabilities, prediction in zip(
        photos, expected, predictions, strict=True
    ):
        order = np.argsort(probabilities)[::-1][:2]
        assert prediction.path == str(path)
        assert prediction.class_names == tuple(CLASS_NAMES[k] for k in order)
        np.testing.assert_allclose(
            prediction.probabilities, probabilities[order], atol=1e-5
        )


def test_no_more_classes_are_named_than_there_are(exported, photos):
    (prediction,) = predict_files(exported, photos[:1], top_k=10)

    assert sorted(prediction.class_names) == sorted(CLASS_NAMES)
    assert prediction.probabilities.sum() == pytest.approx(1)


def test_prediction_reads_as_a_small_table():
    prediction = Prediction(
        path="photo.png",
        note="resized from 90x40",
        class_names=("stag beetle", "ladybird"),
        probabilities=np.array([0.9551, 0.0312], np.float32),
    )

    assert str(prediction) == (
        "photo.png (resized from 90x40)\n"
        "  95.5 %  stag beetle\n"
        "   3.1 %  ladybird"
    )


def test_bad_file_is_told_before_any_answer(exported, photos, tmp_path):
    with pytest.raises(InputError, match="gone.png.*No such file"):
        predict_files(exported, [*photos, tmp_path / "gone.png"])


def test_top_k_must_be_positive(exported, photos):
    with pytest.raises(InputError, match="`top_k` must be a whole number"):
        predict_files(exported, photos, top_k=0)
