"""Several processes work on one study, and some of them die."""

import signal
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from skbert.search.study import open_study, run_trials

STORAGES = ["study.db", "study.log"]
N_TRIALS = 8

# Starts on a line from its parent, so that several start at the same moment. A worker
# that is told to hang says so in its second trial, and waits for its end. Otherwise its
# first trial waits until another worker has begun one: neither can do all alone.
WORKER = """
import os, sys, time
from pathlib import Path
import optuna
from skbert.search.study import open_study, run_trials

optuna.logging.set_verbosity(optuna.logging.ERROR)
path, n_trials, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
n_begun = 0

def meet():
    (path.parent / f"begun.{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(path.parent.glob("begun.*"))) < 2:
        assert time.monotonic() < deadline, "the other worker never came"
        time.sleep(0.01)

def objective(trial):
    global n_begun
    n_begun += 1
    x = trial.suggest_float("x", 0, 1)
    if mode == "hang" and n_begun == 2:
        print("hanging", flush=True)
        sys.stdin.readline()
    if mode == "meet" and n_begun == 1:
        meet()
    with (path.parent / "finished").open("a") as file:
        file.write(f"{trial.number}\\n")
    return x

print("ready", flush=True)
sys.stdin.readline()
study = open_study(path, "study", heartbeat_interval=1, grace_period=1)
run_trials(study, objective, n_trials)
"""


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def start_workers():
    """Give a function that starts workers at the same moment."""
    workers = []

    def start(path, *modes, n_trials=N_TRIALS):
        new = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(path), str(n_trials), mode],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for mode in modes
        ]
        workers.extend(new)
        for worker in new:
            assert worker.stdout.readline() == "ready\n"
        for worker in new:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return new

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()


def suggest(trial):
    return trial.suggest_float("x", 0, 1)


def close(study):
    backend = getattr(study._storage, "_backend", None)
    if hasattr(backend, "engine"):
        study._storage.remove_session()
        backend.engine.dispose()


@pytest.mark.parametrize("name", STORAGES)
def test_two_processes_finish_every_trial_exactly_once(tmp_path, start_workers, name):
    path = tmp_path / name
    for worker in start_workers(path, "meet", "meet"):
        assert worker.wait(timeout=60) == 0
    study = open_study(path, "study")
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(complete) == N_TRIALS
    # A trial that came too late was not run, and says so.
    late = [t for t in study.trials if t.state != TrialState.COMPLETE]
    assert all(t.user_attrs["not_run"] for t in late)
    finished = (tmp_path / "finished").read_text().split()
    assert sorted(map(int, finished)) == [trial.number for trial in complete]
    assert len(list(tmp_path.glob("begun.*"))) == 2
    assert len({trial.params["x"] for trial in complete}) == N_TRIALS
    close(study)


@pytest.mark.parametrize("name", STORAGES)
def test_a_study_goes_on_when_a_process_is_killed(tmp_path, start_workers, name):
    path = tmp_path / name
    (doomed,) = start_workers(path, "hang")
    assert doomed.stdout.readline() == "hanging\n"
    # Another one does all that the first has not begun, and then the first dies.
    (survivor,) = start_workers(path, "run")
    assert survivor.wait(timeout=60) == 0
    doomed.send_signal(signal.SIGKILL)
    doomed.wait(timeout=60)

    study = open_study(path, "study")
    (hung,) = study.get_trials(states=(TrialState.RUNNING,))
    before = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(before) == N_TRIALS - 1
    close(study)

    in_database = name.endswith(".db")
    study = open_study(
        path,
        "study",
        heartbeat_interval=1,
        grace_period=1,
        requeue_running=not in_database,
    )
    deadline = time.monotonic() + 60
    while len(study.get_trials(states=(TrialState.COMPLETE,))) < N_TRIALS:
        assert time.monotonic() < deadline
        run_trials(study, suggest, N_TRIALS)  # nothing to do until the trial is stale
        time.sleep(0.05)

    run_trials(study, suggest, N_TRIALS)
    trials = study.trials
    assert len(trials) == N_TRIALS + 1
    assert trials[hung.number].state == TrialState.FAIL
    for trial in before:
        assert trials[trial.number].value == trial.value
        assert trials[trial.number].params == trial.params
    assert trials[-1].params == hung.params
    assert trials[-1].state == TrialState.COMPLETE
    close(study)


def test_a_trial_that_kills_every_process_is_given_up(tmp_path):
    path = tmp_path / "study.log"
    for _ in range(3):
        study = open_study(path, "study", requeue_running=True, max_retry=1)
        study.ask().suggest_float("x", 0, 1)  # and never told: its process is gone
    assert len(open_study(path, "study", requeue_running=True).trials) == 4
    study = open_study(path, "study")
    values = [trial.params["x"] for trial in study.trials]
    assert values[0] == values[1] != values[2]


def test_a_finished_trial_is_not_put_into_the_queue(tmp_path, monkeypatch):
    study = open_study(tmp_path / "study.log", "study")
    study.optimize(suggest, n_trials=1)
    stale = study.trials
    monkeypatch.setattr(optuna.Study, "get_trials", lambda *args, **kwargs: stale)
    open_study(tmp_path / "study.log", "study", requeue_running=True)
    monkeypatch.undo()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


def test_no_trial_is_begun_when_others_have_run_the_rest():
    study = open_study(None, "study")
    run = []

    def objective(trial):
        run.append(trial.number)
        for _ in range(3):
            study.add_trial(optuna.trial.create_trial(value=0.5))
        return suggest(trial)

    run_trials(study, objective, 3)
    assert run == [0]
    assert len(study.trials) == 4


def test_a_trial_that_comes_too_late_is_not_run(monkeypatch):
    study = open_study(None, "study")
    ask = study.ask

    def ask_late(*args, **kwargs):
        # Another process is faster, after this one has counted.
        study.add_trial(optuna.trial.create_trial(value=0.5))
        return ask(*args, **kwargs)

    def objective(trial):
        raise AssertionError("not to be run")

    monkeypatch.setattr(study, "ask", ask_late)
    run_trials(study, objective, 1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]
    assert study.trials[1].user_attrs == {"not_run": "there were 1 already"}


def test_an_interrupted_trial_is_made_up_for():
    study = open_study(None, "study")

    def objective(trial):
        if trial.number == 1:
            raise KeyboardInterrupt
        return suggest(trial)

    with pytest.raises(KeyboardInterrupt):
        run_trials(study, objective, 3)
    run_trials(study, objective, 3)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_callbacks_and_options_are_passed_on():
    study = open_study(None, "study")
    seen = []

    def stop_after_two(study, trial):
        seen.append(trial.number)
        if len(seen) == 2:
            study.stop()

    run_trials(study, suggest, 5, callbacks=[stop_after_two])
    assert seen == [0, 1]
    run_trials(study, suggest, 5, timeout=0)
    assert len(study.trials) == 2
    run_trials(study, suggest, 5, n_jobs=2)
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 5


def test_sampler_and_pruner_are_used():
    sampler = optuna.samplers.RandomSampler(seed=3)
    pruner = optuna.pruners.NopPruner()
    study = open_study(None, "study", sampler=sampler, pruner=pruner)
    assert study.sampler is sampler
    assert study.pruner is pruner


def test_directions_are_checked():
    with pytest.raises(ValueError, match="must be 'maximize' or 'minimize'"):
        open_study(None, "study", direction="up")
    storage = optuna.storages.InMemoryStorage()
    assert open_study(storage, "study", direction="minimize").direction.name == (
        "MINIMIZE"
    )
    with pytest.raises(ValueError, match="with the direction minimize, not maximize"):
        open_study(storage, "study")
    optuna.create_study(
        storage=storage, study_name="two", directions=["minimize", "maximize"]
    )
    with pytest.raises(ValueError, match="direction minimize, maximize, not maximize"):
        open_study(storage, "two")


def test_nothing_is_printed_unless_optuna_was_asked_to(capfd, tmp_path):
    study = open_study(tmp_path / "study.db", "study")
    run_trials(study, suggest, 1)
    close(study)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR
