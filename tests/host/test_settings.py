"""Settings come from flags, variables and a file; a wrong one is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from callwright.cli.setting_flags import read_config, settled
from callwright.host.operator import Refused
from callwright.host.settings import AgentSettings, NatsAddress, ServeSettings, secret_variables
from callwright.host.web_worker import WebSettings, read_settings, write_settings

_read: list[ServeSettings] = []
app = typer.Typer()


@app.command()
@settled
def _serve(
    settings: ServeSettings,
    config: Path | None = typer.Option(None, "--config", is_eager=True, callback=read_config),  # noqa: B008
) -> int:
    _read.append(settings)
    return 0


def settings_of(*flags: str) -> ServeSettings:
    typer.main.get_command(app).main(args=list(flags), standalone_mode=False)
    return _read[-1]


def test_the_flag_wins_then_the_variable_then_the_file_then_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "callwright.toml"
    file.write_text('capacity = 7\nlease = 7\nworkers = 7\nagent = false\npublic_url = "https://x/"\n')
    monkeypatch.setenv("CALLWRIGHT_CAPACITY", "8")
    monkeypatch.setenv("CALLWRIGHT_LEASE", "8")
    found = settings_of("--config", str(file), "--capacity", "9")
    assert (found.capacity, found.lease, found.workers, found.port) == (9, 8.0, 7, 8000)
    assert not found.agent
    assert found.public_url == "https://x"
    assert found.trusted_proxies


@pytest.mark.parametrize(
    ("flags", "variable", "line", "said"),
    [
        (("--proxies", "x"), "", "", "--proxies: "),
        ((), "x", "", "CALLWRIGHT_PROXIES: "),
        ((), "", "proxies = 'x'", "callwright.toml:3: proxies: "),
    ],
)
def test_a_wrong_value_is_told_with_the_place_where_it_was_given(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    variable: str,
    line: str,
    said: str,
) -> None:
    file = tmp_path / "callwright.toml"
    file.write_text(f"# settings\nport = 0\n{line}\n")
    monkeypatch.setenv("CALLWRIGHT_PROXIES", variable)
    with pytest.raises(Refused) as refused:
        settings_of("--config", str(file), *flags)
    assert said in refused.value.message
    assert refused.value.code == 2


def test_pools_are_tables_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "callwright.toml"
    file.write_text('port = 0\n[pools.default]\nmaximum = 4\n[pools.eu]\nsizes = ["s", "m"]\n')
    found = settings_of("--config", str(file))
    assert found.pools == {"default": {"maximum": 4}, "eu": {"sizes": ["s", "m"]}}
    assert settings_of().pools == {}
    told = WebSettings(found, 8001, NatsAddress("nats://n:4222"))
    write_settings(tmp_path / "web.json", told)
    assert read_settings(str(tmp_path / "web.json")) == told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools = 3", "pools must be a table"),
        ("[pools]\neu = 3", "pools.eu is not a table"),
        ("[pools.eu]\nminimum = 9\nmaximum = 3", "[pools.eu] minimum 9 is above maximum 3"),
        ("[pools.eu]\ncolour = 3", "[pools.eu] Unknown field 'colour'"),
        ("[lakes.eu]", "unknown setting 'lakes'"),
        ("[providers.aws]\nsize = 'm'", "[providers.aws] Object missing required field `driver`"),
        ("[providers.private]\ndriver = 'ec2'", "[providers.private] Invalid provider 'private'"),
    ],
)
def test_a_wrong_table_in_the_file_is_told_before_anything_starts(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "callwright.toml"
    file.write_text(text)
    with pytest.raises(Refused) as refused:
        settings_of("--config", str(file))
    assert said in refused.value.message
    assert "callwright.toml" in refused.value.message


def test_an_empty_text_counts_as_absent() -> None:
    assert settings_of("--public-url", "", "--nats", "").nats is None


def test_secrets_are_not_in_what_is_printed_of_settings() -> None:
    found = ServeSettings(admin_password="hunter2hunter2", database="postgresql://u:hunter2@db/x")
    assert "hunter2" not in repr(found)
    assert "hunter2" not in repr(settings_of("--nats", "nats://u:hunter2@n:4222"))
    assert secret_variables(ServeSettings) >= {"CALLWRIGHT_ADMIN_PASSWORD", "CALLWRIGHT_NATS"}
    assert "TOKEN" not in repr(AgentSettings(enrol="TOKEN"))


def test_the_servers_of_a_nats_cluster_are_one_address() -> None:
    found = settings_of("--nats", "nats://u:p%2C@a:4222, nats://b:4223,nats://u:p%2C@c:4224")
    assert found.nats == NatsAddress("nats://a:4222,nats://b:4223,nats://c:4224", "u", "p,")
    with pytest.raises(Refused, match="same user and password"):
        settings_of("--nats", "nats://u:p@a:4222,nats://v:p@b:4222")


def test_web_workers_read_the_settings_that_were_written_for_them(tmp_path: Path) -> None:
    found = settings_of("--nats", "tls://u:p@n:4222", "--nats-listen", "0.0.0.0", "--evidence-ca", __file__)
    assert found.nats is not None
    told = WebSettings(found, 8001, found.nats)
    write_settings(tmp_path / "web.json", told)
    assert read_settings(str(tmp_path / "web.json")) == told


def test_clouds_are_tables_of_the_file_whose_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "callwright.toml"
    file.write_text(
        '[providers.aws]\ndriver = "ec2"\nsize = "t3.small"\n[providers.aws.arguments]\nsecret = "hunter2"\n'
    )
    found = settings_of("--config", str(file))
    assert found.providers["aws"]["driver"] == "ec2"
    assert "hunter2" not in repr(found)
