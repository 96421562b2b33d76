"""Tests of the CIFAR-100 stream: with made images, and with the real ones."""

import io
import types
import urllib.error

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data import cifar100 as public_cifar100
from lasem_tf.data.splits import content_digests

# The package exports the function under the name of its module.
import importlib  # isort: skip

module = importlib.import_module("lasem_tf.data.cifar100")
NUM_TRAIN, NUM_TEST = 24, 3


class FakeBuilder:
    """A hundred classes with few images, stored as TFDS stores them."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self._examples = {}
        for split, per_class in (("train", NUM_TRAIN), ("test", NUM_TEST)):
            labels = generator.permutation(np.repeat(np.arange(100), per_class))
            shape = [len(labels), 32, 32, 3]
            images = generator.integers(0, 256, shape, np.uint8)
            self._examples[split] = images, labels
        names = [f"thing_{label}" for label in range(100)]
        self.info = types.SimpleNamespace(
            features={"label": types.SimpleNamespace(names=names)}, splits={}
        )

    def of_class(self, split, label):
        images, labels = self._examples[split]
        return images[labels == label]

    def plant_copies(self, label):
        """Makes 2 training images copies of test images, 1 of another."""
        images, labels = self._examples["train"]
        members = np.flatnonzero(labels == label)
        images[members[:2]] = self.of_class("test", label)[:2]
        images[members[-1]] = images[members[5]]

    def write(self, folder):
        for split, (images, labels) in self._examples.items():
            path = str(folder / f"{split}.tfrecord")
            with tf.io.TFRecordWriter(path) as writer:
                for image, label in zip(images, labels, strict=True):
                    writer.write(_record(image, label))
            self.info.splits[split] = types.SimpleNamespace(filepaths=[path])


def _record(image, label):
    png = tf.train.BytesList(value=[tf.io.encode_png(image).numpy()])
    number = tf.train.Int64List(value=[label])
    feature = {
        "image": tf.train.Feature(bytes_list=png),
        "label": tf.train.Feature(int64_list=number),
    }
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    fake = FakeBuilder()
    fake.plant_copies(label=4)
    fake.write(tmp_path_factory.mktemp("cifar100"))
    return fake


@pytest.fixture
def cifar100(builder, monkeypatch):
    monkeypatch.setattr(module, "_prepared_builder", lambda data_dir: builder)
    return public_cifar100


def _stored(dataset):
    (whole,) = dataset.batch(len(dataset)).as_numpy_iterator()
    return whole


def _digests(dataset):
    return set(content_digests(_stored(dataset)[0]).tolist())


def _splits(task):
    return task.train, task.validation, task.test


def test_images_carry_the_class_of_their_position_in_the_list(
    cifar100, builder
):
    stream = cifar100(num_tasks=2, train_fraction=0.5)
    assert stream.name == "cifar100"
    assert stream[0].class_names[:3] == ("thing_4", "thing_1", "thing_54")
    assert stream[1].class_names[-1] == "thing_13"
    for task in stream:
        for split in _splits(task):
            images, labels = _stored(split)
            source = "test" if split is task.test else "train"
            for position in range(10):
                label = int(task.class_names[position].split("_")[1])
                own = content_digests(images[labels == position]).tolist()
                all_of_class = builder.of_class(source, label)
                assert set(own) <= set(content_digests(all_of_class).tolist())
                assert own


def test_copies_never_stand_in_two_splits(cifar100):
    task = cifar100(num_tasks=1, train_fraction=1.0)[0]
    train, validation, test = map(_digests, _splits(task))
    assert not train & validation and not train & test
    assert not validation & test
    counts = np.bincount(_stored(task.validation)[1])
    # Class 4 is the first of the first task, and holds the three copies.
    assert counts.tolist() == [1] + [4] * 9
    assert np.bincount(_stored(task.train)[1]).tolist() == [20] * 10


def test_preprocessing_uses_training_statistics(cifar100):
    task = cifar100(num_tasks=1, train_fraction=1.0)[0]
    train, test = _stored(task.train)[0], _stored(task.test)[0]
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    np.testing.assert_allclose(
        task.preprocess(test), (test - mean) / std, atol=1e-5
    )


def test_authors_lists_hold_every_class_once_whatever_the_seed():
    dealt = module._deal_classes(0, None, 10)
    assert sorted(label for task in dealt for label in task) == list(range(100))
    assert dealt[0] == (4, 1, 54, 9, 0, 5, 6, 3, 12, 8)
    assert dealt[9] == (87, 71, 38, 75, 99, 98, 93, 80, 96, 89)
    assert module._deal_classes(7, 3, 10) == dealt[:3]


@pytest.mark.parametrize("classes_per_task, num_tasks", [(5, 20), (7, 14)])
def test_other_splits_are_dealt_by_seed(classes_per_task, num_tasks):
    dealt = np.array(module._deal_classes(0, None, classes_per_task))
    assert dealt.shape == (num_tasks, classes_per_task)
    assert len(np.unique(dealt)) == dealt.size
    again = np.array(module._deal_classes(0, None, classes_per_task))
    np.testing.assert_array_equal(dealt, again)
    other = np.array(module._deal_classes(1, None, classes_per_task))
    assert (dealt != other).any()


def test_twenty_tasks_of_ten_meet_every_class_twice():
    dealt = np.array(module._deal_classes(0, 20, 10))
    assert np.bincount(dealt.ravel()).tolist() == [2] * 100
    assert len({frozenset(task.tolist()) for task in dealt}) == 20
    assert all(len(set(task.tolist())) == 10 for task in dealt)


def test_refuses_tasks_of_more_classes_than_there_are():
    with pytest.raises(InputError, match="must lie between 2 and 100"):
        public_cifar100(classes_per_task=101)


@pytest.mark.parametrize("classes_per_task", [1, 2.5, "10", None])
def test_refuses_tasks_of_one_class_or_a_part_of_one(classes_per_task):
    with pytest.raises(InputError, match="must be a whole number not below 2"):
        public_cifar100(classes_per_task=classes_per_task)


def test_refuses_zero_tasks():
    with pytest.raises(InputError, match="`num_tasks` must be a whole number"):
        public_cifar100(num_tasks=0)


def test_refuses_a_fraction_that_leaves_nothing(cifar100):
    with pytest.raises(InputError, match="Every class needs at least one"):
        cifar100(num_tasks=1, train_fraction=0.01)


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route to host"),
        ConnectionResetError("no route to host"),
        TimeoutError("no route to host"),
    ],
)
def test_missing_data_without_network_is_said_in_one_line(
    monkeypatch, tmp_path, error
):
    def no_network(request, timeout):
        assert timeout <= 10
        raise error

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(
        InputError,
        match="must lie prepared in .*no route to host.*`tfds build cifar100`"
        ".*`--data_dir` or `TFDS_DATA_DIR`",
    ) as raised:
        public_cifar100(data_dir=str(tmp_path / "nothing"))
    assert str(tmp_path / "nothing") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_missing_data_with_network_is_downloaded_once(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    class Downloaded(Exception):
        pass

    def download(builder):
        raise Downloaded

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", download
    )
    with pytest.raises(Downloaded):
        public_cifar100(data_dir=str(tmp_path))


def test_a_download_that_breaks_off_is_said_in_one_line(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.util import DownloadError

    def download(builder):
        raise DownloadError("broken off")

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", download
    )
    with pytest.raises(InputError, match="must lie prepared in .*broken off"):
        public_cifar100(data_dir=str(tmp_path))


def test_refuses_another_file_format(monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    fake = types.SimpleNamespace(
        is_prepared=lambda: True,
        data_dir=str(tmp_path),
        info=types.SimpleNamespace(
            file_format=tfds.core.FileFormat.ARRAY_RECORD
        ),
    )
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: fake)
    with pytest.raises(InputError, match="as 'tfrecord'.*'array_record'"):
        public_cifar100()


@pytest.fixture(scope="module")
def real_stream():
    import tensorflow_datasets as tfds

    if not tfds.builder("cifar100").is_prepared():
        pytest.skip("CIFAR-100 is not prepared; set TFDS_DATA_DIR.")
    return public_cifar100(seed=0)


def test_real_stream_follows_the_protocol(real_stream):
    assert len(real_stream) == 10
    assert real_stream[0].class_names[:3] == (
        "beaver",
        "aquarium_fish",
        "orchid",
    )
    for task in real_stream:
        counts = [np.bincount(_stored(split)[1]) for split in _splits(task)]
        assert [set(count) for count in counts] == [{17}, {3}, {100}]
        assert task.num_train == 170
        assert task.image_shape == (32, 32, 3)


def test_real_stream_never_shares_an_image_between_splits(real_stream):
    train, validation, test = (
        set().union(*map(_digests, splits))
        for splits in zip(*map(_splits, real_stream), strict=True)
    )
    assert len(train) == 1700 and len(validation) == 300
    # Two test images of CIFAR-100 are copies of other test images.
    assert len(test) == 9998
    assert not train & validation and not train & test
    assert not validation & test


def test_real_stream_is_drawn_by_its_seed(real_stream):
    again, other = (public_cifar100(seed=seed, num_tasks=1) for seed in (0, 1))
    assert _digests(real_stream[0].train) == _digests(again[0].train)
    assert _digests(real_stream[0].test) == _digests(other[0].test)
    common = _digests(real_stream[0].train) & _digests(other[0].train)
    assert len(common) < 30
