"""How to install lasem_tf: `pip install -e .` in a checkout.

Editable, since the recipes in gin/ and the scripts in bin/ are used from the
checkout.
"""

import pathlib

import setuptools

setuptools.setup(
    name="lasem_tf",
    version="0.1.0",
    description="Lifelong learning that learns which layers of each task to "
    "share: LASEM on TensorFlow 2 and Keras 3",
    long_description=pathlib.Path(__file__)
    .with_name("README.md")
    .read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=setuptools.find_packages(include=["lasem_tf", "lasem_tf.*"]),
    # What TensorFlow Datasets reads beside the builder.
    package_data={
        "lasem_tf.data.office_home": ["*.bib", "*.md", "*.tsv", "*.txt"]
    },
    python_requires=">=3.10",
    install_requires=[
        "absl-py>=2.1",
        "gin-config>=0.5,<1",
        # TensorFlow Datasets imports it without saying so.
        "importlib_resources>=6",
        "keras>=3.12,<4",
        "numpy>=2.0,<3",
        "pandas>=2.2,<4",
        "pillow>=10.1",
        "scikit-learn>=1.5,<2",
        "scipy>=1.13,<2",
        "tensorboard>=2.20,<3",
        "tensorflow>=2.20,<3",
        "tensorflow-datasets>=4.9.9,<5",
        "tqdm>=4.66,<5",
        # Not ours: TensorFlow Datasets wants it, later releases refuse Python
        # 3.10, and pip 23.0, which comes with 3.10, takes long to find out.
        "etils<1.14; python_version < '3.11'",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<3"],
        "test": [
            # TensorFlow Datasets imports it for its test of builders.
            "dill>=0.3.8",
            "hypothesis>=6.100",
            "pytest>=8,<10",
            "pytest-xdist>=3.5",
            "ruff>=0.9",
        ],
    },
)
