"""What operators do: to jobs, queues, dead letters and limits."""

from functools import partial

from hypothesis import strategies as st

from jobs import operations
from jobs.errors import NotPossible
from jobs.models import Job
from jobs.states import FINAL, UNFINISHED, Move, State
from tests.jobs.properties.clients import Clients
from tests.jobs.properties.machine import OFTEN, OPERATOR, PICK, SOMETIMES, Did, Effect, step
from tests.jobs.properties.model import LIMITS, ModelJob, Span
from tests.jobs.properties.sessions import Answer
from tests.jobs.properties.wishes import QUEUES, TOMORROW


def _can_act(machine: "People") -> bool:
    return machine.is_free(machine.world.operator) and bool(machine.model.jobs)


class People(Clients):
    """One operator at a time."""

    @step(
        4,
        lambda machine: _can_act(machine) and bool(machine.jobs_in(*UNFINISHED)),
        pick=PICK,
        stays_open=OFTEN,
    )
    def cancel(self, pick: int, stays_open: bool) -> None:
        """Cancel a job: at once when it waits; by a wish when it runs."""
        job = self.likely(self.jobs_in(*UNFINISHED), pick)

        def finish(answer: Answer, _: Span) -> Did:
            if _is_refused(answer, expected=job.state in FINAL):
                return Did()
            if job.state == State.RUNNING:
                return Did([partial(self._wished, job)], [job.id])
            return Did([partial(self.model.leave, job, Move.CANCELLED)], [job.id])

        call = partial(operations.cancel, job.id, actor=OPERATOR)
        session = self.world.operator
        self.perform(session, call, finish, stays_open=stays_open, targets=[job.id])

    @staticmethod
    def _wished(job: ModelJob) -> None:
        job.unwanted = True
        job.told.append("cancel_requested")

    @step(
        2,
        lambda machine: _can_act(machine) and bool(machine.jobs_in(State.SCHEDULED)),
        pick=PICK,
        stays_open=SOMETIMES,
    )
    def hasten(self, pick: int, stays_open: bool) -> None:
        """Run a scheduled job now."""
        job = self.likely(self.jobs_in(State.SCHEDULED), pick)

        def finish(answer: Answer, _: Span) -> Did:
            if _is_refused(answer, expected=job.state != State.SCHEDULED):
                return Did()
            upset = partial(self.model.turns.upset, job.place)
            return Did([partial(job.move, Move.HASTENED, State.AVAILABLE), upset], [job.id])

        call = partial(operations.hasten, job.id, actor=OPERATOR)
        session = self.world.operator
        self.perform(session, call, finish, stays_open=stays_open, targets=[job.id])

    @step(1, _can_act, queue=st.sampled_from(QUEUES), stays_open=SOMETIMES)
    def pause(self, queue: str, stays_open: bool) -> None:
        """Pause a queue."""

        def finish(answer: Answer, _: Span) -> Did:
            refused = _is_refused(answer, expected=queue in self.model.paused)
            return Did() if refused else Did([partial(self.model.paused.add, queue)])

        call = partial(operations.pause_queue, queue, actor=OPERATOR)
        self.perform(self.world.operator, call, finish, stays_open=stays_open)

    @step(
        6,
        lambda machine: _can_act(machine) and bool(machine.model.paused),
        queue=st.sampled_from(QUEUES),
        stays_open=SOMETIMES,
    )
    def resume(self, queue: str, stays_open: bool) -> None:
        """Resume a queue."""

        def finish(answer: Answer, _: Span) -> Did:
            refused = _is_refused(answer, expected=queue not in self.model.paused)
            return Did() if refused else Did([partial(self.model.paused.discard, queue)])

        call = partial(operations.resume_queue, queue, actor=OPERATOR)
        self.perform(self.world.operator, call, finish, stays_open=stays_open)

    @step(
        3,
        lambda machine: (
            _can_act(machine) and any(map(_awaits_decision, machine.model.jobs.values()))
        ),
        pick=PICK,
        replays=st.sampled_from([True, True, False]),
        stays_open=SOMETIMES,
    )
    def decide(self, pick: int, replays: bool, stays_open: bool) -> None:
        """Replay or discard a dead letter."""
        letters = [job for job in self.model.jobs.values() if _awaits_decision(job)]
        job = self.likely(letters, pick)
        if job.task == TOMORROW:
            return  # there is no such task to replay
        self.set_breaker()

        def finish(answer: Answer, _: Span) -> Did:
            if _is_refused(answer, expected=not _awaits_decision(job)):
                return Did()
            decided = partial(self._decided, job, "replayed" if replays else "discarded")
            again = self._replayed(job, answer.value) if replays else []
            return Did([decided, *again])

        act = operations.replay if replays else operations.discard
        call = partial(act, job.id, actor=OPERATOR)
        self.perform(self.world.operator, call, finish, stays_open=stays_open)

    @staticmethod
    def _decided(job: ModelJob, decision: str) -> None:
        job.decision = decision
        job.told.append(f"letter.{decision}")

    def _replayed(self, job: ModelJob, new: Job) -> list[Effect]:
        state = State(new.state)
        again = ModelJob(new.id, job.task, job.queue, job.tenant, job.priority, state)
        again.follows = job.follows
        upset = partial(self.model.turns.upset, job.place)
        return [partial(self.model.add, again), upset]

    @step(
        3,
        lambda machine: _can_act(machine) and not machine.anybody_waits,
        name=st.sampled_from(sorted(LIMITS)),
        value=st.sampled_from([3, 0, 4, 1, None]),
    )
    def set_limit(self, name: str, value: int | None) -> None:
        """Change a limit at run time."""

        def finish(answer: Answer, _: Span) -> Did:
            assert answer.value is None
            return Did([partial(self.model.limits.__setitem__, name, value)])

        call = partial(operations.set_limit, name, value, actor=OPERATOR)
        self.perform(self.world.operator, call, finish)


def _awaits_decision(job: ModelJob) -> bool:
    return job.state == State.DEAD and not job.decision


def _is_refused(answer: Answer, *, expected: bool) -> bool:
    """Say whether it was not possible; fail when it should have been, or the other way round."""
    refused = isinstance(answer.error, NotPossible)
    if not refused and answer.error is not None:
        raise answer.error
    assert refused == expected, answer
    return refused
