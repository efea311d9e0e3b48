"""`callwright mos`: what MOS a codec, a delay and a loss would give, by the E-model."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import console
from callwright.host.operator import EXIT_PASSED

if TYPE_CHECKING:
    from callwright.quality.causes import Causes
    from callwright.quality.codec_table import Impairment
    from callwright.quality.e_model import EModel

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """Examples:

  callwright mos --delay 150 --loss 1

  callwright mos --codec G729 --delay 80 --loss 2 --burst-ratio 1.5

  callwright mos --codec G722 --scale wb --json

  callwright mos --ie 11 --bpl 19 --loss 3 --no-echo"""


class _Scale(StrEnum):
    NB = "nb"
    WB = "wb"


@app.command(epilog=_EXAMPLES)
def mos(
    codec: Annotated[
        str, typer.Option(help="Codec, by its SDP or ITU name; G.711 counts with concealment (Bpl 25.1).")
    ] = "PCMU",
    no_plc: Annotated[
        bool, typer.Option("--no-plc", help="G.711 without packet loss concealment (Bpl 4.3).")
    ] = False,
    ie: Annotated[
        float | None, typer.Option(help="Equipment impairment Ie, 0 to 95, in place of a codec; with --bpl.")
    ] = None,
    bpl: Annotated[
        float | None, typer.Option(help="Packet-loss robustness Bpl, more than 0; with --ie.")
    ] = None,
    scale: Annotated[
        _Scale, typer.Option(help="Narrowband (G.107, R to 93) or wideband (G.107.1, R to 129).")
    ] = _Scale.NB,
    delay: Annotated[float, typer.Option(help="Delay mouth to ear, one way (Ta), in ms.")] = 0.0,
    loss: Annotated[float, typer.Option(help="Packets lost or discarded, in percent, 0 to 100.")] = 0.0,
    burst_ratio: Annotated[
        float, typer.Option(help="1 for random loss, more for bursts: mean run over that of random loss.")
    ] = 1.0,
    no_echo: Annotated[
        bool, typer.Option("--no-echo", help="T = Tr = 0 in place of T = Ta, Tr = 2 Ta with TELR 65 dB.")
    ] = False,
    as_json: console.JsonFlag = False,
    verbose: console.VerboseFlag = False,
    trace_sip: console.TraceFlag = False,
) -> int:
    """E-model calculator: what MOS would this network give?

    R = Ro − Is − Id − Ie,eff + A, after ITU-T G.107 (06/2015) and, with --scale wb, G.107.1 (06/2019).
    """
    from callwright.quality import causes, e_model

    del trace_sip  # every verb takes it; nothing is sent here
    chosen = _impairment(codec, ie, bpl, scale.value, no_plc)
    try:
        inputs = e_model.path(
            ie=chosen.ie,
            bpl=chosen.bpl,
            ta=delay,
            ppl=loss,
            burst_r=burst_ratio,
            scale=chosen.scale,
            echo=not no_echo,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    result, shares = e_model.rate(inputs), causes.split(inputs)
    if as_json:
        console.print_json(_document(result, chosen, shares, echo=not no_echo))
    else:
        _show(result, chosen, shares, echo=not no_echo, verbose=verbose)
    return EXIT_PASSED


def _impairment(codec: str, ie: float | None, bpl: float | None, scale: str, no_plc: bool) -> Impairment:
    from callwright.quality.codec_table import Impairment, impairment
    from callwright.quality.e_model import Scale

    if (ie is None) != (bpl is None):
        raise typer.BadParameter("--ie and --bpl go together: give both, or a --codec")
    if ie is not None and bpl is not None:
        return Impairment("given", Scale(scale), ie, bpl, not no_plc, True, True, "given by --ie and --bpl")
    try:
        return impairment(codec, Scale(scale), concealment=not no_plc)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--codec") from None


def _document(result: EModel, chosen: Impairment, shares: Causes, *, echo: bool) -> dict[str, Any]:
    from callwright.quality.bands import band
    from callwright.quality.e_model import limits

    inputs = result.inputs
    rounded = {
        "r": result.r,
        "mos": result.mos,
        "ie_eff": result.ie_eff,
        "id": result.id,
        "ro": result.ro,
        "is": result.is_,
        "idte": result.idte,
        "idle": result.idle,
        "idd": result.idd,
        "a": result.a,
    }
    return {key: round(value, 6) for key, value in rounded.items()} | {
        "band": band(result.mos).name,
        "sentence": _sentence(result, shares),
        "codec": None if chosen.codec == "given" else chosen.codec,
        "ie": inputs.ie,
        "bpl": inputs.bpl,
        "source": chosen.source,
        "provisional": chosen.provisional(inputs.ppl),
        "scale": inputs.scale.value,
        "mos_scale": inputs.scale.value,
        "ta_ms": inputs.ta,
        "loss_pct": inputs.ppl,
        "burst_ratio": inputs.burst_r,
        "echo": {"counted": echo, "t_ms": inputs.t, "tr_ms": inputs.tr, "telr_db": inputs.telr},
        "lost_mos": round(shares.lost_mos, 6),
        "causes": {name: round(share, 6) for name, share in shares.to_json().items()},
        "notes": list(limits(inputs)),
    }


def _sentence(result: EModel, shares: Causes) -> str:
    from callwright.quality.bands import band

    found = band(result.mos)
    most = {
        "codec": "the codec itself",
        "delay": f"the delay of {result.inputs.ta:g} ms",
        "loss": f"the loss of {result.inputs.ppl:g} %",
        "discard": "what the jitter buffer discards",
    }
    text = f"{found.name}: {found.sentence[0].lower()}{found.sentence[1:]}"
    if shares.worst and shares.lost_mos >= 0.05:
        part = shares.to_json()[shares.worst]
        text += f" Of the {shares.lost_mos:.2f} that are missing, {most[shares.worst]} takes {part:.2f}."
    return text


def _show(result: EModel, chosen: Impairment, shares: Causes, *, echo: bool, verbose: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from callwright.quality.bands import band
    from callwright.quality.e_model import Scale, limits

    inputs, found = result.inputs, band(result.mos)
    colour = {"Excellent": "green", "Good": "green", "Fair": "yellow", "Poor": "dark_orange"}.get(
        found.name, "red"
    )
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    ends_at = "129 at best, wideband scale" if inputs.scale is Scale.WIDEBAND else "93.2 at best"
    filled = round((result.mos - 1) / 3.5 * 20)
    table.add_row(
        "MOS",
        Text(f"{result.mos:.2f}", style=f"bold {colour}"),
        Text("█" * filled, style=colour).append("░" * (20 - filled), style="dim").append(f" {found.name}"),
    )
    table.add_row("R", f"{result.r:.2f}", ends_at)
    table.add_row("Ie,eff", f"{result.ie_eff:.2f}", f"Ie {inputs.ie:g}, Bpl {inputs.bpl:g} · {chosen.source}")
    path = "T = Ta, Tr = 2 Ta, TELR 65 dB" if echo else "no echo: T = Tr = 0"
    table.add_row("Id", f"{result.id:.2f}", f"Ta {inputs.ta:g} ms · {path}")
    table.add_row("loss", f"{inputs.ppl:g} %", f"burst ratio {inputs.burst_r:g}")
    for name, share in shares.to_json().items():
        if share >= 0.005:
            table.add_row(f"− {name}", f"{share:.2f}", "MOS")
    if verbose:
        table.add_row("Ro", f"{result.ro:.2f}", "signal over noise")
        table.add_row("Is", f"{result.is_:.2f}", "loudness, sidetone, quantisation")
        for name, value in (("Idte", result.idte), ("Idle", result.idle), ("Idd", result.idd)):
            table.add_row(name, f"{value:.2f}", {"e": "echo", "d": "pure delay"}[name[-1]])
    screen = Console(highlight=False)
    screen.print(table)
    screen.print()
    screen.print(_sentence(result, shares))
    if chosen.provisional(inputs.ppl):
        screen.print(f"[yellow]Provisional:[/] {chosen.source}.")
    for note in limits(inputs):
        screen.print(f"[yellow]Note:[/] {note}.")
