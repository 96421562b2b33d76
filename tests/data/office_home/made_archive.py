"""A small archive of Office-Home in the layout of the real one."""

import shutil

from PIL import Image

ARCHIVE = "OfficeHomeDataset_10072016"
DOMAINS = ("Art", "Clipart", "Product", "Real World")
# Not in the order of the labels, which is for the builder to know.
CLASS_NAMES = tuple(
    """
    Drill Exit_Sign Bottle Glasses Computer File_Cabinet Shelf Toys Sink Laptop
    Kettle Folder Keyboard Flipflops Pencil Bed Hammer ToothBrush Couch Bike
    Postit_Notes Mug Webcam Desk_Lamp Telephone Helmet Mouse Pen Monitor Mop
    Sneakers Notebook Backpack Alarm_Clock Push_Pin Paper_Clip Batteries Radio
    Fan Ruler Pan Screwdriver Trash_Can Printer Speaker Eraser Bucket Chair
    Calendar Calculator Flowers Lamp_Shade Spoon Candles Clipboards Scissors TV
    Curtains Fork Soda Table Knives Oven Refrigerator Marker
    """.split()
)


def colour_of(domain, class_name, number=1):
    """The one colour of an image, a colour of its own up to number 25."""
    place = DOMAINS.index(domain), CLASS_NAMES.index(class_name)
    return 60 * place[0], 3 * place[1], (40 + 10 * number) % 256


def make_archive(parent, images_per_class=1):
    """Makes it below `parent`, with the files that unpackers leave."""
    root = parent / ARCHIVE
    for domain in DOMAINS:
        for class_name in CLASS_NAMES:
            folder = root / domain / class_name
            folder.mkdir(parents=True)
            for number in range(1, images_per_class + 1):
                colour = colour_of(domain, class_name, number)
                image = Image.new("RGB", (40, 24), colour)
                image.save(folder / f"{number:05d}.jpg")
    litter = parent / "__MACOSX" / ARCHIVE / "Art" / "Bed"
    litter.mkdir(parents=True)
    for path in (
        root / "ImageInfo.csv",
        root / "imagelist.txt",
        root / ".DS_Store",
        root / "Art" / ".DS_Store",
        root / "Art" / "Bed" / ".DS_Store",
        litter / "._00001.jpg",
    ):
        path.write_text("no image")
    return root


def pack(unpacked, folder):
    """Makes the archive's zip file in `folder`, other litter included."""
    shutil.make_archive(folder / ARCHIVE, "zip", unpacked.parent)
