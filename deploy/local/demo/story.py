"""The demo from beginning to end: `python -m deploy.local demo`. The exit code says whether all was as told."""

from deploy.local.demo import acts, audit, kill, processes
from deploy.local.demo.checks import all_checks
from deploy.local.demo.closing import show_checks, show_table
from deploy.local.demo.desk import Desk, desk
from deploy.local.demo.facts import look_at_rest
from deploy.local.demo.screen import Screen
from deploy.local.errors import NotAsToldError, StandError
from deploy.local.kubernetes_kubelet.cluster import KubeletKubernetes
from deploy.local.play.listener import listening
from deploy.local.play.orchestrator import orchestrator
from deploy.local.play.places import Places
from deploy.local.stand.stack import Stack, stack
from deploy.local.stand.system import SHORT_LEASES, System, newest_log_lines, system


async def demo(kafka: str, kubernetes: str) -> None:
    """Raises `StandError` when something was not as told."""
    screen = Screen()
    screen.say("evaluation-cancel: the whole system on this machine, and eleven short stories of cancellations.")
    async with stack(kafka=kafka, kubernetes=kubernetes) as parts, system(parts, settings=SHORT_LEASES) as running:
        introduce(screen, running)
        async with (
            listening(running.kafka) as listener,
            orchestrator(Places.of(running)) as team,
            desk(running, screen, listener, team) as made,
        ):
            await tell(made)
            await _explain_one(made)


def introduce(screen: Screen, running: System) -> None:
    screen.say()
    for name, what in _parts(running.stack):
        screen.say(f"  {name:<12}{what}")
    consumers = ", ".join(f"{each.name} (process {each.child.pid})" for each in running.consumers.values())
    screen.say(f"  {'consumers':<12}{consumers}")
    screen.say(f"  {'endpoint':<12}{running.endpoints[0].url}")
    screen.say(f"  {'':<12}started in {screen.seconds:.1f} s")
    screen.say()
    screen.say("Each line below: the time, what kind of step it is, which evaluation it is about, what happened.")


def _parts(parts: Stack) -> list[tuple[str, str]]:
    kafka = {"memory": "in memory (librdkafka)", "real": "Apache Kafka", "given": "yours"}
    kubernetes = {
        "simulated": "simulated API server",
        "real": "real API server and controllers",
        "kubelet": "real, with a kubelet",
        "given": "yours",
    }
    return [
        ("Kafka", f"{kafka[parts.kafka.kind]} at {parts.kafka.bootstrap_servers}"),
        ("Kubernetes", f"{kubernetes[parts.cluster.kind]} at {parts.cluster.url}"),
        ("Postgres", f"real, at {parts.postgres.host}:{parts.postgres.port}"),
        ("S3", f"moto at {parts.s3.endpoint_url}"),
    ]


async def tell(made: Desk) -> None:
    """All acts, then the table and the checks."""
    try:
        killed = await _acts(made)
        await made.listener.settled()
    except NotAsToldError as error:
        raise StandError("not_as_told", f"{error}\n{newest_log_lines(made.running)}") from None
    show_table(made.screen, made.cases, made.listener)
    checks = all_checks(
        made.cases,
        await look_at_rest(made.running),
        heard=made.listener.events,
        dead_letters=made.listener.dead_letters,
        undecodable=made.undecodable,
        killed=killed,
    )
    if not show_checks(made.screen, checks):
        raise StandError("not_as_told", "see above")


async def _explain_one(made: Desk) -> None:
    """One of the stories again, as the archive and the audit tell it."""
    try:
        await audit.explained(made, next(case for case in made.cases if case.name == "running"))
    except NotAsToldError as error:
        raise StandError("not_as_told", str(error)) from None


async def _acts(made: Desk) -> kill.Killed:
    await acts.unknown(made)
    await acts.with_artifacts(made)
    await acts.not_started(made)
    await acts.already_done(made)
    await acts.of_another_team(made)
    await acts.sent_twice(made)
    await acts.over_http(made)
    slow = await acts.slow_begins(made)
    await acts.bare_json(made)
    await acts.undecodable(made)
    await acts.slow_ends(made, slow)
    killed = await kill.kill_in_mid_work(made)
    kubernetes = made.running.stack.kubernetes
    if isinstance(kubernetes, KubeletKubernetes):
        await processes.ignores_its_end(made, kubernetes)
    return killed
