"""The reference of the test language in Markdown, made from the code.

``python -m callwright.scenario.reference > docs/test-language.md``
"""

from __future__ import annotations

from collections.abc import Iterable

from callwright.outcome.terms import CallState
from callwright.scenario import catalogue
from callwright.scenario.actions import KINDS, Action
from callwright.scenario.actions.engine import MOST_CALLS, MOST_RATE
from callwright.scenario.condition import METRICS
from callwright.scenario.load_condition import LOAD_HELP
from callwright.scenario.parameter import Parameter, parameters_of
from callwright.scenario.party import Party
from callwright.scenario.placing import Agentpool, Placement
from callwright.scenario.scenario import Scenario

INTRODUCTION = """\
# The test language

<!-- Made from the code by `python -m callwright.scenario.reference > docs/test-language.md`. Do not
edit. -->

A test is a YAML document. It has **steps**, and a step has **actions**. The actions of one step run
together; the next step begins when what it needs is ready. At the end calls are hung up, accounts
unregistered, and the conditions judged.

```yaml
{basic}```

Run it with `callwright run FILE`, or one of the catalogue with `callwright run basic_call`.

## Addresses and overrides

An action is addressed `step.S.A`, its parameter `step.S.A.name`, both counted from 0; a party's
parameter is `party.NAME.name` or `NAME.name`, and the document's own go by their names. Each can be set
from outside, even if the document does not have it, and is typed and checked as if it were written there:

    callwright run basic_call --set step.1.0.dial_destination=0043123 --set step.1.0.max_total_calls=10

## Your own PBX

Without a `target` the run starts the built-in PBX and gives its accounts 1001, 1002, … to the parties
in their order. Three settings aim the same test at your own PBX; `NAME=user:password` is short for the
user and the password of a party:

    callwright run basic_call --set target=pbx.example.com --set alice=4101:secret --set bob=4102:secret

To call somebody who is not a party of the test, set `step.1.0.dial_destination` to their number.

## Values

Each value is read by the type of its parameter, never by how it looks. `0043123` stays a number to dial, and
`no` is a word where the parameter is a text.

- A duration is in seconds, or has a unit: `2`, `2 s`, `250 ms`, `1.5 min`.
- A list of codecs is `[PCMA, PCMU]` or `PCMA, PCMU`. Headers are `{{X-Test: yes}}` or `["X-Test: yes"]`.
- A rate is in calls a second, or `6 per minute`. A ramp is `10:200:60 s` (from, to, time) or
  `{{from: 10, to: 200, over: 60 s}}`.
- A destination is a number, a user, `user@host`, a SIP URI, or the name of a party.
- `${{NAME}}` stands for an environment variable, anywhere in a value; write `$${{NAME}}` for the text itself.
- YAML anchors and `<<` merge keys work. A document has at most 256 KiB and 20,000 values.

## The document

`name` and `steps` are required. `title`, `description` and `tags` are for people; `version` is 1.

A step is a list of actions, or a single action, or `{{name: …, actions: […]}}`. An action has one key,
its kind. `expect` can be written beside the kind or among the parameters. A scalar is the main parameter:
`wait: 2 s`, `register: bob`.

"""

PLACEMENT = """\
## Where it is carried out

On a platform `agentpool` and `placement` choose the servers that carry the test out. `callwright run`
carries every test out on the machine where it is typed, and says that it leaves both aside.

```yaml
agentpool: {name: lab}
placement: {region: eu-central, labels: {rack: a1}, near: Berlin, count: 3}
```

Their addresses are `agentpool.name` and `placement.region`, as in `POST /api/v2/tests/run`.

"""

PARTIES = """\
## Parties

`parties` lists the participants: names alone (`[alice, bob]`), or with accounts. Without it, the parties
are those that the actions name, or `caller` and `callee` if they name none. With two parties, the first
calls, and the last registers and accepts, unless an action says otherwise. With more, each action names
its party.

```yaml
parties:
  alice: {user: 4101, password: "${ALICE_PASSWORD}", display_name: Alice Adams}
  bob: {credentials: office}
  carol: 4103:secret
```

`credentials: office` takes the values that are not given here from the entry `office` of the credentials file
(`--credentials FILE`):

```yaml
office: {user: 4102, password: a secret}
```

"""

LOADS = """\
## Loads

A `call` is a **load** with `load: yes`, with a `ramp`, or when it asks for more than a softphone keeps:
more than {rate:g} calls a second, or more than {calls} calls. The load engine then places its calls,
thousands a second where the machine permits. It measures each of them, and keeps counts, percentiles and
the worst calls instead of a record of every one; packets are counted, not captured. An `accept` of the
party that a load calls is answered by the engine too.

```yaml
steps:
  - - register: bob
    - accept: {{party: bob, ring: 1 s}}
  - - call: {{from: alice, to: bob, ramp: 10:200:60 s, max_duration: 10 s}}
conditions:
  - failed <= 0.1 %
  - pdd_p95 < 250 ms
  - mos_p5 >= 3.8
```

- Without a condition on `failed`, `answered` or `asr`, one failed call fails the load; without one on `mos`,
  one call below `min_mos` does.
- When the engine itself could not keep up, the verdict is `invalid`, whatever the conditions say.
- A load goes over UDP, and only to this machine, to the built-in PBX, and to targets that are named
  (`--allow`). Private ranges must be named too.
- Without a `target`, and when the party is not registered, the calls go straight from one engine to the
  other.
- The engine refuses parameters that it does not support: `dtmf`, `hold`, `resume`, `follow`,
  `early_media`, `early_update`, `echo`, `record`, several `codecs`. The time of `cancel_after` begins with
  the first answer of the peer.

| metric | meaning |
|---|---|
{metrics}

`pdd`, `setup`, `bye`, `jitter`, `loss` and `mos` take the endings `_p95` (any percentile), `_mean`,
`_max` and `_min`. Without an ending the worst call is meant. Counts are compared as they are or, with
`%`, as a share of all calls.

"""

CONDITIONS = """\
## Conditions

A condition is a line of text. Under `expect` of an action it looks at the calls (or registrations, or
requests) of that action; under `conditions` at the end of the document it looks at all calls, or at
those that its first word names:

```yaml
conditions:
  - callee.mos >= 3.9             # every call that came to us
  - caller.pdd < 1 s              # every call that we placed
  - alice.states ordered [calling, ringing, answered, ended]
  - bob.caller_id = alice         # a party's name stands for its user
  - step.1.0.code = 200
  - header P-Asserted-Identity of INVITE ~ /4101/
  - header Server of 200 !~ /asterisk/i
```

A condition holds when it holds for every call that it looks at, and there is at least one such call. A
condition on an unknown value does not hold. Quote a condition that contains `: ` or ` #`, or that has
brackets and is itself inside `[…]`.

A header `of INVITE` is looked for at the callee, and one `of 180` or `of 200` at the caller, since only they
receive it; naming a party before it chooses that party. Requests inside a call are `BYE`, `CANCEL`,
`re-INVITE`, `UPDATE`, `INFO`, `ACK` and the like; each is looked for, with all its headers, at the party that
received it.

Some rules hold although no test writes them: a call is answered, audio comes for at least `min_heard_pct`
of its time, it is not silent, the peer does not report that all of it was lost, and its MOS is at least
`min_mos`. A rule that a call breaks is listed among the conditions, marked `implied`. A stream that
stops, pauses or begins late has a gap; conditions on `mos`, `loss`, `silence` and `heard` see it ([what
the figures mean](streams.md)).

- A condition that no answered call can satisfy (`code = 486`, `states lacks [answered]`) says that the call
  is meant to fail; it then passes when its conditions hold. `cancel_after` and `reject` say the same.
- A condition on `mos` that asks for less than 3.5 replaces the default `min_mos`. It does not lower a higher
  `min_mos` that the test gives.
- A condition on `silence` or `heard` replaces the check for silence.

| operator | meaning |
|---|---|
| `=` `!=` `<` `<=` `>` `>=` | compares; times and percentages have a unit (`250 ms`, `1 s`, `1 %`) |
| `in [a, b]`, `not in [a, b]` | one of them, none of them |
| `~ /regex/`, `!~ /regex/i` | matches somewhere, matches nowhere |
| `present`, `absent` | there is a value, there is none |
| `ordered [a, b]` | these states in this order, with others between them |
| `has [a, b]`, `lacks [a, b]` | all of these states in any order, none of them |
| `= [a, b]` (states) | exactly these states; `trying` and `confirmed` may be left out |

Regular expressions are [RE2's](https://github.com/google/re2/wiki/Syntax), so no pattern makes a search
slow: look-around, back-references and possessive repeats are errors of the document. The first 2,048
characters of a value are searched.

"""

CHECKS = """\
## Checks

A test can be a book of checks, as carriers accept a trunk by one. Each check has a title, a level, and
conditions, or actions whose own verdicts it takes:

```yaml
checks:
  - check: Busy is passed on
    level: important
    actions: [step.0.1, step.1.0]
    conditions: step.1.0.code = 486
```

| level | a check that fails |
|---|---|
| `ko` | rejects: the run fails |
| `important` | leaves a reservation: the run passes, and its reason and report say so |
| `optional` | costs points alone |

The score weighs a KO check three times and an important one twice. `checks` and `acceptance` of the result,
the report, the terminal and JUnit show each check with what was seen. Actions that only important and
optional checks look at cannot fail the run. An `accept` with `max_total_calls` takes calls until the step
after its own is over, so that a call that never came does not shift the calls of later checks. The catalogue
test `interop_trunk` is such a book.

"""

LIMITS = """\
## Limits

A document has at most 262,144 characters, 20,000 values (an alias counts as the values that it repeats), 24
levels, 1,000 actions, 1,000 parties, 1,000 conditions, 200 checks, 100 tags, and for each action 100 extra
headers of 16,384 characters together. `${NAME}` adds at most 262,144 characters. The first 100 problems are
listed.

"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "—"


def _table(parameters: Iterable[Parameter]) -> str:
    lines = ["| parameter | type | default | permitted | meaning |", "|---|---|---|---|---|"]
    for spec in parameters:
        default = "**required**" if spec.required else spec.default_text or ""
        if not default and spec.shown_default:
            default = f"`{spec.shown_default}`"
        lines.append(
            f"| `{spec.name}` | {spec.type.name} | {_cell(default)} | {_cell(spec.type.permitted())} "
            f"| {_cell(spec.help)} |"
        )
    return "\n".join(lines) + "\n\n"


def _action(kind: type[Action]) -> str:
    text = f"### {kind.kind}\n\n{kind.summary} Ready {kind.ready}.\n\n"
    text += f"```yaml\n- {kind.example}\n```\n\n"
    text += _table(parameters_of(kind))
    text += f"A scalar is `{kind.main}`."
    if kind.aliases:
        others = ", ".join(f"`{other}` for `{name}`" for other, name in kind.aliases.items())
        text += f" Aliases: {others}."
    return text + "\n\n"


def markdown() -> str:
    """The whole page."""
    text = INTRODUCTION.format(basic=catalogue.text("basic_call"))
    text += _table(parameters_of(Scenario)) + PLACEMENT
    text += _table((*parameters_of(Agentpool), *parameters_of(Placement)))
    text += PARTIES + _table(parameters_of(Party))
    text += "## Actions\n\n" + "".join(_action(kind) for kind in KINDS.values())
    rows = "\n".join(f"| `{name}` | {_cell(help_)} |" for name, help_ in LOAD_HELP.items())
    text += LOADS.format(rate=MOST_RATE, calls=MOST_CALLS, metrics=rows) + CONDITIONS
    text += "| metric | meaning | operators |\n|---|---|---|\n"
    for metric in METRICS.values():
        operators = " ".join(f"`{operator}`" for operator in metric.operators)
        choices = f": {', '.join(metric.choices)}" if metric.choices and metric.kind == "choice" else ""
        text += f"| `{metric.name}` | {_cell(metric.help + choices)} | {operators} |\n"
    text += f"\nCall states: {', '.join(f'`{state}`' for state in CallState)}.\n\n"
    text += f"{CHECKS}{LIMITS}## Catalogue\n\n"
    text += "| name | title | what it does |\n|---|---|---|\n"
    for name, title, description in catalogue.summaries():
        text += f"| `{name}` | {_cell(title)} | {_cell(description)} |\n"
    return text


if __name__ == "__main__":
    print(markdown(), end="")
