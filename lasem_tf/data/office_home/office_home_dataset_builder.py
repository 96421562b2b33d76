"""Office-Home for TensorFlow Datasets, from the archive of its authors.

A folder in the layout of TFDS: what README.md, CITATIONS.bib and TAGS.txt say
becomes part of the prepared data. checksums.tsv is empty, since nothing is
downloaded. Importing this module makes the data set known as "office_home".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from lasem_tf.checks import InputError
from lasem_tf.data.image_files import read_image

IMAGE_SHAPE = (128, 128, 3)

# Splits, and the folders of the archive.
DOMAINS = {
    "art": "Art",
    "clipart": "Clipart",
    "product": "Product",
    "real_world": "Real World",
}

# As the archive spells its folders, sorted without regard to case. The order
# is part of the protocol, which names classes by their place in it.
CLASS_NAMES = tuple(
    """
    Alarm_Clock Backpack Batteries Bed Bike Bottle Bucket Calculator Calendar
    Candles Chair Clipboards Computer Couch Curtains Desk_Lamp Drill Eraser
    Exit_Sign Fan File_Cabinet Flipflops Flowers Folder Fork Glasses Hammer
    Helmet Kettle Keyboard Knives Lamp_Shade Laptop Marker Monitor Mop Mouse
    Mug Notebook Oven Pan Paper_Clip Pen Pencil Postit_Notes Printer Push_Pin
    Radio Refrigerator Ruler Scissors Screwdriver Shelf Sink Sneakers Soda
    Speaker Spoon Table Telephone ToothBrush Toys Trash_Can TV Webcam
    """.split()
)

_HOME_PAGE = "https://www.hemanthdv.org/officeHomeDataset.html"
_ARCHIVE = "OfficeHomeDataset_10072016"


class Builder(tfds.core.GeneratorBasedBuilder):
    """Prepares Office-Home, one split per domain, resized to 128x128.

    Raises:
        InputError: When preparing: if the archive is not in `manual_dir`,
            lacks a domain or a class, holds a class that is none, or an image
            cannot be decoded. An empty `manual_dir` is TFDS's own
            `AssertionError`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release; images of 128x128 pixels."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Download `{_ARCHIVE}.zip` by hand from {_HOME_PAGE}
    and put it, packed or unpacked, into the `manual_dir`: the folder
    `downloads/manual` of the data directory, or what `--manual_dir` of
    `tfds build` names.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=IMAGE_SHAPE, encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(names=CLASS_NAMES),
                    "domain": tfds.features.ClassLabel(
                        names=tuple(DOMAINS.values())
                    ),
                    "filename": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=_HOME_PAGE,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Mapping[str, Iterator[tuple[str, dict[str, Any]]]]:
        archive = self._archive_folder(dl_manager)
        # All four are looked through before the first image is read.
        folders = {
            domain: _class_folders(archive, domain)
            for domain in DOMAINS.values()
        }
        return {
            split: self._generate_examples(domain, folders[domain])
            for split, domain in DOMAINS.items()
        }

    def _generate_examples(
        self, domain: str, class_folders: Sequence[tfds.core.Path]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for folder in class_folders:
            for path in _listed(folder):
                name = f"{domain}/{folder.name}/{path.name}"
                yield (
                    name,
                    {
                        "image": read_image(path, IMAGE_SHAPE).pixels,
                        "label": folder.name,
                        "domain": domain,
                        "filename": name,
                    },
                )

    def _archive_folder(
        self, dl_manager: tfds.download.DownloadManager
    ) -> tfds.core.Path:
        """Returns the folder into which the archive was unpacked."""
        manual_dir = dl_manager.manual_dir
        folder = manual_dir / _ARCHIVE
        packed = manual_dir / f"{_ARCHIVE}.zip"
        if not folder.exists():
            if not packed.exists():
                raise InputError(
                    f"The archive of Office-Home must be in '{manual_dir}'.",
                    received=f"neither '{packed.name}' nor '{folder.name}'",
                    remedy=self.MANUAL_DOWNLOAD_INSTRUCTIONS,
                )
            folder = dl_manager.extract(packed)
        return folder


def _class_folders(
    archive: tfds.core.Path, domain: str
) -> list[tfds.core.Path]:
    """Returns the folders of a domain's classes, in the order of labels."""
    # The archive holds a folder of its own name, and what unpacks it may put
    # that into another one.
    inner = archive / _ARCHIVE
    root = inner if inner.exists() else archive
    remedy = f"Remove '{archive}' and start again from the archive."
    if not (root / domain).exists():
        raise InputError(
            f"Office-Home must hold the domains {', '.join(DOMAINS.values())}.",
            received=f"no folder '{domain}' in '{root}'",
            remedy=remedy,
        )
    folders = {path.name: path for path in _listed(root / domain)}
    unknown = sorted(folders.keys() - set(CLASS_NAMES))
    if unknown:
        raise InputError(
            f"'{root / domain}' must hold the {len(CLASS_NAMES)} classes of "
            "Office-Home and nothing else.",
            received=f"no class of it: {', '.join(map(repr, unknown))}",
            remedy="Remove what is not from the archive.",
        )
    empty = [
        name
        for name in CLASS_NAMES
        if name not in folders or not _listed(folders[name])
    ]
    if empty:
        raise InputError(
            f"'{root / domain}' must hold images of all {len(CLASS_NAMES)} "
            "classes of Office-Home.",
            received=f"no images of {', '.join(map(repr, empty))}",
            remedy=remedy,
        )
    return [folders[name] for name in CLASS_NAMES]


def _listed(folder: tfds.core.Path) -> list[tfds.core.Path]:
    """Returns what a folder holds by name, without what systems hide there."""
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".")
    )
