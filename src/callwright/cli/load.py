"""`callwright load URI`: many calls at once, and `callwright load --answer`: the other side of them."""

from __future__ import annotations

import gc
import math
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, LogFormatFlag, VerboseFlag, exit_code, log_as, print_json, show
from callwright.host.operator import EXIT_INTERRUPTED, EXIT_PLATFORM, Refused, say
from callwright.host.signals import SAME_SIGNAL, on_hangup

if TYPE_CHECKING:
    from callwright.cli.load_control import Ears
    from callwright.cli.load_view import View
    from callwright.load.engine import Controls, LoadProgress, Result
    from callwright.load.plan import Plan
    from callwright.load.preparation import Wishes
    from callwright.load.report import ReportFolder
    from callwright.load.verdict import Judgement, Threshold
    from callwright.load.worker import Worker

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright load --answer --listen 127.0.0.1:5080

  callwright load sip:x@127.0.0.1:5080 --rate 100 --calls 10000

  callwright load sip:x@127.0.0.1:5080 --ramp 10:500:60 --hold 10 --fail-if 'pdd_p99>500ms'

  callwright load sip:echo@192.0.2.10 --allow 192.0.2.10 --rate 20 --for 60 --media ports --report ./out

  callwright load sip:pbx.example.com --allow pbx.example.com --accounts users.csv --register --rate 50

  callwright load sip:x@127.0.0.1:5080 --sipp uac.xml --rate 10 --calls 100

  callwright load sip:x@127.0.0.1:5080 --find-capacity 'asr>=99.5% pdd_p95<250ms' --trial 10
"""


@app.command(epilog=_EXAMPLES)
def load(
    uri: Annotated[str | None, typer.Argument(metavar="URI", help="Whom to call.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", metavar="N", help="Calls per second.")] = None,
    ramp: Annotated[
        str | None,
        typer.Option("--ramp", metavar="FROM:TO:SECONDS", help="A rate that goes evenly up or down."),
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="N,N,...:SECONDS", help="Each rate for so many seconds.")
    ] = None,
    calls: Annotated[int, typer.Option("--calls", metavar="N", help="Calls to place, or to answer.")] = 0,
    for_: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", help="Place calls, or answer, for this long.")
    ] = None,
    concurrent: Annotated[
        int, typer.Option("--concurrent", metavar="N", help="At most so many calls at once.")
    ] = 0,
    hold: Annotated[
        float, typer.Option("--hold", min=0, metavar="SECONDS", help="From the answer to BYE.")
    ] = 0.0,
    ring: Annotated[
        float, typer.Option("--ring", min=0.1, metavar="SECONDS", help="CANCEL when nobody answers by then.")
    ] = 180.0,
    media: Annotated[
        str,
        typer.Option("--media", metavar="none|shared|ports", help="RTP: none, one port for all, one each."),
    ] = "none",
    codec: Annotated[str, typer.Option("--codec", metavar="NAME", help="PCMU, PCMA or G722.")] = "PCMU",
    play: Annotated[
        str, typer.Option("--play", metavar="FILE|tone|speech|silence", help="What the streams carry.")
    ] = "tone",
    min_heard: Annotated[
        float,
        typer.Option(
            "--min-heard",
            min=0,
            max=100,
            metavar="PERCENT",
            help="A call fails when audio came for a smaller share of it than this; 0: do not check.",
        ),
    ] = 90.0,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
    accounts: Annotated[
        Path | None,
        typer.Option(
            "--accounts",
            metavar="FILE.csv",
            help="CSV of accounts; {column} in the URI or a header inserts that column.",
        ),
    ] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Load the registrar: REGISTER instead of calls.")
    ] = False,
    register_rate: Annotated[
        float, typer.Option("--register-rate", min=0, metavar="N", help="Register accounts first; 0: do not.")
    ] = 100.0,
    random_accounts: Annotated[
        bool, typer.Option("--random-accounts", help="Take accounts at random, not in order.")
    ] = False,
    scenario: Annotated[
        Path | None,
        typer.Option(
            "--scenario", metavar="FILE.yaml", help="What each call does: a test document, or a flow."
        ),
    ] = None,
    sipp: Annotated[
        Path | None,
        typer.Option("--sipp", metavar="FILE.xml", help="Run this scenario of SIPp as it is."),
    ] = None,
    inf: Annotated[
        list[Path] | None,
        typer.Option("--inf", metavar="FILE.csv", help="With --sipp: an injection file, [field0] and on."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="FILE|NAME=VALUE",
            help="TLS: our private key (PEM). With --sipp: a keyword of your own, [NAME].",
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="With --sipp: for [authentication].")
    ] = None,
    password: flags.PasswordOption = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="URI", help="Caller to show in From.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="'X-A: b'", help="Add a header to each INVITE.")
    ] = None,
    answer: Annotated[bool, typer.Option("--answer", help="Be the other side: answer calls.")] = False,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="With --answer: where.")
    ] = None,
    ring_time: Annotated[
        float,
        typer.Option("--ring-time", min=0, metavar="SECONDS", help="With --answer: ring for this long."),
    ] = 0.0,
    reject: Annotated[
        int, typer.Option("--reject", metavar="CODE", help="With --answer: refuse every call.")
    ] = 0,
    challenge: Annotated[
        bool, typer.Option("--challenge", help="With --answer: ask REGISTER for credentials.")
    ] = False,
    prack: flags.PrackOption = "offered",
    session_expires: flags.SessionExpiresOption = None,
    min_se: flags.MinSeOption = 90,
    refresher: flags.RefresherOption = None,
    refresh_by: flags.RefreshByOption = None,
    transport: Annotated[
        str | None,
        typer.Option("--transport", metavar="udp|tcp|tls", help="Transport, instead of what the URI says."),
    ] = None,
    ipv4: Annotated[bool, typer.Option("--ipv4", help="Go to an IPv4 address of the name.")] = False,
    ipv6: Annotated[bool, typer.Option("--ipv6", help="Go to an IPv6 address of the name.")] = False,
    connections: Annotated[
        str,
        typer.Option(
            "--connections", metavar="one|per-call", help="TCP, TLS: one for all calls, or one each."
        ),
    ] = "one",
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    sni: flags.SniOption = None,
    insecure: flags.InsecureOption = False,
    client_certificate: Annotated[
        bool,
        typer.Option("--require-client-certificate", help="TLS, --answer: only clients with one of --ca."),
    ] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if", metavar="'pdd_p99>500ms'", help="Fail on this; without any, on one failed call."
        ),
    ] = None,
    find_capacity: Annotated[
        str | None,
        typer.Option(
            "--find-capacity", metavar="'asr>=99.5% ...'", help="Search the highest rate that holds this."
        ),
    ] = None,
    trial: Annotated[
        float, typer.Option("--trial", min=1, metavar="SECONDS", help="One trial of --find-capacity.")
    ] = 10.0,
    cores: Annotated[
        int, typer.Option("--cores", min=1, max=256, metavar="N", help="A process for each.")
    ] = 1,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="HOST|CIDR", help="Permit this destination; repeat it for more."),
    ] = None,
    bind: flags.BindOption = None,
    control: Annotated[
        Path | None, typer.Option("--control", metavar="SOCKET", help="Let `callwright load-ctl` steer it.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Leave page, CSV and JSON in this folder.")
    ] = None,
    ladders: Annotated[
        int, typer.Option("--ladders", min=0, max=50, metavar="N", help="Failed calls of each class to show.")
    ] = 5,
    as_json: JsonFlag = False,
    log_format: LogFormatFlag = "text",
    verbose: VerboseFlag = False,
) -> int:
    """Place many calls at once, or answer them, and judge the whole.

    Keys while it runs: + - * / rate, p pause, q stop gently, Q at once. Ctrl-C ends every call and counts it.
    """
    log_as(log_format)
    from callwright.cli import load_setup as setup
    from callwright.cli.run import _allowed
    from callwright.load.plan import PlanError, make_plan
    from callwright.load.preparation import Wishes
    from callwright.policy.destination import Rules

    if sipp is None and (inf or user or password):
        raise Refused("--inf, --user and --password go with --sipp FILE.xml")
    document = setup.read_document(scenario, answer=answer)
    if (uri is not None) if answer else (uri is None and document is None):
        raise Refused("load takes a URI to call, or --answer", "See `callwright load --help`.")
    given: dict[str, object] = {
        "rate": rate,
        "ramp": ramp,
        "steps": steps,
        "concurrent": concurrent,
        "accounts": accounts,
    }
    given |= {"register": register, "find-capacity": find_capacity, "listen": listen, "ring-time": ring_time}
    given |= {"reject": reject, "challenge": challenge, "calls": calls, "for": for_, "fail-if": fail_if}
    setup.refuse_conflicts(given, answer=answer)
    if media not in ("none", "shared", "ports"):
        raise Refused(f"--media is none, shared or ports, not {media!r}")
    flags.check_prack(prack, None)
    session = flags.session_wish(session_expires, min_se, refresher, refresh_by)
    if reject and not 300 <= reject <= 699:
        raise Refused(f"--reject takes a status from 300 to 699, not {reject}")
    flow = setup.read_flow(scenario if document is None else None)
    known = setup.read_accounts(accounts)
    if (register or flow.flow == "register") and known is None:
        raise Refused("--register needs --accounts FILE.csv: who registers?")
    limits = _thresholds(fail_if or (), find_capacity)
    if document is not None and answer:
        calls = calls or document.action.max_total_calls
    try:
        if answer:
            plan = (
                make_plan(rate=1.0, calls=calls, seconds=for_) if calls else make_plan(rate=1.0, seconds=for_)
            )
            plan = replace(plan, calls=calls)
        else:
            plan = make_plan(
                rate=rate, ramp=ramp, steps=steps, calls=calls, concurrent=concurrent, seconds=for_
            )
            if document is not None and not any((rate, ramp, steps, calls, concurrent, for_)):
                plan = document.plan
    except PlanError as error:
        raise Refused(str(error)) from None
    if sipp is not None:
        from callwright.cli import load_sipp

        useless: dict[str, object] = {"scenario": scenario, "accounts": accounts, "register": register}
        useless |= {"find-capacity": find_capacity, "fail-if": fail_if, "from": from_, "header": header}
        useless |= {"reject": reject, "challenge": challenge, "ring-time": ring_time, "control": control}
        useless |= {"transport": transport, "ca": ca, "cert": cert, "sni": sni, "insecure": insecure}
        useless |= {"ipv4": ipv4, "ipv6": ipv6}
        useless |= {"connections": connections != "one", "require-client-certificate": client_certificate}
        useless |= {"prack": prack != "offered", "session-expires": session_expires}
        useless |= {"refresher": refresher, "refresh-by": refresh_by}
        useless |= {"report": report, "media": media != "none", "cores": cores > 1}
        load_sipp.refuse_useless(useless)
        return load_sipp.run(
            sipp,
            uri=uri,
            listen=setup.listen_address(listen) if answer else None,
            plan=plan,
            calls=calls,
            rules=Rules(targets=tuple(_allowed(allow or ()))),
            bind=bind,
            rtp_ports=flags.ports_of(rtp_ports),
            hold=hold,
            ring=ring,
            user=user,
            password=password,
            keys=key or (),
            injections=inf or (),
            as_json=as_json,
        )
    wishes = Wishes(
        uri=setup.load_uri(uri) if uri is not None else None,
        listen=setup.listen_address(listen),
        from_=from_,
        headers=tuple(flags.headers_of(header or (), hops=False)),
        hold=hold,
        ring_for=ring,
        ring_time=ring_time,
        reject=reject,
        challenge=challenge,
        prack=prack,
        session=session,
        media=media,
        codec=codec,
        play=play,
        min_heard=min_heard,
        rtp_ports=flags.ports_of(rtp_ports),
        accounts=known,
        random_accounts=random_accounts,
        flow=flow,
        register=register or flow.flow == "register",
        rules=Rules(targets=tuple(_allowed(allow or ()))),
        bind=bind,
        ip_version=setup.ip_version(ipv4, ipv6, answer=answer),
        transport=setup.transport_named(transport),
        connections=setup.connections_named(connections, answer=answer),
        tls=setup.tls_settings(ca, cert, key or (), sni, insecure, client_certificate),
        cores=cores,
        calls=calls,
        ladders=ladders,
    )
    if document is not None:
        wishes = document.wishes(wishes)
        limits = (*document.thresholds(limits[0]), *limits[0]), limits[1]
    run = _Run(wishes, plan, limits[0], quiet=as_json)
    run.register_rate = register_rate if document is None or known is not None else 0.0
    with run.prepared(control, report):
        if find_capacity is not None:
            return run.find_capacity(find_capacity, limits[1], trial, rate, as_json)
        return run.place(as_json)


def _thresholds(
    fail_if: list[str] | tuple[()], goal: str | None
) -> tuple[tuple[Threshold, ...], tuple[Threshold, ...]]:
    from callwright.load.verdict import ThresholdError, parse_goal, parse_threshold

    try:
        return tuple(parse_threshold(text) for text in fail_if), parse_goal(goal) if goal is not None else ()
    except ThresholdError as error:
        raise Refused(str(error)) from None


class _Run:
    """One `callwright load`: its loops, its view, its folder."""

    register_rate = 0.0

    def __init__(
        self,
        wishes: Wishes,
        plan: Plan,
        fail_if: tuple[Threshold, ...],
        *,
        quiet: bool,
    ) -> None:
        from callwright.load.engine import Controls

        self.wishes, self.plan, self.fail_if = wishes, plan, fail_if
        self.quiet = quiet
        self.controls: Controls = Controls()
        self.workers: list[Worker] = []
        self.folder: ReportFolder | None = None
        self.ears: Ears | None = None
        self.view: View | None = None
        self.started_at = time.time()
        self.interrupted, self.interrupted_at = False, 0.0

    @contextmanager
    def prepared(self, control: Path | None, report: Path | None) -> Iterator[None]:
        from callwright.cli.load_control import Ears
        from callwright.cli.load_setup import refusing
        from callwright.cli.load_view import View
        from callwright.generator.loop import NoNativeLoop
        from callwright.load.guarding import load_guard
        from callwright.load.preparation import loop_configs
        from callwright.load.report import ReportFolder
        from callwright.load.worker import make_workers
        from callwright.net.address import bracketed
        from callwright.net.tls import TlsConfigurationError
        from callwright.phone.guarding import guarded

        exits = ExitStack()
        with refusing():
            configs, self.remote = loop_configs(self.wishes)
        if report is not None:
            try:
                self.folder = ReportFolder(report)
            except OSError as error:
                raise Refused(
                    f"--report {report}: the folder cannot be made: {error.strerror or error}",
                    code=EXIT_PLATFORM,
                    blame="platform",
                ) from None
        try:
            guard = load_guard(exits.enter_context(guarded()), self.wishes.rules, self.wishes.tls)
            self.workers = make_workers(configs, guard=guard)
        except NoNativeLoop as error:
            raise Refused(error.reason, error.remedy, code=EXIT_PLATFORM, blame="platform") from None
        except TlsConfigurationError as error:
            raise Refused(str(error)) from None
        except OSError as error:
            raise Refused(
                f"no port for the load: {error.strerror or error}", code=EXIT_PLATFORM, blame="platform"
            ) from None
        title = f"load {self.wishes.uri}" if self.remote else f"answer {bracketed(self.workers[0].local)}"
        old = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        forget_hangup = on_hangup(self._end)
        try:
            self.ears = Ears(self.controls, control, keys=not self.quiet)
            self.view = View(title, enabled=not self.quiet)
            self.ears.on_look = self.view.look
            signal.signal(signal.SIGINT, self._interrupt)
            signal.signal(signal.SIGTERM, self._interrupt)
            if self.remote is None:
                self.view.say(f"answering at {bracketed(self.workers[0].local)}")
            yield
        finally:
            signal.signal(signal.SIGINT, old[0])
            signal.signal(signal.SIGTERM, old[1])
            forget_hangup()
            if self.view is not None:
                self.view.close()
            if self.ears is not None:
                self.ears.close()
            for worker in self.workers:
                worker.close()
            exits.close()

    def _was_interrupted(self) -> bool:
        return self.interrupted or self.controls.stop > 0

    def _interrupt(self, *_: Any) -> None:
        """First: every call is ended in order. Second: at once, counted all the same."""
        if not self.interrupted:
            self._end()
        elif time.monotonic() - self.interrupted_at >= SAME_SIGNAL:
            self.controls.stop = 3

    def _end(self) -> None:
        self.interrupted, self.interrupted_at = True, time.monotonic()
        self.controls.stop = max(self.controls.stop, 2)

    def _engine(self, plan: Plan, *, registering: bool, record: bool = True) -> Result:
        from callwright.load.engine import Engine

        def on_progress(progress: LoadProgress) -> None:
            assert self.ears is not None
            assert self.view is not None
            self.ears.progress = progress
            self.view.show(progress)

        assert self.ears is not None
        engine = Engine(
            self.workers,
            plan,
            now=time.monotonic,
            pause=self.ears.wait,
            controls=self.controls,
            on_second=self.folder.second if self.folder is not None and record else None,
            on_progress=on_progress,
            registering=registering,
            ladders=self.wishes.ladders,
        )
        gc.collect()
        gc.freeze()  # what is imported by now stays, and needs no looking at
        return engine.run()

    def _register_first(self) -> None:
        from callwright.load.plan import Plan, Stage

        accounts = self.wishes.accounts
        if (
            accounts is None
            or accounts.password_column < 0
            or self.register_rate <= 0
            or self.wishes.register
        ):
            return
        plan = Plan((Stage(self.register_rate, self.register_rate),), calls=len(accounts.rows))
        result = self._engine(plan, registering=True, record=False)
        if result.lost:
            raise Refused(
                f"{result.lost[0].reason} while accounts were registered",
                code=EXIT_PLATFORM,
                blame="platform",
                details={"lost_processes": [asdict(one) for one in result.lost]},
            )
        if result.total.failed and not self.interrupted:
            classes = ", ".join(f"{name}: {count}" for name, count in result.total.failures.items())
            raise Refused(
                f"{result.total.failed} of {len(accounts.rows)} accounts could not register ({classes})",
                "Give the right passwords, or --register-rate 0.",
                code=1,
                blame="target",
                details={"failures": result.total.failures},
            )

    def place(self, as_json: bool) -> int:
        from callwright.load.verdict import judge

        self._register_first()
        result = self._engine(self.plan, registering=self.wishes.register)
        judgement = judge(
            result.total,
            result.clean,
            fail_if=self.fail_if,
            seconds=len(result.seconds),
            loaded=result.loaded,
            limited=result.limited,
            interrupted=self.interrupted,
            lost=result.lost,
        )
        code = EXIT_INTERRUPTED if self.interrupted and not result.lost else exit_code(judgement.verdict)
        return self._leave(result, judgement, code, as_json, {})

    def find_capacity(
        self, text: str, goal: tuple[Threshold, ...], trial: float, rate: float | None, as_json: bool
    ) -> int:
        from callwright.load.capacity import CapacitySearch
        from callwright.load.plan import Plan, Stage
        from callwright.load.verdict import Judgement, judge

        self._register_first()
        search = CapacitySearch(start=rate or 10.0)
        result: Result | None = None
        best: Result | None = None
        while not self._was_interrupted():
            wanted = search.next_rate()
            if wanted is None:
                break
            plan = Plan((Stage(wanted, wanted, trial),), concurrent=self.plan.concurrent)
            result = self._engine(plan, registering=self.wishes.register)
            if self._was_interrupted() or result.lost:
                break
            numbers = result.total
            held = all(threshold.holds(numbers) for threshold in goal) and not numbers.missing
            few = len(result.limited) <= max(1, len(result.seconds) // 10)
            search.tried(wanted, held, valid=few)
            if held and few:
                best = result
            words = ("held" if held else "broke") if few else "generator at its limit"
            if self.view is not None:
                self.view.say(f"{wanted:10.1f} calls/s: {words}")
            if not held and self.ears is not None:
                self.ears.wait(1.0)  # the target recovers
        if result is None:
            return EXIT_INTERRUPTED
        if result.lost:
            judgement, best = judge(result.total, result.clean, lost=result.lost), None
        elif self._was_interrupted():
            judgement = Judgement("canceled", "test", f"interrupted; so far: {search.confidence}")
        elif search.best is None:
            judgement = Judgement("failed", "target", f"{text}: {search.confidence}")
        elif search.limited and math.isinf(search.high):
            judgement = Judgement("invalid", "platform", f"{text}: {search.confidence}")
        else:
            judgement = Judgement("passed", None, f"{search.best:.4g} calls/s: {search.confidence}")
        capacity = {
            "goal": text,
            "calls_per_second": search.best,
            "confidence": search.confidence,
            "generator_limited": search.limited,
            "trials": [{"rate": t.rate, "held": t.passed, "valid": t.valid} for t in search.trials],
        }
        code = exit_code(judgement.verdict)
        return self._leave(best or result, judgement, code, as_json, {"capacity": capacity})

    def _leave(
        self, result: Result, judgement: Judgement, code: int, as_json: bool, more: dict[str, Any]
    ) -> int:
        from callwright.cli.load_result import print_result
        from callwright.load.outcome import document, settings
        from callwright.net.address import bracketed
        from callwright.version import __version__

        if self.view is not None:
            self.view.close()
        told = document(
            result,
            judgement,
            name="load" if self.remote else "answer",
            target=self.wishes.uri or "",
            role="register" if self.wishes.register else "caller" if self.remote else "answerer",
            exit_code=code,
            cores=self.wishes.cores,
            version=__version__,
            started_at=self.started_at,
            accounts=self.wishes.accounts,
        )
        told["settings"] = settings(self.wishes, self.plan, self.fail_if)
        told |= {"capacity": None, "listen": bracketed(self.workers[0].local)} | more
        if self.folder is not None:
            told["evidence"] = self.folder.finish(told, result)
            for problem in self.folder.problems:
                say(problem)
        if as_json:
            print_json(told)
        else:
            print_result(told, show)
        return code
