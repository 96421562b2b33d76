"""Tests of the TFDS builder, on a made archive in the real one's layout."""

import collections
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from lasem_tf.checks import InputError
from lasem_tf.data.office_home import office_home_dataset_builder as module
from lasem_tf.recipes import REPOSITORY
from tests.data.office_home.made_archive import (
    ARCHIVE,
    CLASS_NAMES,
    colour_of,
    make_archive,
    pack,
)

SPLITS = {"art": 65, "clipart": 65, "product": 65, "real_world": 65}


class BuilderConformanceTest(tfds.testing.DatasetBuilderTestCase):
    """What TFDS asks of every builder."""

    DATASET_CLASS = module.Builder
    SPLITS = SPLITS
    # Before 3.11 it finds the module by attributes, and `lasem_tf.data` may
    # have a function of the name of this package.
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = sys.version_info >= (3, 11)

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.EXAMPLE_DIR = folder.name
        make_archive(pathlib.Path(folder.name))
        super().setUpClass()


def prepare(manual_dir, data_dir):
    builder = module.Builder(data_dir=data_dir)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


def read(builder):
    """Every example by its `filename`, and the split it was found in."""
    examples = {}
    for split in builder.info.splits:
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            name = example["filename"].decode()
            assert name not in examples
            examples[name] = {**example, "split": split}
    return examples


def noise(height, width):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """An archive of which one class has some further images."""
    root = make_archive(tmp_path_factory.mktemp("unpacked"))
    mugs = root / "Product" / "Mug"
    Image.fromarray(noise(300, 200)).save(mugs / "00002.jpg")
    # What a file is its content says, not its name.
    board = np.indices((640, 640)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(mugs / "00003.jpg", "PNG")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(mugs / "00004.jpg", "PNG")
    Image.new("CMYK", (9, 9), (255, 0, 0, 0)).save(mugs / "00005.jpg")
    return root


@pytest.fixture(scope="module")
def builder(unpacked, tmp_path_factory):
    return prepare(unpacked.parent, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def examples(builder):
    return read(builder)


@pytest.fixture
def copied(unpacked, tmp_path):
    """A copy of the archive, to be spoiled."""
    return shutil.copytree(unpacked, tmp_path / "manual" / ARCHIVE)


def test_classes_are_numbered_as_the_protocol_numbers_them():
    names = module.CLASS_NAMES
    assert names == tuple(sorted(CLASS_NAMES, key=str.casefold))
    assert len(set(names)) == 65
    # "Office-Home Incremental" of the protocol, by name and by number.
    named = "Couch Table Paper_Clip Clipboards Bucket Notebook Bed Trash_Can"
    numbers = [names.index(name) for name in named.split()]
    assert numbers == [13, 58, 41, 11, 6, 38, 3, 62]


def test_every_domain_is_a_split(builder, examples):
    counted = {s: info.num_examples for s, info in builder.info.splits.items()}
    assert counted == {**SPLITS, "product": 65 + 4}
    found = collections.Counter(
        (example["split"], int(example["domain"]))
        for example in examples.values()
    )
    assert found == {
        (split, domain): counted[split] for domain, split in enumerate(SPLITS)
    }
    names = builder.info.features["domain"].names
    assert names == ["Art", "Clipart", "Product", "Real World"]


def test_an_image_has_the_class_and_the_domain_of_its_folder(builder, examples):
    domain_names = builder.info.features["domain"].names
    class_names = builder.info.features["label"].names
    assert "Real World/ToothBrush/00001.jpg" in examples
    for name, example in examples.items():
        domain, class_name, file_name = name.split("/")
        assert domain_names[example["domain"]] == domain
        assert class_names[example["label"]] == class_name
        if file_name == "00001.jpg":
            colour = colour_of(domain, class_name)
            # A few steps off, as JPEG is.
            assert abs(example["image"].astype(int) - colour).max() <= 3


def test_images_are_resized_once_and_for_all(unpacked, builder, examples):
    path = unpacked / "Product" / "Mug" / "00002.jpg"
    with Image.open(path) as image:
        resized = image.resize((128, 128), Image.Resampling.BICUBIC)
    stored = examples["Product/Mug/00002.jpg"]["image"]
    np.testing.assert_array_equal(stored, np.asarray(resized))
    assert builder.info.features["image"].shape == (128, 128, 3)
    assert builder.info.features["image"].encoding_format == "png"


def test_resizing_does_not_alias(examples):
    # A fine checkerboard is grey from afar; picking pixels would give 0 or 255.
    pixels = examples["Product/Mug/00003.jpg"]["image"].astype(int)
    assert abs(pixels - 127).max() <= 8


def test_other_modes_become_rgb(examples):
    assert (examples["Product/Mug/00004.jpg"]["image"] == 255).all()
    cyan = examples["Product/Mug/00005.jpg"]["image"].astype(int)
    assert abs(cyan - [0, 255, 255]).max() <= 8


def test_image_and_label_are_what_supervised_reading_gives(builder, examples):
    supervised = builder.as_dataset(split="art", as_supervised=True)
    image, label = next(iter(supervised.as_numpy_iterator()))
    name = module.CLASS_NAMES[label]
    expected = examples[f"Art/{name}/00001.jpg"]["image"]
    np.testing.assert_array_equal(image, expected)


def test_what_the_data_are_is_said_with_them(builder):
    assert "65 kinds" in builder.info.description
    assert "Deep Hashing Network" in builder.info.citation
    assert builder.info.full_name == "office_home/1.0.0"
    assert str(builder.VERSION) in builder.RELEASE_NOTES


def test_tfds_knows_it_by_name(builder):
    assert tfds.builder_cls("office_home") is module.Builder
    again = tfds.builder("office_home", data_dir=builder.data_dir_root)
    assert again.is_prepared()


@pytest.fixture(scope="module")
def from_zip(unpacked, tmp_path_factory):
    manual_dir = tmp_path_factory.mktemp("packed")
    pack(unpacked, manual_dir)
    return prepare(manual_dir, tmp_path_factory.mktemp("from_zip"))


def test_a_packed_archive_gives_the_same(from_zip, builder):
    for split, info in builder.info.splits.items():
        other = from_zip.info.splits[split]
        assert len(info.filepaths) == len(other.filepaths) == 1
        assert info.filepaths[0].read_bytes() == other.filepaths[0].read_bytes()


def test_a_folder_within_the_folder_is_found(copied, tmp_path):
    outer = tmp_path / "twice" / ARCHIVE
    outer.mkdir(parents=True)
    copied.rename(outer / ARCHIVE)
    builder = prepare(outer.parent, tmp_path / "data")
    assert builder.info.splits["art"].num_examples == SPLITS["art"]


def test_an_empty_manual_dir_meets_the_instructions(tmp_path):
    with pytest.raises(AssertionError, match="does not exist or is empty") as e:
        prepare(tmp_path / "manual", tmp_path / "data")
    assert f"`{ARCHIVE}.zip`" in str(e.value)
    assert "https://www.hemanthdv.org" in str(e.value)


def test_a_manual_dir_with_other_data_meets_the_instructions(tmp_path):
    manual_dir = tmp_path / "manual"
    manual_dir.mkdir()
    (manual_dir / "another_archive.zip").touch()
    with pytest.raises(
        InputError,
        match="Office-Home must be in '.*manual'.*neither "
        f"'{ARCHIVE}.zip' nor '{ARCHIVE}'.*by hand from https://",
    ):
        prepare(manual_dir, tmp_path / "data")


def assert_refused(archive, tmp_path, message):
    with pytest.raises(InputError, match=message):
        prepare(archive.parent, tmp_path / "data")
    # Nothing is left that would be taken for prepared data.
    assert not module.Builder(data_dir=tmp_path / "data").is_prepared()


def test_refuses_a_class_that_is_none(copied, tmp_path):
    (copied / "Clipart" / "Alarm_Clock").rename(copied / "Clipart" / "Clock")
    assert_refused(
        copied,
        tmp_path,
        "'.*Clipart' must hold the 65 classes .*no class of it: 'Clock'",
    )


def test_refuses_an_archive_without_a_class(copied, tmp_path):
    shutil.rmtree(copied / "Real World" / "Webcam")
    (copied / "Real World" / "Bed" / "00001.jpg").unlink()
    assert_refused(
        copied,
        tmp_path,
        "'.*Real World' must hold images of all 65 classes .*"
        "no images of 'Bed', 'Webcam'. Remove '.*' and start again",
    )


def test_refuses_an_archive_without_a_domain(copied, tmp_path):
    (copied / "Real World").rename(copied / "RealWorld")
    assert_refused(
        copied,
        tmp_path,
        "domains Art, Clipart, Product, Real World.*no folder 'Real World'",
    )


def test_names_an_image_that_cannot_be_decoded(copied, tmp_path):
    path = copied / "Art" / "Bike" / "00001.jpg"
    path.write_bytes(path.read_bytes()[:200])
    assert_refused(
        copied,
        tmp_path,
        r"that Pillow can decode.*Art/Bike/00001\.jpg'",
    )


def test_names_a_file_among_the_images_that_is_none(copied, tmp_path):
    (copied / "Art" / "Bike" / "Thumbs.db").write_text("no image")
    assert_refused(copied, tmp_path, "Art/Bike/Thumbs.db' .not an image")


def test_tfds_build_prepares_it(unpacked, tmp_path):
    # The command `tfds` loads all that it can do, and for another part of it
    # wants apache_beam (tensorflow/datasets#5463). This is its part `build`.
    program = (
        "import sys\n"
        "from tensorflow_datasets.scripts.cli import build, cli_utils\n"
        "parse = cli_utils.make_flags_parser(build.Args, 'tfds build')\n"
        "parse(sys.argv).execute()"
    )
    arguments = [
        "lasem_tf/data/office_home",
        f"--manual_dir={unpacked.parent}",
        f"--data_dir={tmp_path}",
    ]
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    # Read without the code that wrote it, as another program would.
    stored = tfds.builder_from_directory(tmp_path / "office_home" / "1.0.0")
    assert stored.info.splits["real_world"].num_examples == 65
    assert stored.info.features["label"].names == list(module.CLASS_NAMES)
