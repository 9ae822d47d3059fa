"""Time of calibrating 50,000 labels and verdicts: `python benchmarks/calibration.py [LABELS]`."""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runbookopt.verifier.judge import author_of
from runbookopt.verifier.rubric import read_rubric

LABELS = 50_000
CRITERIA = ("kind", "sure")
RUBRIC = "judge: {model: openai/gpt-5-mini}\ncriteria:\n" + "".join(
    f'  - {{id: {name}, judge: "Is it {name}?"}}\n' for name in CRITERIA
)
RUNBOOK = "---\nname: desk\nversion: 1.0.0\n---\n# Desk\n\n- Answer kindly.\n"


def write(root: Path, labels: int) -> None:
    """A repository with so many labels, half of them on each criterion, and a verdict for each."""
    rubric, rng = read_rubric(RUBRIC.encode(), "rubric.yaml"), random.Random(18)
    authors = {each.id: {"kind": "llm", "id": author_of(rubric, each).id} for each in rubric.judged}
    stored, labelled = [], []
    for number in range(labels // len(CRITERIA)):
        verdicts = []
        for name in CRITERIA:
            passes = rng.random() < 0.7  # noqa: PLR2004
            right = rng.random() < 0.9  # noqa: PLR2004
            said = {"trajectory": f"t{number}", "criterion": name, "by": "mara", "at": "2026-11-01"}
            labelled.append(said | {"result": "pass" if passes else "fail"})
            result = "pass" if passes == right else "fail"
            verdicts.append({"criterion": name, "result": result, "by": authors[name]})
        words = " ".join(f"{rng.randrange(10**6):x}" for _ in range(12))
        task = {"input": f"Ticket {number}: {words}"}
        stored.append({"id": f"t{number}", "task": task, "output": f"Answer {words}", "verdicts": verdicts})
    files = {
        "runbooks/desk/RUNBOOK.md": RUNBOOK,
        "runbooks/desk/rubric.yaml": RUBRIC,
        "trajectories/desk/all.jsonl": "".join(json.dumps(each) + "\n" for each in stored),
        "trajectories/desk/all.labels.jsonl": "".join(json.dumps(each) + "\n" for each in labelled),
    }
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def main() -> None:
    """Calibrate once, by the command, and say how long it took."""
    labels = int(sys.argv[1]) if len(sys.argv) > 1 else LABELS
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, labels)
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        subprocess.run(["git", "-C", str(root), "add", "."], check=True)
        author = ["-c", "user.name=Ana", "-c", "user.email=ana@example.com"]
        subprocess.run(["git", "-C", str(root), *author, "commit", "-qm", "First"], check=True)
        began = time.perf_counter()
        command = [sys.executable, "-m", "runbookopt", "calibrate", "desk"]
        ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
        print(ran.stdout)
        print(f"{labels:,} labels and as many verdicts: {seconds:.1f} s")
        print(f"{(root / 'runbooks/desk/calibration.json').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
