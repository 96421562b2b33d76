"""The recipes in gin/, and what tests do with them."""

import keras

from lasem_tf import configuration
from lasem_tf.recipes import GIN_FOLDER

ALL_FILES = sorted(GIN_FOLDER.rglob("*.gin"))
RECIPES = sorted(GIN_FOLDER.glob("*.gin"))
METHODS = sorted((GIN_FOLDER / "methods").glob("*.gin"))
LEARNERS = ("hps", "tf", "dfcnn")
SYNTHETIC = GIN_FOLDER / "datasets" / "synthetic.gin"


def name_of(path):
    return str(path.relative_to(GIN_FOLDER))


def on_made_images(files, changes=()):
    """Reads recipes, but for their images, which may not be there."""
    few = ["synthetic.num_tasks=1", "synthetic.num_train=20"]
    configuration.train([*files, SYNTHETIC], ["NUM_TASKS=1", *few, *changes])


def convolutions_of(model):
    return [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
