"""What happens in each act but the kill: one function an act, which prepares, sends, and waits for what must follow."""

from http import HTTPStatus
from uuid import uuid4

from deploy.local.demo.cases import ACCEPTED, CANCELLED, CLEANED, REJECTED, STOPPED, Case, Expected
from deploy.local.demo.desk import ADA, BEN, EVE, Desk
from deploy.local.play.orchestrator import Evaluation

ARTIFACTS = 24
SLOW_SECONDS = 4


async def unknown(desk: Desk) -> None:
    """First of all, so that the consumers' group has formed when times begin to matter."""
    desk.screen.act(
        "1 · An evaluation that does not exist",
        "Every command gets exactly one answer, this one too. (The consumers are still joining their Kafka group, so "
        "this first answer may take a moment.)",
    )
    unregistered = Evaluation(id=uuid4(), team="")
    expected = Expected(status="", decisions=("not_found",), events=(REJECTED,), request_file=False)
    case = desk.case("unknown", unregistered, expected)
    await desk.cancel(case, ADA)
    await desk.listener.heard(case.evaluation.id, REJECTED)


async def with_artifacts(desk: Desk) -> None:
    desk.screen.act(
        "2 · A running one, its artifacts too",
        f"Its Job runs with 2 pods and has stored {ARTIFACTS} objects; one multipart upload is unfinished. The outcome "
        "is published when Job and pods are seen gone. The artifacts follow, apart from that; the request file stays.",
    )
    expected = Expected(status="cancelled", decisions=("accepted",), events=(*STOPPED, CLEANED))
    case = await desk.running_case("running", expected, pods=2)
    await desk.orchestrator.write_artifacts(case.evaluation, ARTIFACTS)
    desk.screen.step("orchestrator", case.name, f"Job {case.evaluation.job_name} runs")
    await desk.cancel(case, ADA, reason="wrong data set", cleanup=True)
    await desk.listener.heard(case.evaluation.id, CLEANED)


async def not_started(desk: Desk) -> None:
    desk.screen.act(
        "3 · One that has not started",
        "There is no Job yet. From the acceptance on, the orchestrator may not start one: it asks before it creates.",
    )
    evaluation = await desk.orchestrator.register("blue")
    expected = Expected(status="cancelled", decisions=("accepted",), events=STOPPED)
    case = desk.case("waiting", evaluation, expected)
    await desk.cancel(case, ADA)
    await desk.listener.heard(evaluation.id, CANCELLED)
    _, answer = await desk.orchestrator.run(evaluation)
    desk.screen.step("orchestrator", case.name, f"asks to start it and is refused ({answer.answer}): no Job is created")


async def already_done(desk: Desk) -> None:
    desk.screen.act("4 · One that is done", "A final status never changes. The answer says since when it is final.")
    expected = Expected(status="succeeded", decisions=("already_completed",), events=(REJECTED,))
    case = await desk.running_case("done", expected)
    await desk.orchestrator.finish(case.evaluation)
    desk.screen.step("orchestrator", case.name, "its worker reports success; the Job is deleted")
    await desk.cancel(case, ADA)
    await desk.listener.heard(case.evaluation.id, REJECTED)


async def of_another_team(desk: Desk) -> None:
    desk.screen.act("5 · One of another team", "Eve is in team green, the evaluation belongs to blue. Its Job goes on.")
    expected = Expected(status="running", decisions=("forbidden",), events=(REJECTED,), pods=1)
    case = await desk.running_case("theirs", expected)
    await desk.cancel(case, EVE)
    await desk.listener.heard(case.evaluation.id, REJECTED)


async def sent_twice(desk: Desk) -> None:
    desk.screen.act(
        "6 · A command that is sent twice",
        "As after an answer that was lost. The command's id counts once; what was published for it is published again, "
        "for the sender of the duplicate.",
    )
    expected = Expected(status="cancelled", decisions=("accepted",), events=STOPPED, copies=2)
    case = await desk.running_case("twice", expected)
    sent = await desk.cancel(case, ADA)
    await desk.listener.heard(case.evaluation.id, CANCELLED)
    await desk.cancel(case, ADA, again=sent)
    await desk.listener.heard(case.evaluation.id, CANCELLED, times=2)


async def over_http(desk: Desk) -> None:
    desk.screen.act(
        "7 · Over HTTP",
        "The endpoint takes a bearer token, publishes the same command and waits for its outcome. Who is of another "
        "team is told no more than of an evaluation that does not exist.",
    )
    expected = Expected(status="cancelled", decisions=("accepted",), events=STOPPED)
    case = await desk.running_case("http", expected)
    status, body = await desk.post(case, ADA)
    desk.screen.step("answer", case.name, f"{status} {body}")
    desk.must(status == HTTPStatus.OK, f"the endpoint answered {status}, not 200")
    await desk.listener.heard(case.evaluation.id, CANCELLED)
    theirs = await desk.running_case(
        "private", Expected(status="running", decisions=("forbidden",), events=(REJECTED,), pods=1)
    )
    status, body = await desk.post(theirs, EVE)
    desk.screen.step("answer", theirs.name, f"{status} {body}")
    desk.must(status == HTTPStatus.NOT_FOUND, f"the endpoint answered {status}, not 404")


async def slow_begins(desk: Desk) -> Case:
    desk.screen.act(
        "8 · One whose pods take their time",
        f"Its 2 pods end {SLOW_SECONDS} s after they are told to. It delays no other: acts 9 and 10 go on meanwhile. A "
        "second command joins the first; a success reported now comes too late, for acceptance is what counts.",
    )
    expected = Expected(status="cancelled", decisions=("accepted", "joined"), events=STOPPED)
    case = await desk.running_case("slow", expected, pods=2, ends_after=SLOW_SECONDS)
    await desk.pods_run(case, 2)
    await desk.cancel(case, ADA)
    await desk.listener.heard(case.evaluation.id, ACCEPTED)
    await desk.cancel(case, BEN, reason="costs too much")
    answer = await desk.orchestrator.report(case.evaluation, "succeeded")
    desk.screen.step("orchestrator", case.name, f"its worker reports success: {answer.answer}, not applied")
    return case


async def bare_json(desk: Desk) -> None:
    desk.screen.act(
        "9 · Meanwhile, a bare JSON value",
        "A shell script needs no library: a record without CloudEvents headers is read as a command too.",
    )
    case = await desk.running_case("script", Expected(status="cancelled", decisions=("accepted",), events=STOPPED))
    by = {"kind": "service", "id": "nightly", "team_ids": ["blue"]}
    await desk.cancel_bare(case, {"evaluation_id": str(case.evaluation.id), "requested_by": by})
    await desk.listener.heard(case.evaluation.id, CANCELLED)


async def undecodable(desk: Desk) -> None:
    desk.screen.act(
        "10 · Meanwhile, a record that is no command",
        "It becomes one dead letter with its bytes, its place and the reason, and stops nothing.",
    )
    await desk.send_rubbish(b"please stop everything")
    count = len(desk.undecodable)
    await desk.listener.until(lambda: len(desk.listener.dead_letters) >= count, "dead letter")


async def slow_ends(desk: Desk, case: Case) -> None:
    desk.screen.act("8 · again: the slow one", "Only now are its pods gone.")
    await desk.listener.heard(case.evaluation.id, CANCELLED)
