import json
import re

import pytest

from lasem_tf.checks import InputError
from lasem_tf.training.workdir import COLUMNS, Workdir

_CONFIG = "lasem.likelihood = 'joint'\nrun.num_epochs = 4\n"


@pytest.fixture
def workdir(tmp_path):
    tasks = [{"name": "birds", "class_names": ["crow", "owl"]}]
    workdir = Workdir(tmp_path / "run").open(_CONFIG, 3, tasks)
    workdir.rewind({})
    return workdir


def test_a_new_folder_says_where_the_run_came_from(workdir):
    run = json.loads((workdir.path / "run.json").read_text())

    assert set(run) == {
        "command",
        "seed",
        "versions",
        "device",
        "git_revision",
        "start",
        "state",
        "tasks",
        "content",
    }
    assert run["seed"] == 3
    assert run["tasks"][0]["class_names"] == ["crow", "owl"]
    assert run["state"] == "running"
    assert (workdir.path / "operative_config.gin").read_text() == _CONFIG


def test_folders_above_are_made(tmp_path):
    Workdir(tmp_path / "a" / "b").open(_CONFIG, seed=3)

    assert (tmp_path / "a" / "b" / "run.json").is_file()


def test_continuing_changes_nothing(workdir):
    before = (workdir.path / "run.json").read_bytes()
    workdir.append("metrics.csv", [(0, 0, 0, 0, "test", 0.5, 1.0)])
    metrics = (workdir.path / "metrics.csv").read_bytes()

    Workdir(str(workdir.path)).open(_CONFIG, seed=3)

    assert (workdir.path / "run.json").read_bytes() == before
    assert (workdir.path / "metrics.csv").read_bytes() == metrics


def test_what_continues_a_run_is_noted_beside_what_began_it(workdir):
    before = json.loads((workdir.path / "run.json").read_text())
    workdir.note_continuation(0)
    assert json.loads((workdir.path / "run.json").read_text()) == before

    for num_epochs in (2, 5):
        workdir.note_continuation(num_epochs)

    after = json.loads((workdir.path / "run.json").read_text())
    noted = after.pop("continued")
    assert after == before
    assert [sitting["after_epochs"] for sitting in noted] == [2, 5]
    for name in ("versions", "device", "git_revision"):
        assert noted[0][name] == before[name]
    assert noted[0]["start"] >= before["start"]


def test_of_sittings_without_an_epoch_the_last_one_is_noted(workdir):
    """Also where a run was killed before its first checkpoint."""
    for _ in range(2):
        again = Workdir(workdir.path).open(_CONFIG, seed=3)
        again.note_continuation(0)

    (sitting,) = json.loads((workdir.path / "run.json").read_text())[
        "continued"
    ]
    assert sitting["after_epochs"] == 0


def test_another_place_for_data_and_results_is_the_same_run(tmp_path):
    places = "run.workdir = 'a'\ncifar100.data_dir = 'b'\nDATA_DIR = 'c'\n"
    others = "run.workdir = 'd'\ncifar100.data_dir = 'e'\nDATA_DIR = 'f'\n"
    Workdir(tmp_path / "run").open(_CONFIG + places, seed=3)

    Workdir(tmp_path / "run").open(_CONFIG + others, seed=3)

    assert places in (tmp_path / "run/operative_config.gin").read_text()


@pytest.mark.parametrize(
    ("config", "seed", "was", "received"),
    [
        (_CONFIG.replace("4", "5"), 3, "run.num_epochs = 4", "5"),
        (_CONFIG.replace("joint", "mean"), 3, "lasem.likelihood = 'joint'", ""),
        (_CONFIG + "run.decay = 0.5", 3, "run.decay = (not set)", "0.5"),
        (_CONFIG, 4, "seed = 3", "4"),
    ],
)
def test_another_configuration_is_refused(workdir, config, seed, was, received):
    name = was.split(" = ")[0]
    message = (
        "A workdir can be continued with the configuration that began it only: "
        f"'{workdir.path}' was begun with `{was}`. "
        f"Received: {name} = {received}"
    )

    with pytest.raises(InputError, match=re.escape(message)):
        Workdir(workdir.path).open(config, seed)


@pytest.mark.parametrize("below", ["", "run", "deep/run"])
def test_a_file_in_the_way_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / below

    message = rf"must be a folder that this user can write to\. .*'{path}' \("
    with pytest.raises(InputError, match=message):
        Workdir(path).open(_CONFIG, seed=3)


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_folder_without_permission_is_refused(
    tmp_path, monkeypatch, is_begun
):
    # Whoever runs the tests may be allowed everything, so we ask in its place.
    if is_begun:
        Workdir(tmp_path).open(_CONFIG, seed=3)
    monkeypatch.setattr("os.access", lambda path, mode: False)

    with pytest.raises(InputError, match=r"can write to.*Permission denied"):
        Workdir(tmp_path).open(_CONFIG, seed=3)


def test_a_foreign_folder_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.tex").write_text("Introduction")

    message = r"must be a new or empty folder.*which holds 'thesis\.tex'"
    with pytest.raises(InputError, match=message):
        Workdir(tmp_path).open(_CONFIG, seed=3)

    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_an_unreadable_run_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "operative_config.gin").write_text(_CONFIG)

    with pytest.raises(InputError, match="must hold a readable 'run.json'"):
        Workdir(tmp_path).open(_CONFIG, seed=3)


@pytest.mark.parametrize(
    "left",
    [
        [],
        [".operative_config.gin.partial"],
        ["operative_config.gin"],
        ["operative_config.gin", ".run.json.partial"],
    ],
)
def test_a_folder_left_before_it_was_a_workdir_is_begun_again(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("other.binding = 1\n{")

    workdir = Workdir(tmp_path).open(_CONFIG, seed=3)

    assert workdir.state == "running"
    assert (tmp_path / "operative_config.gin").read_text() == _CONFIG


def test_state_is_written_beside_the_rest(workdir):
    before = json.loads((workdir.path / "run.json").read_text())

    workdir.state = "complete"

    after = json.loads((workdir.path / "run.json").read_text())
    assert after == before | {"state": "complete"}
    assert Workdir(workdir.path).state == "complete"


def test_an_unknown_state_is_refused(workdir):
    with pytest.raises(InputError, match="`state` must be one of 'running'"):
        workdir.state = "done"


def test_csv_files_begin_with_their_columns(workdir):
    for name, columns in COLUMNS.items():
        text = (workdir.path / name).read_text()
        assert text == ",".join(columns) + "\n"


def test_rewind_cuts_off_what_came_later(workdir):
    workdir.append("metrics.csv", [(0, 0, 0, 0, "test", 0.1 + 0.2, 1e-17)])
    lengths = workdir.csv_bytes()
    before = (workdir.path / "metrics.csv").read_bytes()
    workdir.append("metrics.csv", [(1, 0, 1, 0, "test", 0.5, 1.0)])
    workdir.append("configurations.csv", [(0, 0, "S", 0.5, 0.5)])

    workdir.rewind(lengths)

    assert (workdir.path / "metrics.csv").read_bytes() == before
    assert before.endswith(b"0,0,0,0,test,0.30000000000000004,1e-17\n")
    assert workdir.csv_bytes() == lengths


def test_rewind_to_the_beginning_leaves_the_header(workdir):
    workdir.append("metrics.csv", [(0, 0, 0, 0, "test", 0.5, 1.0)])

    workdir.rewind({})

    text = (workdir.path / "metrics.csv").read_text()
    assert text == ",".join(COLUMNS["metrics.csv"]) + "\n"


@pytest.mark.parametrize("is_there", [False, True])
def test_rewind_refuses_files_that_have_shrunk(workdir, is_there):
    lengths = workdir.csv_bytes()
    (workdir.path / "metrics.csv").unlink()
    if is_there:
        (workdir.path / "metrics.csv").write_text("glob")

    expected = lengths["metrics.csv"]
    message = rf"metrics\.csv' must hold the {expected} bytes .* bytes\. Put"
    with pytest.raises(InputError, match=message):
        workdir.rewind(lengths)


def test_only_one_run_at_a_time(workdir):
    pytest.importorskip("fcntl", reason="this system has no file locks")
    with workdir.locked():
        with pytest.raises(InputError, match="Only one process at a time"):
            with Workdir(workdir.path).locked():
                pass

    with Workdir(workdir.path).locked():
        pass  # The lock has gone with its holder.


@pytest.mark.parametrize("existed", [False, True])
def test_what_was_begun_in_vain_is_removed(tmp_path, existed):
    path = tmp_path / "run"
    if existed:
        path.mkdir()
    workdir = Workdir(path).open(_CONFIG, seed=3)
    workdir.rewind({})

    workdir.remove_if_in_vain()

    assert path.exists() == existed
    assert not existed or not any(path.iterdir())
    workdir.remove_if_in_vain()  # What is gone is no error.


def test_what_was_measured_is_never_removed(workdir):
    workdir.append("metrics.csv", [(0, 0, 0, 0, "test", 0.5, 1.0)])

    workdir.remove_if_in_vain()

    assert workdir.state == "running"


def test_what_another_one_began_is_never_removed(workdir):
    Workdir(workdir.path).open(_CONFIG, seed=3).remove_if_in_vain()

    assert workdir.state == "running"


def test_a_workdir_in_which_another_one_runs_is_never_removed(workdir):
    pytest.importorskip("fcntl", reason="this system has no file locks")
    with Workdir(workdir.path).locked():
        workdir.remove_if_in_vain()

    assert workdir.state == "running"


def test_a_run_goes_on_with_the_images_that_began_it_only(tmp_path):
    Workdir(tmp_path / "run").open(_CONFIG, 3, content="abc")
    Workdir(tmp_path / "run").open(_CONFIG, 3, content="abc")
    with pytest.raises(InputError, match="images and labels that began it"):
        Workdir(tmp_path / "run").open(_CONFIG, 3, content="abd")
