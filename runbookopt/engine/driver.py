"""Driver of a search: answers its asks from the journal first, by calls second, within the budget."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from typing import TypeVar, cast

from msgspec import Struct

from runbookopt.documents.finding import Finding
from runbookopt.documents.usage import Spent
from runbookopt.engine.budget import Budget, Dollars, ShortOf, Spending
from runbookopt.engine.calls import Call, Caller, attempt_of, judged, produced, reflected, unanswered
from runbookopt.engine.database import JournalError
from runbookopt.engine.event_loop import EventLoop
from runbookopt.engine.journal import Answer, Run, trajectory_id
from runbookopt.engine.progress import Left, Phase, Progress, progress_of
from runbookopt.engine.unanswered import Attempts
from runbookopt.engine.workers import WorkerPool
from runbookopt.errors import Awaiting, Invalid, RunbookoptError
from runbookopt.search.asks import Ask, Attempt, NoAnswer, Proposal, ReflectionFailure, Reply, Rollout, SoFar
from runbookopt.verifier.judge import JudgeFailure, Judgement, Question
from runbookopt.verifier.rubric import Assessment

T = TypeVar("T")
_PROGRESS_SECONDS = 0.1
_NO_VERDICTS: dict[str, Finding] = {}  # one for all attempts of a search: each of its own would take 64 bytes


class Reflections(Struct, frozen=True):
    """Reflections of a run: all that were asked for, those without a reply, and why the last has none.

    Of those with a reply, `unusable` are no proposal, and `refused` says of the last why.
    """

    asked: int = 0
    unanswered: int = 0
    last: ReflectionFailure | None = None
    unusable: int = 0
    refused: ReflectionFailure | None = None

    def plus(self, answers: Sequence[Proposal | ReflectionFailure]) -> "Reflections":
        """These and some more."""
        failures = [each for each in answers if isinstance(each, ReflectionFailure)]
        lost = [each for each in failures if each.unanswered]
        refused = [each for each in failures if not each.unanswered]
        return Reflections(
            self.asked + len(answers),
            self.unanswered + len(lost),
            lost[-1] if lost else self.last,
            self.unusable + len(refused),
            refused[-1] if refused else self.refused,
        )


class Driver:
    """Answers asks so that neither width, nor completion order, nor a kill changes the path of the run.

    - Budget: each distinct rollout is charged once, at its first use in the run, whether the journal had it
      or not, and so is each distinct reflection. Of all `rollouts`, `reserved` are kept for the proof
      (`Driver.rollouts`). An ask that the rest does not cover is not begun: it and all later ones are
      answered `stopped="budget"`. No `reflections` are no limit. Judgements cost no rollouts.
    - Dollars: each distinct answer is charged at its recorded cost, whoever paid it, a rollout's judgements
      and failed calls included. What an ask will cost nobody knows before: an ask is not begun where what is
      charged, and for each of its new calls the mean so far of what one such call came to (for the rollouts
      kept for the proof too, and as if no output had been judged before), is more than `usd`. So a run
      charges at most `usd` and what its last ask cost more than was expected of it; the first ask of a kind
      is expected to cost nothing.
    - Time: once the clock has passed `deadline`, no call begins; calls in flight finish and are kept. An ask
      that the journal then holds whole is answered, the first that it does not is answered
      `stopped="minutes"`, and the journal remembers that: a resumed run ends at the same ask. The proof is
      not cut short, since its look is spent when it begins.
    - Trouble: an attempt that came to nothing for nobody's fail has no score (`NoAnswer`). Where more of the
      search's, or of the proof's, are so than a result can bear, or no call can succeed, the run ends with
      Invalid. What it was told of such attempts in that part is taken back, so that the same run, driven
      again, asks for them again and ends as one that never lacked them.
    - Hand-off: where replies are awaited, all calls of the ask are made that can be, and the run ends with
      Awaiting. Driven again, it goes on with those that have come.
    - At most `width` calls, rollouts, reflections and judgements together, are in flight.
    """

    def __init__(  # noqa: PLR0913 - each is one term of the run
        self,
        caller: Caller,
        run: Run,
        *,
        rollouts: int,
        reserved: int,
        reflections: int | None = None,
        usd: float | None = None,
        width: int,
        deadline: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if reserved > rollouts:
            raise RunbookoptError(
                f"the proof needs {reserved} rollouts, and the whole budget is {rollouts}:"
                f" raise budget.rollouts to {reserved} at least"
            )
        self._caller = caller
        self._run = run
        self._dollars = dollars = Dollars(usd)
        self._search = Budget(rollouts - reserved, dollars, reflections, deadline, later=reserved)
        self._proof = Budget(reserved, dollars, attempts=Attempts(least=reserved))
        self._width = width
        self._progress = progress
        self._reported = self._began = time.monotonic()
        self._phase: Phase = "trying"
        self._rollouts, self._reserved = rollouts, reserved
        self._used_to_search = 0
        self._so_far: SoFar | None = None
        self._asks = 0
        self._proof_from: int | None = None  # the number of its first ask
        self._charged: set[bytes] = set()  # keys, shortened: a long run has many
        self._counted: set[bytes] = set()
        self._reflections = Reflections()
        self._spending = Spending()

    @property
    def spent(self) -> Spent:
        """All that this process has paid so far, and that the journal gave."""
        return self._spending.spent(time.monotonic() - self._began)

    @property
    def repliers(self) -> dict[str, dict[str, int]]:
        """Who answered by hand-off, by role, and how many of the answers that the run was told."""
        return self._spending.repliers

    @property
    def short_of(self) -> ShortOf | None:
        """Part of the budget that was too small, where that ended the search."""
        return self._search.short_of

    @property
    def usd_a_rollout(self) -> float:
        """Dollars that a rollout has come to in the mean, as far as they were told."""
        return self._search.dollars.a_rollout

    @property
    def lacking(self) -> int:
        """Attempts of the search so far that have no score."""
        return self._search.attempts.lost

    @property
    def reflections(self) -> Reflections:
        """Reflections of the search so far."""
        return self._reflections

    def drive(self, search: Generator[Ask, Reply, T]) -> T:
        """Answer the search until it returns, and give what it returns.

        Raises JournalError, KeyboardInterrupt, Awaiting, RunbookoptError where `usd` is a limit and an
        answer's cost is not known, and what search, agent, reflector or judge raise: all that was answered is
        then in the journal, and driving the same search again goes on from there.
        """
        reply: Reply | None = None
        self._phase = "searching"
        with self._taking_back(0), closing(search), EventLoop() as loop:
            while True:
                try:
                    ask = next(search) if reply is None else search.send(reply)
                except StopIteration as end:
                    self._run.settle()
                    self._report(at_once=True)
                    return cast("T", end.value)
                reply = self._answer(loop, ask, self._search)

    def affords(self, rollouts: Sequence[Rollout]) -> bool:
        """Whether the reservation covers these attempts of the proof, in rollouts and in dollars."""
        keys = {_short(self._caller.rollout(rollout).key) for rollout in rollouts} - self._charged
        return len(keys) <= self._proof.left and self._proof.dollars.cover(len(keys), 0)

    def rollouts(self, rollouts: Sequence[Rollout]) -> list[Attempt | NoAnswer]:
        """Attempts of the proof, in the order of `rollouts`, out of the reservation.

        Raises RunbookoptError, before the first call, where the reservation does not cover them
        (`affords`), Invalid, and Awaiting.
        """
        self._proof_from = self._asks if self._proof_from is None else self._proof_from
        if self._phase == "searching":
            self._phase, self._used_to_search = "proving", self._spending.used
        self._report(at_once=True)
        with self._taking_back(self._proof_from), EventLoop() as loop:
            reply = self._answer(loop, Ask(rollouts=tuple(rollouts)), self._proof)
            self._run.settle()
            self._report(at_once=True)
        if reply.stopped:
            short = self._proof.short_of
            left = "dollars that are left" if short == "usd" else f"{self._proof.left} kept for it"
            needed = f" by {len(rollouts) * self.usd_a_rollout:.2f} at least" if short == "usd" else ""
            raise RunbookoptError(
                f"the proof wants {len(rollouts)} rollouts, more than the {left}: raise"
                f" budget.{short}{needed}"
            )
        return list(reply.rollouts)

    @contextmanager
    def _taking_back(self, since: int) -> Iterator[None]:
        """Take back what came to nothing since an ask, where the run ends for want of answers."""
        try:
            yield
        except Invalid:
            self._run.forget(since)
            raise

    def _answer(self, loop: EventLoop, ask: Ask, budget: Budget) -> Reply:
        loop.check()
        self._so_far = ask.so_far or self._so_far
        rollouts = [self._caller.rollout(rollout) for rollout in ask.rollouts]
        reflections = [self._caller.reflection(reflection) for reflection in ask.reflections]
        # reflections begin first: they take longer
        calls = {call.key: call for call in (*reflections, *rollouts)}
        answers = self._answers(loop, ask, calls, budget)
        self._report()
        if budget.stopped is not None:
            return Reply(stopped=budget.stopped)
        attempts = tuple(
            self._attempt(answers, call, rollout, whole=budget is self._proof)
            for rollout, call in zip(ask.rollouts, rollouts, strict=True)
        )
        new = {
            call.key: attempt for call, attempt in zip(rollouts, attempts, strict=True) if self._is_new(call)
        }
        self._counted.update(map(_short, new))
        budget.attempts.add([_lacking(answers[key], attempt) for key, attempt in new.items()])
        proposals = tuple(reflected(answers[call.key]) for call in reflections)
        self._reflections = self._reflections.plus(proposals)
        return Reply(attempts, proposals)

    def _is_new(self, call: Call) -> bool:
        return isinstance(call.ask, Rollout) and _short(call.key) not in self._counted

    def _answers(
        self, loop: EventLoop, ask: Ask, calls: Mapping[str, Call], budget: Budget
    ) -> dict[str, Answer]:
        """Answers to every call and every judgement, or none and in the budget why it ended."""
        if budget.stopped is None:
            budget.cover(call for key, call in calls.items() if _short(key) not in self._charged)
        if budget.stopped is not None:
            return {}
        place, self._asks = self._asks, self._asks + 1
        shown = {key: call.shown for key, call in calls.items() if call.shown}
        budget.stopped = self._run.begin(place, ask.digest, shown)
        if budget.stopped is not None:
            return {}
        answers = self._run.answers(list(calls))
        answers |= self._run.answers([call.key for call in self._judgements(calls.values(), answers)])
        self._call(loop, calls.values(), answers, place, budget)
        judging = {key: [each.key for each in self._judgements([calls[key]], answers)] for key in calls}
        keys = [*calls, *chain.from_iterable(judging.values())]
        if any(key not in answers for key in keys):
            budget.stopped = "minutes"
            self._run.stop(place, "minutes")
            return {}
        if lost := [answer for answer in answers.values() if unanswered(answer)]:
            answers |= self._run.keep(place, lost)  # only now: who is killed before asks for them again
        for key in keys:
            if (charged := _short(key)) not in self._charged:
                self._charged.add(charged)
                self._spending.charge(answers[key])
                budget.charge(answers[key], len(judging.get(key, ())))
        return answers

    def _call(
        self, loop: EventLoop, calls: Iterable[Call], answers: dict[str, Answer], place: int, budget: Budget
    ) -> None:
        """Make the calls that have no answer yet, while there is time, and add what the journal then has."""
        calls = {call.key: call for call in (*calls, *self._judgements(calls, answers))}.values()
        missing = [call for call in calls if call.key not in answers]
        if not missing:
            return
        claimed = {call.key for call in missing}
        new = sum(map(self._is_new, calls))
        lost: dict[str, NoAnswer] = {}

        def keep(fresh: Sequence[Answer]) -> None:
            why = {answer.key: unanswered(answer) for answer in fresh}
            if given := [answer for answer in fresh if why[answer.key] is None]:
                answers.update(self._run.keep(place, given))
            answers.update({answer.key: answer for answer in fresh if why[answer.key] is not None})
            self._spending.pay(fresh)
            self._report()
            lost.update({a.key: no for a in fresh if a.kind == "rollout" and (no := why[a.key])})
            budget.attempts.bear(new, len(lost), next(reversed(lost.values()), None))

        def follow(call: Call) -> list[Call]:
            """Judgements that an output needs and that nobody has been asked for."""
            new = {each.key: each for each in self._judgements([call], answers) if each.key not in claimed}
            claimed.update(new)
            answers.update(self._run.answers([key for key in new if key not in answers]))
            return [each for key, each in new.items() if key not in answers]

        judging = follow if self._caller.judge else None
        pool = WorkerPool(
            self._caller.answer, keep, follow=judging, is_late=budget.is_late, width=self._width
        )
        try:
            loop.run(pool.make(missing))
        except BaseException:  # also Ctrl-C: what was answered is kept all the same
            self._run.hurry()
            with suppress(JournalError, Invalid):
                pool.keep_pending()
            raise
        if pool.awaited:
            awaiting = Awaiting(f"replies to {len(pool.awaited)} asks are awaited")
            awaiting.asks = tuple(pool.awaited)
            raise awaiting

    def _judgements(self, calls: Iterable[Call], answers: Mapping[str, Answer]) -> list[Call]:
        if self._caller.judge is None:
            return []
        return [
            judgement
            for call in calls
            if isinstance(call.ask, Rollout) and call.key in answers
            for judgement in self._caller.judgements(call.ask.task, self._caller.made(answers[call.key]))
        ]

    def _attempt(
        self, answers: Mapping[str, Answer], call: Call, rollout: Rollout, *, whole: bool
    ) -> Attempt | NoAnswer:
        """Judge an output: checks are recomputed, since the journal holds outputs and no scores.

        Only a proof is told the `whole` of it, for a search keeps all attempts in memory.
        """
        if no_answer := unanswered(answers[call.key]):
            return no_answer
        made = self._caller.made(answers[call.key])
        judgements = self._caller.judgements(rollout.task, made)
        verdicts = [
            (each.ask, judged(answers[each.key])) for each in judgements if isinstance(each.ask, Question)
        ]
        assessed = self._caller.assess(rollout.task, made, verdicts)
        if assessed.errors and (unjudged := _unjudged(assessed, verdicts)):
            return unjudged
        findings, left = (assessed.findings, made.left) if whole else (_NO_VERDICTS, None)
        return attempt_of(trajectory_id(call.key), made.output, assessed, findings, left)

    def _report(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._progress is not None and (at_once or now - self._reported >= _PROGRESS_SECONDS):
            self._reported = now
            search, usd = self._search, self._dollars
            seconds = None if search.deadline is None else search.deadline - now
            dollars = None if usd.limit is None else usd.limit - usd.charged
            budget, used = self._rollouts, self._spending.used
            to_search, to_prove = budget - self._reserved - used, self._reserved
            if self._phase != "searching":
                budget = self._used_to_search + self._reserved
                to_search, to_prove = 0, budget - used
            left = Left(max(0, to_search), max(0, to_prove), seconds, dollars)
            self._progress(progress_of(self._phase, self.spent, left, budget, self._so_far))


def _short(key: str) -> bytes:
    return bytes.fromhex(key[-32:])  # half of its digest, which nothing else has


def _unjudged(
    assessed: Assessment, verdicts: Iterable[tuple[Question, Judgement | JudgeFailure]]
) -> NoAnswer | None:
    """Why a verdict that decides is lacking, where that is because the judge was not heard; None else."""
    lacking = {each.criterion for each in assessed.verdicts if each.decides and each.result == "error"}
    for question, said in verdicts:
        if question.criterion in lacking and isinstance(said, JudgeFailure) and said.unanswered:
            return NoAnswer(said.kind, f"the judge: {said.message}")
    return None


def _lacking(answer: Answer, attempt: Attempt | NoAnswer) -> NoAnswer | str | None:
    """Why an attempt has no score, or no output; None where it has both."""
    if isinstance(attempt, NoAnswer):
        return attempt
    left = produced(answer).left if attempt.output is None else None
    return left.reason if left else None
