"""The command line of the stand: `python -m deploy.local --help`."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The whole system on this machine.")

Kafka = Annotated[str, typer.Option(help="memory, real, or the bootstrap servers of your own")]
Kubernetes = Annotated[str, typer.Option(help="simulated, real, kubelet, or the path of your own kubeconfig")]


@app.callback()
def main() -> None:
    """The whole system on this machine."""


@app.command()
def up(kafka: Kafka = "memory", kubernetes: Kubernetes = "simulated") -> None:
    """Start the whole system and keep it running until Ctrl-C."""
    from deploy.local.play import up as running  # noqa: PLC0415  --help must not load every client library

    raise typer.Exit(running.run(running.up(kafka, kubernetes)))


@app.command()
def demo(kafka: Kafka = "memory", kubernetes: Kubernetes = "simulated") -> None:
    """Tell the story of several cancellations, step by step, and check that everything was as told."""
    from deploy.local.demo.story import demo as telling  # noqa: PLC0415
    from deploy.local.play import up as running  # noqa: PLC0415  as above

    raise typer.Exit(running.run(telling(kafka, kubernetes)))


@app.command()
def evaluation(
    team: Annotated[str, typer.Option(help="whose it is")] = "blue",
    pods: Annotated[int, typer.Option(min=0, help="of its Job; 0: it is registered and no more")] = 1,
    ends_after: Annotated[int, typer.Option(min=0, help="seconds that its pods take to end")] = 0,
    artifacts: Annotated[int, typer.Option(min=0, help="objects it has stored so far")] = 0,
) -> None:
    """Make one more evaluation on the system that `up` keeps running, and print its id."""
    from deploy.local.play import commands  # noqa: PLC0415  as above
    from deploy.local.play import up as running  # noqa: PLC0415

    made = commands.make_evaluation(team=team, pods=pods, ends_after=ends_after, artifacts=artifacts)
    raise typer.Exit(running.run(made))


@app.command()
def events() -> None:
    """Follow the events topic of the system that `up` keeps running."""
    from deploy.local.play import commands  # noqa: PLC0415  as above
    from deploy.local.play import up as running  # noqa: PLC0415

    raise typer.Exit(running.run(commands.follow_events()))


@app.command()
def prepare() -> None:
    """Download and build now what the real Kafka and the real Kubernetes API need."""
    from deploy.local.play import prepare as preparing  # noqa: PLC0415  as above
    from deploy.local.play import up as running  # noqa: PLC0415

    raise typer.Exit(running.run(preparing.prepare()))


if __name__ == "__main__":
    app()
