"""The table of results: what the shipped weights of each chapter score. No test: it prints.

    python tests/results.py                  # all chapters, about six minutes on one core
    python tests/results.py --chapter 05_pix2pix
    python tests/results.py --write          # and keep the numbers in tests/results.json

`test_results.py` compares the tables of the READMEs and of docs/results.md with tests/results.json, and that file's hashes with the weights.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common.checkpoint import BESIDE, load_weights
from common.scores import yardstick

FILE = ROOT / "tests" / "results.json"
CHAPTERS = sorted(path.parent.name for path in ROOT.glob("[0-9][0-9]_*/weights.safetensors"))
# How long the shipped weights were trained, on an AMD EPYC (Zen 4), 04 and 07 on an Intel Xeon with AMX: no file of weights can say it
TRAINED = {
    "01_basic_gan": "13 minutes, one core", "02_dcgan": "45 minutes, one core", "03_wgan_gp": "110 minutes, one core",
    "04_conditional_gan": "49 minutes, one core", "05_pix2pix": "211 minutes, one core",
    "06_cyclegan": "39 minutes, one core", "07_progan": "390 minutes, one core", "08_stylegan": "289 minutes, two cores, and 13, one core",
}  # fmt: skip
SEEDS = (0, 1, 2)  # of the latents, or of chapter 05's noise; chapter 06 draws nothing


@dataclass
class Config:
    """Score the shipped weights of all chapters, or of one."""

    chapter: str = ""  # one chapter; default: all
    write: bool = False  # keep the numbers in tests/results.json


def run(*arguments: object) -> str:
    """What a script of the course prints."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def scored(chapter: str, seed: int, folder: Path, weights: str = "weights.safetensors") -> dict[str, Any]:
    """One `generate.py --score`: the score with its name, the same of two references, and the cells of each row of the table."""
    own = folder / f"{weights}-{seed}"
    fewer = ["--num", 1000] if weights in ("without-cycle.safetensors", "with-identity.safetensors") else []
    given = ["--seed", seed, "--out", own, "--weights", ROOT / chapter / weights]
    run(f"{chapter}/generate.py", "--score", *fewer, *given)
    (file,) = own.glob("score*.json")  # its name says seed and weights
    found = json.loads(file.read_text())
    if chapter == "05_pix2pix":
        mine, blurred = found["pix2pix"], found["blurred truth"]
        rows = [row for row in found.values() if "l1" in row]
        cells = [
            f"{row['l1']:.3f} | {row['ssim']:.3f} | {row['detail']:.2f} | {row['lattice']:.2f}"
            + (f" | {row['fcd']:.2f} | {row['recall']:.3f}" if "fcd" in row else "")
            for row in rows
        ]
        if "fcd" not in mine:  # translations of tiles
            return {"name": "L1", "score": mine["l1"], "degraded": found["mean predictor"]["l1"], "cells": cells}
        true = found["true faces"]
        return {
            "name": "FCD", "score": mine["fcd"], "floor": true["fcd"], "degraded": blurred["fcd"], "recall": mine["recall"],
            "network": yardstick("avatars").network_id, "n": 5000, "cells": [*cells, f"{true['fcd']:.2f} | {true['recall']:.3f}"],
        }  # fmt: skip
    if chapter == "06_cyclegan":
        mine, mean = found["a to b, translated"], found["a to b, mean of its kind"]
        names = ["a to b, translated", "b to a, translated", "b to a and back"]
        if weights != "weights.safetensors":  # its rows are in docs/results.md
            names += ["a to b and back"]
        else:
            names += [
                "a to b, mean of its kind",
                "a to b, of another face",
                "a to b, true faces",
                "b to a, mean of its kind",
            ]
            names += ["b to a, blank paper", "b to a and back, noise", "b to a and back, erased"]
        digits = {"l1": 3, "ssim": 3, "fcd": 2}
        cells = [
            " | ".join(f"{found[name][key]:.{n}f}" for key, n in digits.items() if key in found[name]) for name in names
        ]
        if "fcd" not in mine:
            return {"name": "L1", "score": mine["l1"], "degraded": mean["l1"], "cells": cells}
        true = found["a to b, true faces"]
        network = {"network": yardstick("avatars").network_id, "n": 5000}
        return {
            "name": "FCD",
            "score": mine["fcd"],
            "floor": true["fcd"],
            "l1": mine["l1"],
            "mean": mean["l1"],
            "cells": cells,
        } | network
    mine, floor, degraded = (found["scores"][name] for name in ("generated", "real (floor)", "blurred real"))
    cells = [
        f"{row['fcd']:.2f} | {1000 * row['kcd']:.1f} | {row['cs']:.2f} | {row['precision']:.3f} | {row['recall']:.3f}"
        for row in (mine, floor, degraded)
    ]
    result = {"name": "FCD", "score": mine["fcd"], "floor": floor["fcd"], "degraded": degraded["fcd"]}
    result |= {"recall": mine["recall"], "network": found["network"], "n": found["n"]}
    if "asked_for" in found:
        result["asked_for"] = found["asked_for"]
        cells[0] = f"{100 * found['asked_for']:.1f} % | {found['variety']:.2f} | {cells[0]}"
    return result | {"cells": cells}


def swapped() -> list[str]:
    """The rows of chapter 08's table of swapped styles, each "attribute | noise | coarse | middle | fine | all"."""
    with tempfile.TemporaryDirectory() as folder:
        lines = run("08_stylegan/generate.py", "--swap-table", "--out", folder).splitlines()
    rows = [line.split() for line in lines if line.endswith("%") and not line.startswith("mean")]
    return [" | ".join([" ".join(row[:-5]), *(f"{float(share[:-1]):.0f} %" for share in row[-5:])]) for row in rows]


def measured(chapter: str) -> dict[str, Any]:
    """All that the table says of one chapter."""
    weights = ROOT / chapter / "weights.safetensors"
    sizes = re.findall(r"^(\w+) +([\d,]+) parameters", run(f"{chapter}/train.py", "--max-steps", 0), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        seeds = SEEDS[:1] if chapter == "06_cyclegan" else SEEDS
        rows = [scored(chapter, seed, Path(folder)) for seed in seeds]
        beside = sorted({*(ROOT / chapter).glob("*.safetensors")} - {weights, weights.with_name(BESIDE)})
        more = [path.name for path in beside]
        others = {name: scored(chapter, 0, Path(folder), name) for name in more}
    return {
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest()[:16],
        "steps": load_weights(weights, chapter)[1]["step"],
        "parameters": {name: int(number.replace(",", "")) for name, number in sizes},
        "scores": rows,
        "others": others,  # of the chapter's other shipped weights
    } | ({"swapped": swapped()} if chapter == "08_stylegan" else {})


def span(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    """The smallest and the largest of some numbers, as a README writes them: "2.24 to 2.52", or one number."""
    ends = [f"{end([row[key] for row in rows]):.{digits}f}" for end in (min, max)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def ranges(rows: list[str]) -> str:
    """The cells of several rows as one: "2.24 to 2.52 | 0.524" of "2.52 | 0.524" and "2.24 | 0.524"."""
    columns = zip(*(row.split(" | ") for row in rows), strict=True)
    ends = [sorted({*cells}, key=lambda cell: float(cell.split()[0])) for cells in columns]
    return " | ".join(some[0] if len(some) == 1 else f"{some[0]} to {some[-1]}" for some in ends)


def cell(result: dict[str, Any]) -> str:
    """The score of a chapter as the page of all results has it."""
    rows = result["scores"]
    first = rows[0]
    if first["name"] == "L1":
        return f"L1 {span(rows, 'score', 3)} (the mean map {first['degraded']:.3f})"
    if "recall" not in first:  # chapter 06
        return f"FCD {first['score']:.2f} (true faces {first['floor']:.2f}), L1 {first['l1']:.3f} (the mean face {first['mean']:.3f})"
    recall = f"recall {span(rows, 'recall', 2)}"
    return f"FCD {span(rows, 'score', 2)} ({first['floor']:.2f}, {first['degraded']:.2f}), {recall}"


def table(results: dict[str, Any]) -> str:
    """All results as Markdown."""
    lines = ["| chapter | score | of | parameters | steps | trained |", "|---|---|---|---|---|---|"]
    for chapter, result in results.items():
        first = result["scores"][0]
        judge = f"{first['network']}, N = {first['n']:,}" if "network" in first else "426 held-out pairs"
        sizes = ", ".join(f"{name} {number:,}" for name, number in result["parameters"].items())
        lines.append(f"| {chapter} | {cell(result)} | {judge} | {sizes} | {result['steps']:,} | {TRAINED[chapter]} |")
    return "\n".join(lines)


def main(config: Config) -> None:
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    for chapter in [config.chapter] if config.chapter else CHAPTERS:
        kept[chapter] = measured(chapter)
        print(f"{chapter}: {cell(kept[chapter])}", file=sys.stderr, flush=True)
    if config.write:
        FILE.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    print(table(kept))


if __name__ == "__main__":
    main(tyro.cli(Config))
