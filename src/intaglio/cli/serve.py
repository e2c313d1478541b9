"""intaglio serve"""

from __future__ import annotations

from typing import Any

import click

from intaglio.cli.app import App, common, say, say_json
from intaglio.core.errors import Invalid

MIB = 2**20
# Who asks over HTTP is told so when the library is busy for longer, and may ask again; a worker has more patience.
BUSY_S = 10.0


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8470, show_default=True, type=click.IntRange(0, 65535), help="The port; 0: a free one.")
@click.option("--host-name", "hosts", multiple=True, metavar="NAME", help="A name it answers to, as behind a proxy.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(0, 64), help="Worker processes to run.")
@click.option("--grace", default=10.0, show_default=True, type=click.FloatRange(0, 3600), help="Seconds to finish in.")
@click.option("--max-body", default=8, show_default=True, type=click.IntRange(1, 1024), help="MiB of a request.")
@click.option("--max-upload", default=16384, show_default=True, type=click.IntRange(1), help="MiB of an upload.")
@click.option("--max-pixels", default=100_000_000, show_default=True, type=click.IntRange(1), help="Of one picture.")
@click.option("--max-queue", default=20_000, show_default=True, type=click.IntRange(1), help="Tasks waiting.")
@click.option("--rate", default=100.0, show_default=True, type=click.FloatRange(0), help="Requests a second.")
@click.option("--log", "log", default="text", type=click.Choice(["text", "json"]), help="How it tells what it does.")
@common
def serve(
    app: App,
    host: str,
    port: int,
    hosts: tuple[str, ...],
    workers: int,
    grace: float,
    max_body: int,
    max_upload: int,
    max_pixels: int,
    max_queue: int,
    rate: float,
    log: Any,
) -> None:
    """Serve the library over HTTP until Ctrl-C; tasks are carried out by worker processes beside it.

    On this machine alone (127.0.0.1) it is open to you and to nobody else; any other --host lets in only who has a
    token (intaglio tokens create). TLS is a proxy's business: docs/server.md.
    """
    from intaglio.studio.limits import Limits as Most
    from intaglio.studio.logs import setup
    from intaglio.studio.open import open_for_others
    from intaglio.web.app import Config
    from intaglio.web.limits import Limits
    from intaglio.web.serve import Serving
    from intaglio.web.serve import serve as run

    setup(log)
    limits = Limits(body=max_body * MIB, upload=max_upload * MIB, pixels=max_pixels, queue=max_queue, rate=rate)
    config = Config(host=host, port=port, hosts=hosts, limits=limits)

    def ready(url: str) -> None:
        if app.as_json:
            say_json({"url": url, "library": root})
            return
        say(f"serving {root} at {url}")
        say(f"  what there is: {url}/docs    Ctrl-C ends it")

    if app.behind()[0]:
        raise Invalid("a server serves the library of its own machine", hint="Name one here: --library DIR.")
    with open_for_others(app.library, limits=Most(queue=max_queue, pixels=max_pixels), busy_s=BUSY_S) as studio:
        root = str(studio.root)
        run(studio, Serving(config, workers=workers, grace=grace, log=log), ready=ready)
