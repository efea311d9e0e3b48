"""`callwright options URI`: is the server alive? Any answer is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, TraceFlag, VerboseFlag, exit_code, show
from callwright.host.operator import EXIT_INTERRUPTED, say
from callwright.host.signals import first_of, run_async

if TYPE_CHECKING:
    from callwright.outcome.request import RequestOutcome
    from callwright.phone.plan import Account, PhoneConfig

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright options sip:pbx.example.com

  callwright options 192.0.2.10:5060 --transport tcp --timeout 2 --json
"""


@app.command(epilog=_EXAMPLES)
def options(
    uri: Annotated[str, typer.Argument(metavar="URI", help="The server, or a user on it.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="URI", help="Caller to show in From.")
    ] = None,
    user: flags.UserOption = None,
    password: flags.PasswordOption = None,
    proxy: flags.ProxyOption = None,
    transport: flags.TransportOption = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Wait this long for an answer.")
    ] = 5.0,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="'X-A: b'", help="Add a header to the request.")
    ] = None,
    bind: flags.BindOption = None,
    advertise: flags.AdvertiseOption = None,
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    sni: flags.SniOption = None,
    insecure: flags.InsecureOption = False,
    ws_path: flags.WsPathOption = "/ws",
    ipv4: flags.Ipv4Option = False,
    ipv6: flags.Ipv6Option = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """Send OPTIONS: any answer, even a refusal, shows that the server is alive."""
    from callwright.cli.call import caller
    from callwright.evidence.naming import tls_in_words
    from callwright.phone.plan import Account

    target = flags.sip_uri(uri)
    if proxy:
        flags.sip_uri(proxy, "--proxy")
    config = flags.phone_config(
        transport=transport,
        bind=bind,
        advertise=advertise,
        user=user or "callwright",
        ca=ca,
        cert=cert,
        key=key,
        sni=sni,
        insecure=insecure,
        ws_path=ws_path,
        ipv4=ipv4,
        ipv6=ipv6,
    )
    account = Account(user, password or "") if user else None
    outcome, interrupted = run_async(
        lambda stop: _ping(
            config,
            target,
            account,
            {
                "caller": caller(from_),
                "proxy": proxy,
                "headers": flags.headers_of(header or (), free=True),
                "timeout": timeout,
            },
            stop,
            flags.Watching(trace_sip, hep),
        )
    )
    if as_json:
        flags.print_result(outcome.to_json(), [password])
    else:
        show(f"{outcome.verdict.value}: {outcome.reason}")
        if outcome.user_agent:
            show(f"  server  {outcome.user_agent}")
        if outcome.tls is not None:
            show(f"  tls     {tls_in_words(outcome.tls)}")
        if outcome.allow:
            show(f"  allows  {', '.join(outcome.allow)}")
    return EXIT_INTERRUPTED if interrupted else exit_code(outcome.verdict, outcome.failure)


async def _ping(
    config: PhoneConfig,
    target: str,
    account: Account | None,
    wishes: dict[str, Any],
    stop: asyncio.Event,
    watching: flags.Watching,
) -> tuple[RequestOutcome, bool]:
    from callwright.outcome.judgement import judge_request
    from callwright.phone.phone import Phone

    permission = flags.typed_permission("options", target, wishes.get("proxy"))
    taps = watching.taps([account.secret] if account else ())
    async with Phone(config, taps=taps, permission=permission, on_warning=say) as phone:
        request = phone.request("OPTIONS", target, account=account, **wishes)
        interrupted = await first_of(stop, request.finished)
        if interrupted:
            request.abandon()
        outcome = await request.finished
    return outcome.judged(*judge_request(outcome)), interrupted
