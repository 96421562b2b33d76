"""The folder of one run: who may continue it, and its growing files.

    run.json              where the run came from, what continued it, its state
    operative_config.gin  the configuration that began it
    metrics.csv           accuracy and loss, a row per epoch, task and split
    configurations.csv    prior and posterior of each configuration

`run.json` makes a folder a workdir. It is written last, so a folder in which a
run was killed before holds nothing of worth and is begun again.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lasem_tf.checks import InputError, check_one_of
from lasem_tf.evaluation.history import HistoryRow
from lasem_tf.files import write_atomically, write_json
from lasem_tf.training.bindings import first_difference
from lasem_tf.training.provenance import describe_circumstances, describe_run

try:
    import fcntl
except ImportError:  # Windows has no such locks; there nobody is kept out.
    fcntl = None

COLUMNS = {
    "metrics.csv": HistoryRow._fields,
    "configurations.csv": (
        "task",
        "epoch",
        "configuration",
        "prior",
        "posterior",
    ),
}
STATES = ("running", "interrupted", "complete")
_RUN, _CONFIG = "run.json", "operative_config.gin"


class Workdir:
    """The folder that holds everything one run writes.

    Args:
        path: The folder; nothing is read or written before `open`.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self._is_ours = self._existed = False

    def open(
        self,
        config_text: str,
        seed: int,
        tasks: Sequence[Mapping[str, Any]] = (),
        content: str = "",
    ) -> Workdir:
        """Begins a workdir, or makes sure that this run may continue it.

        Args:
            config_text: Every binding in force, as gin writes them. Where
                data and results lie (`workdir`, `data_dir`, macro `DATA_DIR`)
                may differ from the run that is continued.
            seed: The one seed of the run.
            tasks: What `run.json` is to say of each task.
            content: Differs if images or labels do: a run goes on with those
                that began it only.

        Returns:
            This object.

        Raises:
            InputError: If the folder cannot be written, holds something that
                is not a run, or holds a run of another configuration.
        """
        try:
            if (self.path / _RUN).exists():
                self._check_same_run(config_text, seed, content)
            self._existed = self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if not (self.path / _RUN).exists():
                self._begin(config_text, seed, tasks, content)
                self._is_ours = True
        except OSError as error:
            raise InputError(
                "The workdir must be a folder that this user can write to.",
                received=f"'{self.path}' ({error.strerror})",
                remedy="Choose another one with `--workdir`.",
            ) from error
        return self

    def remove_if_in_vain(self) -> None:
        """Removes what `open` began here, if nothing was measured since.

        Otherwise the corrected command of a run that was refused would find a
        run of another configuration. A folder that this object continued, or
        in which another process runs, is left as it is.
        """
        # Another process may have come between `open` and now, so who holds
        # the folder is asked again, and the answer holds until it is gone.
        with contextlib.suppress(InputError, OSError):
            with self.locked():
                if self._is_ours and not self._has_measured():
                    shutil.rmtree(self.path, ignore_errors=True)
                    if self._existed:
                        self.path.mkdir(exist_ok=True)

    @property
    def state(self) -> str:
        """One of `STATES`; setting it writes `run.json`."""
        return self._run()["state"]

    @state.setter
    def state(self, state: str) -> None:
        check_one_of("state", state, STATES)
        write_json(self.path / _RUN, self._run() | {"state": state})

    def note_continuation(self, num_epochs_done: int) -> None:
        """Adds what goes on with the run from here to `run.json`.

        It may be another machine, or other versions, than those that began it.
        A sitting that got no further takes the place of the one before; the
        one that began the folder is in `run.json` already.

        Args:
            num_epochs_done: Over all tasks.
        """
        if self._is_ours and not num_epochs_done:
            return
        run = self._run()
        now = describe_circumstances() | {"after_epochs": num_epochs_done}
        earlier = [
            sitting
            for sitting in run.get("continued", ())
            if sitting["after_epochs"] < num_epochs_done
        ]
        write_json(self.path / _RUN, run | {"continued": [*earlier, now]})

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from running in the same folder.

        The lock ends with the process, however it ends.

        Raises:
            InputError: If another process holds the folder.
        """
        if fcntl is None:
            yield
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            # Some network file systems know no locks: better run unguarded.
            with contextlib.suppress(OSError):
                self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def append(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Adds rows to a CSV file.

        Args:
            name: A key of `COLUMNS`.
            rows: One value per column each.
        """
        with (self.path / name).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def csv_bytes(self) -> dict[str, int]:
        """Returns the length of each CSV file, once it is safely on disk."""
        lengths = {}
        for name in COLUMNS:
            with (self.path / name).open("rb+") as file:
                os.fsync(file.fileno())
                lengths[name] = file.seek(0, os.SEEK_END)
        return lengths

    def rewind(self, csv_bytes: Mapping[str, int]) -> None:
        """Cuts off what was written to the CSV files after a checkpoint.

        Args:
            csv_bytes: What `csv_bytes` said at that moment; a file that it
                does not name is begun anew, with its header.

        Raises:
            InputError: If a file holds less than it held then.
        """
        for name, columns in COLUMNS.items():
            path, length = self.path / name, csv_bytes.get(name, 0)
            found = path.stat().st_size if path.exists() else 0
            if found < length:
                raise InputError(
                    f"'{path}' must hold the {length} bytes that the last "
                    "checkpoint of this run counted.",
                    received=f"{found} bytes",
                    remedy="Put the file back, or begin another workdir.",
                )
            path.touch()
            os.truncate(path, length)
            if not length:
                self.append(name, [columns])

    def _run(self) -> dict[str, object]:
        return json.loads((self.path / _RUN).read_text("utf-8"))

    def _begin(
        self,
        config_text: str,
        seed: int,
        tasks: Sequence[Mapping[str, Any]],
        content: str,
    ) -> None:
        ours = (_CONFIG, f".{_CONFIG}.partial", f".{_RUN}.partial")
        others = {p.name for p in self.path.iterdir()} - set(ours)
        if others:
            raise InputError(
                "The workdir must be a new or empty folder, or one that a run "
                "of this program began.",
                received=f"'{self.path}', which holds '{min(others)}'",
                remedy="Choose another one with `--workdir`.",
            )
        write_atomically(self.path / _CONFIG, config_text)
        content = describe_run(seed) | {
            "state": "running",
            "tasks": list(tasks),
            "content": content,
        }
        write_json(self.path / _RUN, content)

    def _has_measured(self) -> bool:
        path = self.path / "metrics.csv"
        return path.exists() and len(path.read_bytes().splitlines()) > 1

    def _check_same_run(
        self, config_text: str, seed: int, content: str
    ) -> None:
        try:
            begun_with = (self.path / _CONFIG).read_text("utf-8")
            begun = self._run()
            begun_seed, begun_content = begun["seed"], begun.get("content")
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"A workdir must hold a readable '{_RUN}' and '{_CONFIG}'.",
                received=f"'{self.path}' ({error})",
                remedy="Choose another one with `--workdir`.",
            ) from error
        difference = first_difference(
            f"seed = {begun_seed}\n{begun_with}",
            f"seed = {seed}\n{config_text}",
        )
        if difference:
            name, before, now = difference
            raise InputError(
                "A workdir can be continued with the configuration that began "
                f"it only: '{self.path}' was begun with `{name} = {before}`.",
                received=f"{name} = {now}",
                remedy="Choose another `--workdir`, or the earlier value.",
            )
        if content and begun_content and content != begun_content:
            raise InputError(
                "A workdir can be continued with the images and labels that "
                "began it only.",
                received=f"others than '{self.path}' was begun with",
                remedy="Choose another `--workdir`, or bring the data back.",
            )

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "Only one process at a time may run in a workdir.",
                received=f"'{self.path}', where another one is running",
                remedy="Wait for it, or choose another `--workdir`.",
            ) from error
