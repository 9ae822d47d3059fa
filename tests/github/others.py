"""What other people do at the double of GitHub while the tool is not looking."""

import subprocess
import tempfile
from collections.abc import Mapping

from tests.github import merging
from tests.github.pulls import opened, reviewed
from tests.github.state import Check, Pull, Run, Status
from tests.github.world import ACTIONS, World


class Others:
    """Acts of people and of other programs; each takes effect as if GitHub had heard it."""

    world: World

    @property
    def pulls(self) -> list[Pull]:
        with self.world.lock:
            merging.sync(self.world)
            return list(self.world.pulls.values())

    def pull(self, number: int) -> Pull:
        return next(each for each in self.pulls if each.number == number)

    def open(
        self, branch: str, by: str, title: str = "Change", *, body: str = "", fork: str | None = None
    ) -> int:
        """Open a pull request as `by` would and give its number."""
        told = {"head": branch, "base": self.world.default_branch, "title": title, "body": body}
        with self.world.lock:
            return opened(self.world, by, told, fork).number

    def approve(self, number: int, by: str, body: str = "") -> None:
        self._review(number, by, "APPROVE", body)

    def review(self, number: int, by: str, body: str) -> None:
        """Comment on a pull request in a review."""
        self._review(number, by, "COMMENT", body)

    def edit_review(self, number: int, at: int, body: str) -> None:
        """Write over the text of the review at a place, as whoever may write can."""
        review = self.pull(number).reviews[at]
        review.body, review.edited = body, self.world.now()

    def request_changes(self, number: int, by: str, body: str = "Please change this.") -> None:
        self._review(number, by, "REQUEST_CHANGES", body)

    def _review(self, number: int, by: str, event: str, body: str = "") -> None:
        with self.world.lock:
            reviewed(self.world, self.pull(number), by, event, body)
            merging.sync(self.world)

    def close(self, number: int, by: str) -> None:
        with self.world.lock:
            merging.close(self.world, self.pull(number), by)

    def merge(self, number: int, by: str, method: str = "merge") -> str:
        with self.world.lock:
            return merging.merge(self.world, self.pull(number), by, method, (None, None))

    def add_label(self, name: str) -> None:
        self.world.labels[name] = next(self.world.ids)

    def check(self, sha: str, name: str, conclusion: str | None = "success", *, app: str = ACTIONS) -> None:
        """Write a check run; without a conclusion it still runs."""
        self.world.app_id(app)
        status = "completed" if conclusion else "in_progress"
        run = Check(next(self.world.ids), sha, name, app, status, conclusion, at=self.world.now())
        with self.world.lock:
            self.world.checks.append(run)
            merging.sync(self.world)

    def run(self, sha: str, workflow: str, status: str = "completed") -> Run:
        """Let a workflow have run for a pull request's head."""
        run = Run(next(self.world.ids), workflow, sha, status=status)
        self.world.runs.append(run)
        return run

    def status(self, sha: str, context: str, state: str = "success", *, by: str = "octo") -> None:
        told = Status(next(self.world.ids), sha, context, state, None, by, self.world.now())
        with self.world.lock:
            self.world.statuses.append(told)
            merging.sync(self.world)

    @property
    def branches(self) -> dict[str, str]:
        """Give all branches with their commits."""
        refs = self.world.bare.refs("refs/heads/")
        return {name.removeprefix("refs/heads/"): sha for name, sha in refs.items()}

    def commit(
        self,
        branch: str,
        files: Mapping[str, str | bytes | None],
        message: str = "Change",
        by: str = "octo",
        *,
        fork: str | None = None,
    ) -> str:
        """Commit and push to `branch` as `by` would, from main where it is new; None removes a file."""
        bare = self.world.bare
        ref = f"refs/forks/{fork}/{branch}" if fork else f"refs/heads/{branch}"
        start = bare.sha(ref) or bare.sha(self.world.default_branch)
        author = (by, f"{by}@users.noreply.github.com")
        with self.world.lock:
            new = bare.write(self._tree(start, files), [start] if start else [], f"{message}\n", author)
            bare.move(ref, new)
            merging.sync(self.world, by)
        return new

    def _tree(self, start: str | None, files: Mapping[str, str | bytes | None]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            bare, index = self.world.bare, {"GIT_INDEX_FILE": f"{folder}/index", "GIT_WORK_TREE": folder}
            if start:
                bare.git("read-tree", start, environ=index)
            for path, text in files.items():
                how = ["--force-remove", path]
                if text is not None:
                    how = ["--add", "--cacheinfo", f"100644,{self._blob(text)},{path}"]
                bare.git("update-index", *how, environ=index)
            return bare.git("write-tree", environ=index).strip()

    def _blob(self, text: str | bytes) -> str:
        command = ["git", "-C", str(self.world.bare.path), "hash-object", "-w", "--stdin"]
        data = text.encode() if isinstance(text, str) else text
        return subprocess.run(command, input=data, check=True, capture_output=True).stdout.decode().strip()

    def delete_branch(self, branch: str, by: str = "octo") -> None:
        with self.world.lock:
            self.world.bare.delete(f"refs/heads/{branch}")
            merging.sync(self.world, by)

    def refuse_pushes(self, why: str | None) -> None:
        """Let each push be declined with these words, or no more."""
        place = self.world.bare.path / "refuse-pushes"
        place.write_text(f"{why}\n") if why else place.unlink(missing_ok=True)
