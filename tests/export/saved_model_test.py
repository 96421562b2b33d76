import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.export import (
    ExportTasks,
    export_task,
    exported_task,
    exported_tasks,
    load_task,
    saved_model,
)
from tests.export.small_task import (
    CLASS_NAMES,
    IMAGE_SHAPE,
    images_of,
    make_model,
    make_stream,
    make_task,
)


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def export(task, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exports") / "task_00"
    export_task(model, task, path)
    return path


@pytest.mark.parametrize("batch_size", [1, 2, 23])
def test_export_answers_as_the_model_in_memory(export, task, model, batch_size):
    images = images_of(task.test)[:batch_size]

    answers = load_task(export)(images)

    logits = model(task.preprocess(images)).numpy()
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(
        answers["probabilities"], probabilities, atol=1e-5
    )
    np.testing.assert_array_equal(answers["class_index"], logits.argmax(1))
    assert answers["class_index"].dtype == tf.int64


def test_what_is_known_of_the_task_is_read_back(export):
    exported = load_task(export)

    assert exported.class_names == CLASS_NAMES
    assert exported.image_shape == IMAGE_SHAPE


def test_class_names_are_one_per_line(export):
    text = (export / "assets" / "class_names.txt").read_text("utf-8")

    assert text == "Rosenkäfer\nstag beetle\nladybird\n"


def test_later_training_does_not_change_the_export(task, tmp_path):
    model = make_model()
    export_task(model, task, tmp_path / "task_00")
    images = images_of(task.test)
    before = load_task(tmp_path / "task_00")(images)["logits"]

    model.set_weights([2 * weight for weight in model.get_weights()])

    after = load_task(tmp_path / "task_00")(images)["logits"]
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("images", "received"),
    [
        (np.zeros((2, *IMAGE_SHAPE), np.float32), "float32 [2, 6, 5, 3]"),
        (np.zeros((2, 5, 6, 3), np.uint8), "uint8 [2, 5, 6, 3]"),
        (np.zeros(IMAGE_SHAPE, np.uint8), "uint8 [6, 5, 3]"),
    ],
)
def test_only_raw_pixels_of_the_right_shape_are_taken(export, images, received):
    expected = "`images` must be raw pixels, uint8 [batch, 6, 5, 3]. Received: "
    with pytest.raises(InputError, match=re.escape(expected + received)):
        load_task(export)(images)


def test_serves_without_this_library(export, task, model, tmp_path):
    np.save(tmp_path / "images.npy", images_of(task.test))
    program = f"""
import sys
import numpy as np
import tensorflow as tf
served = tf.saved_model.load({str(export)!r}).signatures["serving_default"]
images = np.load({str(tmp_path / "images.npy")!r})
logits = served(images=tf.constant(images))["logits"]
np.save({str(tmp_path / "logits.npy")!r}, logits)
sys.exit("lasem_tf" in sys.modules)
"""
    # Away from the checkout, so that the library could not be imported either
    # by its place; in its own process, so that nothing is registered.
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

    logits = model(task.preprocess(images_of(task.test)))
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"), logits, atol=1e-5
    )


def test_leftover_of_an_interrupted_export_is_no_export(
    task, model, tmp_path, monkeypatch
):
    exports = tmp_path / "exports"
    export_task(model, task, exports / "task_00")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saved_model.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            export_task(model, task, exports / "task_01")

    leftover = exports / ".task_01.partial"
    assert (leftover / "saved_model.pb").is_file()
    assert exported_tasks(tmp_path) == (exports / "task_00",)

    export_task(model, task, exports / "task_01")

    assert not leftover.exists()
    assert exported_tasks(tmp_path)[1] == exports / "task_01"


def test_an_earlier_export_is_replaced_whole(task, tmp_path):
    path = tmp_path / "task_00"
    export_task(make_model(seed=1), task, path)
    (path / "left_by_the_first").touch()

    export_task(make_model(seed=2), task, path)

    images = images_of(task.test)
    expected = make_model(seed=2)(task.preprocess(images))
    np.testing.assert_allclose(
        load_task(path)(images)["logits"], expected, atol=1e-5
    )
    assert not (path / "left_by_the_first").exists()
    assert list(tmp_path.iterdir()) == [path]


def test_action_exports_every_task_of_the_run(tmp_path):
    stream = make_stream(num_tasks=2)
    models = [make_model(seed=1), make_model(seed=2)]
    method = types.SimpleNamespace(task_model=models.__getitem__)
    run = types.SimpleNamespace(
        method=method, stream=stream, workdir=pathlib.Path(tmp_path)
    )

    ExportTasks().on_run_end(run)

    paths = exported_tasks(tmp_path)
    assert [path.name for path in paths] == ["task_00", "task_01"]
    for path, task, model in zip(paths, stream, models, strict=True):
        images = images_of(task.test)
        np.testing.assert_allclose(
            load_task(path)(images)["logits"],
            model(task.preprocess(images)),
            atol=1e-5,
        )


def test_exports_are_listed_by_number(tmp_path):
    for name in ("task_100", "task_99", "task_00", "notes", "task_x"):
        (tmp_path / "exports" / name).mkdir(parents=True)

    names = [path.name for path in exported_tasks(tmp_path)]

    assert names == ["task_00", "task_99", "task_100"]


def test_one_task_is_found_by_number(tmp_path):
    for name in ("task_00", "task_01"):
        (tmp_path / "exports" / name).mkdir(parents=True)

    assert exported_task(tmp_path, 1) == tmp_path / "exports" / "task_01"


@pytest.mark.parametrize("task_index", [-1, 2])
def test_task_without_export_is_refused(tmp_path, task_index):
    for name in ("task_00", "task_01"):
        (tmp_path / "exports" / name).mkdir(parents=True)

    expected = f"exported: task_00, task_01. Received: task {task_index}"
    with pytest.raises(InputError, match=expected):
        exported_task(tmp_path, task_index)


def test_workdir_without_exports_is_refused(tmp_path):
    with pytest.raises(InputError, match="must have left its tasks in"):
        exported_tasks(tmp_path)


def test_class_name_with_a_line_break_is_refused(model, tmp_path):
    task = make_task(class_names=("one", "two\nlines", "three"))

    with pytest.raises(InputError, match="must fit on one line"):
        export_task(model, task, tmp_path / "task_00")
    assert list(tmp_path.iterdir()) == []


def test_folder_of_something_else_is_not_replaced(task, model, tmp_path):
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(InputError, match="new folder or an earlier export"):
        export_task(model, task, tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_folder_that_is_no_export_is_refused(tmp_path):
    with pytest.raises(InputError, match="An exported task must be a folder"):
        load_task(tmp_path)


def test_broken_export_is_refused(task, model, tmp_path):
    path = tmp_path / "task_00"
    export_task(model, task, path)
    (path / "saved_model.pb").write_bytes(b"cut short")

    with pytest.raises(InputError, match="must be a whole SavedModel"):
        load_task(path)
