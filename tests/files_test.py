import json
import os

import pytest

from lasem_tf.files import write_atomically, write_json


def test_writes_and_replaces_whole_files(tmp_path):
    path = tmp_path / "notes.txt"
    write_atomically(path, "first, and longer\n")
    write_atomically(path, "zwölf\n")
    assert path.read_bytes() == "zwölf\n".encode()
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "notes.txt"
    write_atomically(path, "old")

    def full(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_the_content_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    events = []
    synced, replaced = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (events.append("sync"), synced(fd))
    )
    monkeypatch.setattr(
        os, "replace", lambda *a: (events.append("name"), replaced(*a))
    )
    write_atomically(tmp_path / "notes.txt", "new")
    assert events == ["sync", "name"]


def test_json_reads_back_and_ends_with_a_newline(tmp_path):
    path = tmp_path / "run.json"
    content = {"state": "complete", "accuracy": [0.1, None], "seed": 3}
    write_json(path, content)
    text = path.read_text()
    assert json.loads(text) == content
    assert text.endswith("}\n")


def test_json_that_others_cannot_read_is_not_written(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"accuracy": 0.5})
    with pytest.raises(ValueError, match="[Oo]ut of range float"):
        write_json(path, {"accuracy": float("nan")})
    assert json.loads(path.read_text()) == {"accuracy": 0.5}
    assert os.listdir(tmp_path) == ["run.json"]
