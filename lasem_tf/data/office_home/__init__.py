"""Office-Home: 65 classes of everyday objects in four domains."""

from lasem_tf.data.office_home.stream import (
    office_home,
    office_home_incremental,
)

__all__ = ["office_home", "office_home_incremental"]
