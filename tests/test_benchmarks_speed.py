"""Tests of the scripts in benchmarks/ that measure speed and memory."""

import csv
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

from skbert.models.architecture import freeze
from skbert.models.module import build_module

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = (
    *("fit", "predict", "scale", "parallel", "soak", "thresholds", "imports"),
    "figure",
)


@pytest.fixture
def load(monkeypatch):
    """Give a function that imports a script, with small ceilings to measure."""
    pytest.importorskip("accelerate", reason="needs the extra 'bench'")
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    timing = importlib.import_module("timing")
    monkeypatch.setattr(timing, "_SIDES", {"cpu": (16,)})
    monkeypatch.setattr(timing, "_COPIED", {"cpu": 2**12})
    return importlib.import_module


@pytest.fixture
def timing(load):
    return load("timing")


@pytest.fixture
def ceilings(timing):
    return timing.Ceilings(bf16=100.0, fp32=50.0, copy=10.0)


def cells(output):
    """Return the rows of the printed table, split where two spaces are."""
    lines = output.splitlines()
    (start,) = [i for i, line in enumerate(lines) if "waits" in line]
    return [re.split(r"\s{2,}", line.strip()) for line in lines[start + 1 :]]


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- timing ---------------------------------------------------------------------------


def test_ways_take_turns_in_random_order(timing):
    order = []

    def way(name, seconds):
        return lambda: order.append(name) or seconds

    machine = SimpleNamespace(wait=lambda: 1)
    turns = timing.take_turns({"a": way("a", 1.0), "b": way("b", 2.0)}, 8, machine)
    assert turns.seconds == {"a": [1.0] * 8, "b": [2.0] * 8}
    assert turns.waits == {"a": 8, "b": 8}
    rounds = [tuple(order[i : i + 2]) for i in range(0, 16, 2)]
    assert set(rounds) == {("a", "b"), ("b", "a")}


def test_ratios_are_best_to_best_and_median_to_median(timing, ceilings):
    turns = timing.Turns(
        {"peer": [4.0, 6.0, 9.0], "skbert": [2.0, 1.0, 3.0]}, {"peer": 0, "skbert": 2}
    )
    rows = dict(timing.ratio_rows(turns, n=12, flops=4e11, ceilings=ceilings))
    assert rows["peer"] == {
        "per s best": 3.0,
        "per s median": 2.0,
        "ratio best": 4.0,
        "ratio median": 3.0,
        "GFLOP/s": 100.0,
        "of bf16": 1.0,
        "waits": 0,
    }
    assert rows["skbert"]["ratio best"] == rows["skbert"]["ratio median"] == 1
    assert rows["skbert"]["waits"] == 2


def test_the_machine_is_waited_for_until_it_is_quiet(timing, monkeypatch):
    machine = timing.QuietMachine(patience=1000)
    machine.best = 1.0
    times = iter([9.0] * 6 + [1.2] * 3)
    slept = []
    monkeypatch.setattr(machine, "_time", lambda: next(times))
    monkeypatch.setattr(timing.time, "sleep", slept.append)
    assert machine.wait() == 0
    assert len(slept) == 2


def test_patience_ends(timing, monkeypatch):
    machine = timing.QuietMachine(patience=0)
    machine.best = 1.0
    monkeypatch.setattr(machine, "_time", lambda: 9.0)
    assert machine.wait() == 1


def test_a_clock_waits_for_the_gpu_before_it_is_read(timing, monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append("gpu"))
    monkeypatch.setattr(
        timing.time, "perf_counter", lambda: events.append("clock") or 3.0
    )
    assert timing.make_clock(torch.device("cuda"))() == 3.0
    assert events == ["gpu", "clock"]
    cpu = torch.device("cpu")
    assert timing.make_clock(cpu) is timing.time.perf_counter
    assert timing.make_clock(cpu, True) is timing.time.process_time


def test_a_timed_action_gives_its_seconds(timing):
    ticks = iter([10.0, 12.5])
    assert timing.timed(lambda: None, lambda: next(ticks))() == 2.5


def test_ceilings_are_measured_and_give_a_share(timing, ceilings):
    found = timing.measure_ceilings(torch.device("cpu"))
    assert min(found.bf16, found.fp32, found.copy) > 0
    # 0.5 s of products and 0.25 s of copies in 3 s.
    assert ceilings.share(3.0, flops=5e10, n_bytes=2.5e9) == pytest.approx(0.25)


def test_a_table_is_printed_and_appended(timing, tmp_path, capsys):
    path = tmp_path / "new" / "table.csv"
    for seconds in (1.23456789, 2.0):
        table = timing.Table({"way": "6s", "seconds": "9.1f"}, path, {"torch": "2"})
        table.add({"way": "a", "seconds": seconds})
    assert capsys.readouterr().out.splitlines()[:2] == [
        "   way  seconds",
        "     a      1.2",
    ]
    assert read(path) == [
        {"way": "a", "seconds": "1.234568", "torch": "2"},
        {"way": "a", "seconds": "2", "torch": "2"},
    ]


# --- flops ----------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_useful_flops_are_those_that_torch_counts(load, tiny_bert, pooling):
    useful_flops = load("flops").useful_flops
    config = AutoConfig.from_pretrained(tiny_bert)
    module, _ = build_module(tiny_bert, config, n_labels=5, pooling=pooling, dropout=0)
    module.encoder.config._attn_implementation = "eager"  # which torch can count
    if pooling == "mean":
        module.encoder.pooler = None  # it is run, and of no use
    lengths = (7, 12)

    def counted(training, frozen):
        freeze(module, module.encoder, trainable_layers=None, embeddings=frozen)
        with FlopCounterMode(display=False) as counter:
            for n_tokens in lengths:  # without padding
                ids = torch.full((1, n_tokens), 9)
                logits = module(ids, torch.ones_like(ids))
                if training:
                    logits.sum().backward()
        return counter.get_total_flops()

    for training, frozen in [(False, False), (True, False), (True, True)]:
        expected = counted(training, frozen)
        found = useful_flops(
            config,
            lengths,
            5,
            pooling=pooling,
            training=training,
            frozen_embeddings=frozen,
        )
        assert found == expected


def test_a_text_of_goemotions_costs_minilm_what_is_known(load, minilm):
    config = AutoConfig.from_pretrained(minilm)
    flops = load("flops").useful_flops(config, [19], 28)
    assert flops == pytest.approx(0.41e9, rel=0.01)


# --- inputs ---------------------------------------------------------------------------


def test_made_up_texts_have_the_lengths_of_the_data(load, tmp_path):
    inputs = load("inputs")
    folder = inputs.model_folder("tiny", tmp_path)
    for like, max_length in (("goemotions", 128), ("enron_categories", 256)):
        n = 2000 if like == "goemotions" else 200
        texts = list(inputs.make_texts(n, like))
        lengths = inputs.token_lengths(folder, texts, max_length)
        at = (0.25, 0.5) if like == "goemotions" else (0.25,)
        expected = [inputs.LENGTHS[like][inputs._AT.index(q)] for q in at]
        np.testing.assert_allclose(np.quantile(lengths, at), expected, rtol=0.1)
        assert lengths.max() <= max_length
        assert texts == list(inputs.make_texts(n, like))


def test_every_made_up_label_has_a_positive_and_a_negative(load):
    y = load("inputs").make_labels(3, 50)
    assert y.shape == (3, 50)
    assert y.any(axis=0).all()
    assert not y.all(axis=0).any()


def test_absent_data_is_made_up_where_its_lengths_are_known(
    load, tmp_path, monkeypatch, capsys
):
    inputs = load("inputs")
    monkeypatch.setenv("SKBERT_TEST_DATA", str(tmp_path))
    texts, y = inputs.texts_and_labels("goemotions", "train", 7)
    assert len(texts) == len(y) == 7
    assert y.shape[1] == 28
    assert "No data set 'goemotions'" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="No data set 'nowhere'"):
        inputs.texts_and_labels("nowhere", "train", 7)
    with pytest.raises(SystemExit, match="no folder"):
        inputs.model_folder("nowhere", tmp_path)


def test_texts_of_a_data_set_keep_their_labels(load, tmp_path):
    inputs = load("inputs")
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(30)]})
    frame["odd"] = frame.index % 2
    for split in ("train", "dev", "test"):
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    texts, y = inputs.texts_and_labels(str(tmp_path), "train", 20)
    numbers = [int(text.split()[1]) for text in texts]
    assert len(set(numbers)) == 20
    assert numbers != sorted(numbers)
    assert [n % 2 for n in numbers] == y[:, 0].tolist()


# --- fit ------------------------------------------------------------------------------


def test_fits_are_compared_with_the_trainer(load, tmp_path, capsys):
    target = tmp_path / "fit.csv"
    load("fit").main(
        ["--model-config=tiny", "--rows=12", "--batch-sizes", "4", "--repeats=1"]
        + ["--embeddings", "frozen", "--patience=0", f"--csv={target}"]
    )
    rows = read(target)
    assert len(cells(capsys.readouterr().out)) == len(rows) == 2 + 4
    compared = [(row["comparison"], row["batch"]) for row in rows]
    assert compared == [("notebook", "8")] * 2 + [("frozen", "4")] * 4
    names = [row["row"] for row in rows[2:6]]
    assert names[:2] == ["skbert", "Trainer"]
    for row in rows:
        assert (float(row["ratio best"]) == 1) == (row["row"] == "skbert")
        assert row["texts"] == "12"
        assert row["model"] == "tiny"
        share = float(row["GFLOP/s"]) / float(row["bf16 GFLOP/s"])
        assert float(row["of bf16"]) == pytest.approx(share, rel=0.2)


@pytest.fixture
def task(load, tiny_bert, emails):
    load("fit")
    texts, y = emails
    cpu = torch.device("cpu")
    clock = iter(range(100)).__next__  # each look at it is a second later
    return load("fits").Task(tiny_bert, texts[:10], y[:10], 48, cpu, clock)


def test_tokenization_and_training_are_timed_and_nothing_else(load, task):
    fits = load("fits")
    assert fits.SkbertFit(task, 4)() == 2
    assert fits.TrainerFit(task, 4)() == 2


def test_a_trainer_gets_what_its_row_says(load, task, monkeypatch):
    fit, fits = load("fit"), load("fits")
    trainers = []

    class Recorder(fits.Trainer):
        def train(self):
            trainers.append(self)
            self.state.global_step = 3

    monkeypatch.setattr(fits, "Trainer", Recorder)
    monkeypatch.setattr(fits.TrainerStopwatch, "seconds", 0.0, raising=False)
    args = fit._parse([])
    frozen, trained, notebook = (
        fit.ways(fit.Comparison(name, 4, name == "frozen"), task, args)
        for name in ("frozen", "trained", "notebook")
    )
    for ways in (frozen, trained, notebook):
        for name, way in ways.items():
            if name != "skbert":
                way()
    assert len(trainers) == 7
    for i, trainer in enumerate(trainers):
        word = trainer.model.base_model.embeddings.word_embeddings.weight
        assert word.requires_grad == (i >= 3)
        lengths = {len(row["input_ids"]) for row in trainer.train_dataset}
        assert (lengths == {48}) == (i == 6)
    plain, no_dropout, eager = trainers[:3]
    assert plain.args.train_sampling_strategy == "group_by_length"
    assert plain.model.config.attention_probs_dropout_prob == 0.1
    assert no_dropout.model.config.attention_probs_dropout_prob == 0
    assert eager.model.config._attn_implementation == "eager"
    assert trainers[6].args.train_sampling_strategy == "random"
    assert not trainers[6].args.bf16
    assert frozen["skbert"].params == {"pooling": "native", "freeze_embeddings": True}
    assert not trained["skbert"].params["freeze_embeddings"]
    assert notebook["skbert"].params == {}


def test_another_number_of_updates_is_an_error(load, task):
    with pytest.raises(RuntimeError, match="2 updates were made, 3 were"):
        load("fits").check_updates(2, task.n_updates(4))


def test_a_gpu_gets_more_batch_sizes_and_a_number_of_updates(load, tmp_path):
    fit = load("fit")
    args = fit._parse(["--against", "trainer", "--embeddings", "trained"])
    cuda = torch.device("cuda")
    found = list(fit.comparisons(args, cuda))
    assert [comparison.batch_size for comparison in found] == [8, 32, 128]
    args.model_config = "bert-base"
    task = fit.make_task(found[0], tmp_path, cuda, None, args)
    assert task.n_updates(8) == fit.GPU_UPDATES


def test_unknown_comparisons_are_refused(load, capsys):
    with pytest.raises(SystemExit):
        load("fit").main(["--against", "everybody"])
    assert "takes ['notebook', 'trainer']" in capsys.readouterr().err


# --- predict --------------------------------------------------------------------------


def test_predictions_are_compared_with_pipeline_and_encoder(load, tmp_path, capsys):
    pytest.importorskip("sentence_transformers", reason="needs the extra 'bench'")
    target = tmp_path / "predict.csv"
    load("predict").main(
        ["goemotions:40:9", "--batch-sizes", "1", "4", "--model-config=tiny"]
        + ["--repeats=1", "--patience=0", f"--csv={target}"]
    )
    rows = read(target)
    assert [row["row"] for row in rows] == [
        *("skbert", "pipeline 1", "pipeline 4", "encode 32", "encode 32 bf16")
    ]
    assert {(row["data"], row["texts"]) for row in rows} == {("goemotions", "9")}
    assert float(rows[0]["ratio median"]) == 1
    assert 0 < float(rows[0]["change"]) < 1e-3
    assert len(cells(capsys.readouterr().out)) == 5


def test_a_data_set_has_defaults(load):
    parse = load("predict").DataSet.parse
    assert parse("a") == ("a", 128, 2000)
    assert parse("a:64") == ("a", 64, 2000)
    assert parse("a:64:10") == ("a", 64, 10)


def test_the_largest_change_does_not_depend_on_the_order_of_labels(load):
    answers = [[{"label": "b", "score": 0.5}, {"label": "a", "score": 0.1}]]
    change = load("predict").largest_change(
        np.array([[0.2, 0.45]]), answers, ["a", "b"]
    )
    assert change == pytest.approx(0.1)


# --- scale ----------------------------------------------------------------------------


def test_points_are_measured_one_by_one(load, tmp_path, monkeypatch):
    scale = load("scale")
    # In this process: a new one would import everything again.
    monkeypatch.setattr(
        scale, "_in_a_process", lambda point: json.loads(json.dumps(point_of(point)))
    )
    point_of = scale.measure
    monkeypatch.setattr(scale, "N_TEXTS", 20)
    target = tmp_path / "scale.csv"
    scale.main(
        ["--texts", "20", "--labels", "10", "12", "--patience=0", f"--csv={target}"]
    )
    rows = read(target)
    assert [(row["way"], row["texts"], row["labels"]) for row in rows] == [
        *((way, "20", "10") for way in scale.WAYS),
        *((way, "20", "12") for way in ("predict", "fit")),
    ]
    for row in rows:
        assert float(row["seconds"]) > 0
        assert float(row["at rest MB"]) > 10
        answer = int(row["texts"]) * int(row["labels"]) * 8 / 1e6
        has_answer = row["way"] == "predict"
        expected = answer if has_answer else 0
        assert float(row["answer MB"]) == pytest.approx(expected, rel=1e-6)
        assert (float(row["state MB"]) > 0) == (row["way"] == "fit")


def test_a_million_texts_are_only_predicted(load):
    scale = load("scale")
    points = list(scale.points(scale._parse(["--large"])))
    large = [way for way, n_texts, _ in points if n_texts == 1_000_000]
    assert large == ["predict", "stream"]
    assert len(points) == len(set(points))
    only = scale._parse(["--fit", "--texts", "43410", "--labels"])
    assert list(scale.points(only)) == [("fit", 43410, 10)]


# --- parallel -------------------------------------------------------------------------


def test_jobs_are_compared_and_too_many_threads_counted(load):
    turn = {"texts": 9, "first": 6.0, "again": 4.0, "workers": 1, "threads": 2}
    results = {
        1: [
            turn | {"fork": 0, "waits": 1},
            turn | {"again": 5.0, "fork": 0, "waits": 0},
        ],
        2: [turn | {"first": 3.0, "workers": 2, "fork": 3, "waits": 0}],
    }
    one, two = load("parallel").rows(results, n_cores=2)
    assert (one["first x"], one["again x"], one["too many"]) == (1, 1, 0)
    assert (two["first x"], two["again x"], two["too many"]) == (2, 1, 2)
    assert (one["fork"], two["fork"], one["waits"]) == (0, 3, 1)


def test_warnings_of_a_fork_are_counted(load):
    count_forks = load("parallel").count_forks
    warning = "The current process just got forked, after parallelism has been used."
    assert count_forks("") == count_forks("a progress bar\n") == 0
    assert count_forks(f"tokenizers: {warning}\nanother line\n") == 1


def test_a_turn_tells_of_its_workers(load, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONWARNINGS", "")  # which the turn sets
    arguments = "--point 1 --model-config tiny --rows 80 --folds 2"
    load("parallel").main(arguments.split())
    turn = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert turn["texts"] == 80
    assert turn["workers"] == 1
    assert turn["threads"] == torch.get_num_threads()
    assert turn["first"] > 0


# --- soak -----------------------------------------------------------------------------


@pytest.fixture
def soak(load, monkeypatch):
    soak = load("soak")
    monkeypatch.setattr(soak, "N_TEXTS", 60)
    monkeypatch.setattr(soak, "N_CALLS", 10)
    monkeypatch.setattr(soak, "MOST_TEXTS", 9)
    return soak


def test_a_soak_counts_calls_and_watches_the_memory(soak, tmp_path, capsys):
    target = tmp_path / "soak.csv"
    arguments = "--minutes 0.05 --threads 3 --model-config tiny"
    with pytest.raises(SystemExit) as end:
        soak.main([*arguments.split(), f"--csv={target}"])
    (row,) = read(target)
    assert (row["wrong"], row["threads"]) == ("0", "3")
    assert end.value.code == (float(row["growth %"]) > soak.MOST_GROWTH)
    assert float(row["largest MB"]) >= float(row["first minute MB"]) > 50
    output = capsys.readouterr().out
    counts = re.findall(r"^ *([a-z_ ]+?) +(\d+) +0 +[\d.]+ +[\d.]+$", output, re.M)
    assert {*soak.KINDS, "no texts"} == {kind for kind, _ in counts}
    assert sum(int(n) for _, n in counts) == int(row["calls"])


@pytest.fixture
def soaked(soak, load, tmp_path):
    clf = soak.fitted(load("inputs").model_folder("tiny", tmp_path), "fp32")
    return soak.Soak(clf, cold=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: run.clf.net_.module_.output_layer.bias.data.add_(1), "to the bit"),
        (lambda run: setattr(run.clf, "_check_texts", lambda X: ["a"]), "for a text"),
    ],
)
def test_a_soak_finds_wrong_answers(soaked, spoil, said):
    spoil(soaked)
    soaked.run(1.0, 2)
    assert any(said in what for what in soaked.wrong)
    assert sum(row["wrong"] for row in soaked.rows()) > 0


def test_growth_is_the_most_after_the_first_minute_against_the_most_in_it(soak):
    samples = [(0, 90), (50, 100), (70, 103), (80, 102), (140, 100), (160, 99)]
    row = soak.Memory(60.0, samples).row()
    assert row["growth %"] == pytest.approx(3)
    assert row["late growth %"] == pytest.approx(100 * (100 / 103 - 1))
    assert (row["largest MB"], row["at the end MB"]) == (103, 99)


# --- thresholds -----------------------------------------------------------------------


def test_searches_are_compared_with_sorting(load, tmp_path, capsys):
    target = tmp_path / "thresholds.csv"
    load("thresholds").main(
        ["--rows=2000", "--labels=3", "--repeats=1", "--patience=0", f"--csv={target}"]
    )
    rows = read(target)
    assert len(rows) == 7
    assert float(rows[0]["sorts"]) == 1
    for row in rows:
        sorts = float(row["s best"]) / float(rows[0]["s best"])
        assert float(row["sorts"]) == pytest.approx(sorts, rel=1e-4)
    assert len(cells(capsys.readouterr().out)) == 7


# --- imports --------------------------------------------------------------------------


def test_imports_are_compared_with_that_of_scikit_learn(
    load, monkeypatch, tmp_path, capsys
):
    target = tmp_path / "imports.csv"
    imports = load("imports")
    statements = ("pass", "import sklearn")
    monkeypatch.setattr(imports, "STATEMENTS", statements)
    imports.main(["--repeats=1", "--patience=0", f"--csv={target}"])
    rows = read(target)
    assert [row["statement"] for row in rows] == list(statements)
    for kind in ("best", "median"):
        limit = float(rows[1][f"s {kind}"])
        for row in rows:
            ratio = float(row[f"s {kind}"]) / limit
            assert float(row[f"ratio {kind}"]) == pytest.approx(ratio, rel=1e-4)
    assert len(cells(capsys.readouterr().out)) == 2


def test_the_processor_time_of_an_import_is_that_of_its_own_process(load):
    imports = load("imports")
    before = imports.processor_time_of_children()
    sum(range(10**6))  # in this one
    assert imports.processor_time_of_children() == before
    code = "import time\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert imports.processor_time_of_children() - before >= 0.09


# --- figure ---------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path):
    """Tables as the scripts write them."""
    machine = {"device": "cpu", "threads": 2, "torch": "2.13", "bf16 GFLOP/s": 780.0}
    machine |= {"fp32 GFLOP/s": 150.0, "copy GB/s": 9.0}

    def ratios(names, **first):
        ratio = {"ratio best": 2.0, "ratio median": 1.9, "of bf16": 0.2}
        return [first | {"row": name} | ratio | machine for name in names]

    fit = ratios(["skbert", "Trainer"], comparison="frozen", batch=32)
    predict = ratios(["skbert", "pipeline 8", "encode 32"], data="goemotions")
    scale = [
        {"way": way, "texts": n, "labels": n_labels, "above MB": 10.0}
        for way in ("predict", "fit")
        for n, n_labels in ((100, 10), (1000, 10), (100, 50))
    ]
    for name, rows in {"fit": fit, "predict": predict, "scale": scale}.items():
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_the_figure_is_drawn_from_the_tables(load, results):
    figure = load("figure")
    ratios = figure.read_ratios(results)
    groups = ratios.groupby("group", sort=False).size().to_dict()
    assert groups == {"fit, frozen, batch 32": 2, "predict, goemotions": 3}
    assert set(groups) <= set(figure.GOALS)
    target = results / "images" / "performance.png"
    figure.main(["--results", str(results), "--output", str(target)])
    assert target.read_bytes().startswith(b"\x89PNG")


def test_of_two_runs_in_one_file_the_later_counts(load, results):
    path = results / "fit.csv"
    later = pd.read_csv(path).assign(**{"ratio median": 7.0})
    later.to_csv(path, mode="a", header=False, index=False)
    ratios = load("figure").read_ratios(results)
    assert (ratios.loc[ratios["comparison"] == "frozen", "ratio median"] == 7).all()
    assert len(ratios) == 5


@pytest.mark.parametrize("present", ["fit", "scale", None])
def test_absent_tables_are_left_out(load, results, present, capsys):
    for name in ("fit", "predict", "scale"):
        if name != present:
            (results / f"{name}.csv").unlink()
    target = results / "performance.png"
    load("figure").main(["--results", str(results), "--output", str(target)])
    assert target.exists() == (present is not None)
    assert ("nothing to draw" in capsys.readouterr().out) == (present is None)


# --- all ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_how_to_run_a_script(load, name, capsys):
    with pytest.raises(SystemExit) as end:
        load(name).main(["--help"])
    assert end.value.code == 0
    assert f"python benchmarks/{name}.py" in (output := capsys.readouterr().out)
    assert ("--processor-time" in output) == (name not in ("figure", "soak"))
