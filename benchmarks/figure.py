"""Draw docs/images/performance.png from the tables that `make bench` has written.

    python benchmarks/figure.py
    python benchmarks/figure.py --results some/folder --output some.png

It reads fit.csv, predict.csv and scale.csv from benchmarks/results, and leaves out what
is not there. Left: how many times as fast as each peer skbert is, the bar at the median
and the ring at the best time; the red line is the goal, and the shortest bar
beside it is what counts. Middle: the share of the best bf16 product that each way's
useful arithmetic reaches. Right: peak memory beyond the model, the texts and the
answer, with one number of labels and with one number of texts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]

# Group -> what was asked of skbert against the fastest peer.
GOALS = {
    "fit, notebook, batch 8": 10,
    "fit, frozen, batch 32": 1.25,
    "fit, trained, batch 32": 1.15,
    "predict, goemotions": 4,
    "predict, enron_categories": 2.5,
}
# Peers that are shown, but were not what the goal spoke of.
BESIDE_THE_GOAL = ("encode",)

OWN, PEER, GOAL = "#1b6ca8", "#b9c4ce", "#c0392b"
WAYS = {
    "predict": ("predict_proba", OWN),
    "stream": ("iter_predict_proba", "#e08e0b"),
    "fit": ("fit, one epoch", "#3d8b57"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the PNG file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results", type=Path, default=REPOSITORY / "benchmarks" / "results"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=REPOSITORY / "docs" / "images" / "performance.png",
    )
    args = parser.parse_args(argv)
    ratios = read_ratios(args.results)
    scale = _read(args.results / "scale.csv")
    if ratios.empty and scale.empty:
        print(f"{args.results} holds none of the tables: nothing to draw.")
        return
    figure = draw(ratios, scale)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    # Without what would differ from day to day.
    figure.savefig(args.output, dpi=100, metadata={"Software": None})
    plt.close(figure)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def read_ratios(folder: Path) -> pd.DataFrame:
    """Return the rows of all tables of ratios, with the group that they belong to."""
    tables = []
    fit = _read(folder / "fit.csv")
    if not fit.empty:
        names = fit["comparison"] + ", batch " + fit["batch"].astype(str)
        tables.append(fit.assign(group="fit, " + names))
    predict = _read(folder / "predict.csv")
    if not predict.empty:
        tables.append(predict.assign(group="predict, " + predict["data"]))
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    # Files are appended to: the latest run counts.
    return table.drop_duplicates(["group", "row"], keep="last")


def draw(ratios: pd.DataFrame, scale: pd.DataFrame) -> plt.Figure:
    """Draw ratios, shares, and memory against texts and against labels."""
    n_groups = 0 if ratios.empty else ratios["group"].nunique()
    height = max(5.0, 1.4 + 0.24 * (len(ratios) + n_groups))
    figure = plt.figure(figsize=(15, height), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=(7, 3, 4))
    if not ratios.empty:
        _draw_ratios(left.subplots(), ratios)
        _draw_shares(middle.subplots(), ratios)
        figure.supxlabel(_machine(ratios.iloc[-1]), fontsize=9, color="0.35")
    if not scale.empty:
        above, below = right.subplots(2, 1)
        above.set_title("Peak memory beyond model, texts, answer (MB)", fontsize=11)
        _draw_memory(above, scale, along="texts", fixed="labels")
        _draw_memory(below, scale, along="labels", fixed="texts")
        above.legend(frameon=False, fontsize=9)
    return figure


def _places(ratios: pd.DataFrame) -> list[tuple[str, pd.DataFrame, range]]:
    """Return each group, its rows, and where they are drawn: below its name."""
    groups, top = [], 0
    for group, rows in ratios.groupby("group", sort=False):
        groups.append((group, rows, range(top + 1, top + 1 + len(rows))))
        top += len(rows) + 1
    return groups


def _draw_ratios(axes: plt.Axes, ratios: pd.DataFrame) -> None:
    positions, names = [], []
    outside = axes.get_yaxis_transform()
    for group, rows, places in _places(ratios):
        title = {"ha": "right", "va": "center", "weight": "bold"}
        axes.text(-0.01, places[0] - 1, group, transform=outside, **title)
        # From 1, so that what is faster than skbert points to the other side.
        axes.barh(places, rows["ratio median"] - 1, left=1, color=_colors(rows))
        axes.plot(rows["ratio best"], places, "o", mfc="none", mec="black", ms=4)
        for place, row in zip(places, rows.to_dict("records"), strict=True):
            if row["row"] == "skbert":
                continue
            end = max(1, row["ratio median"], row["ratio best"])
            # On white: a red line may pass behind it.
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            number = f"{row['ratio median']:.2f}"
            axes.text(1.04 * end, place, number, va="center", size=8, bbox=box)
        meant = [
            place
            for place, name in zip(places, rows["row"], strict=True)
            if name != "skbert" and not name.startswith(BESIDE_THE_GOAL)
        ]
        if group in GOALS and meant:
            ends = meant[0] - 0.5, meant[-1] + 0.5
            axes.vlines(GOALS[group], *ends, color=GOAL, lw=2)
        positions += places
        names += list(rows["row"])
    _finish(axes, ratios)
    axes.set_yticks(positions, names)
    axes.set_xscale("log")
    ticks = [0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    shown = ratios[["ratio best", "ratio median"]].to_numpy()
    axes.set_xlim(min(0.85, 0.9 * shown.min()), 1.4 * max(shown.max(), *GOALS.values()))
    axes.axvline(1, color="black", lw=0.8)
    title = "skbert is so many times as fast\n(bar: median, ring: best, red: goal)"
    axes.set_title(title, fontsize=11)


def _draw_shares(axes: plt.Axes, ratios: pd.DataFrame) -> None:
    for _, rows, places in _places(ratios):
        axes.barh(places, 100 * rows["of bf16"], color=_colors(rows))
    _finish(axes, ratios)
    axes.set_yticks([])
    axes.set_title("Useful arithmetic, % of the\nbest bf16 product", fontsize=11)


def _colors(rows: pd.DataFrame) -> list[str]:
    return [OWN if name == "skbert" else PEER for name in rows["row"]]


def _finish(axes: plt.Axes, ratios: pd.DataFrame) -> None:
    axes.set_ylim(_places(ratios)[-1][2][-1] + 0.6, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def _machine(row: pd.Series) -> str:
    return (
        f"{row['device']}, {row['threads']} thread(s), torch {row['torch']}; best "
        f"product {row['bf16 GFLOP/s']:,.0f} GFLOP/s in bf16, "
        f"{row['fp32 GFLOP/s']:,.0f} in fp32; copy {row['copy GB/s']:,.0f} GB/s"
    )


def _draw_memory(axes: plt.Axes, scale: pd.DataFrame, along: str, fixed: str) -> None:
    # The sweep is the value of the other column that most points share.
    value = scale[fixed].mode().iloc[0]
    table = scale[scale[fixed] == value].drop_duplicates(["way", along], keep="last")
    for way, (label, color) in WAYS.items():
        rows = table[table["way"] == way].sort_values(along)
        axes.plot(rows[along], rows["above MB"], "o-", label=label, color=color)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"{along}, {value:,} {fixed}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9")


if __name__ == "__main__":
    main()
