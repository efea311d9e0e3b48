"""`serve` beside a database whose secret.key is gone."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.acceptance.test_serve import LIGHT, serve_once
from tests.kit.served import serving


def test_serve_names_the_key_that_is_missing_and_goes_on_when_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, *LIGHT) as served:
        fields = {"name": "office", "user": "1", "password": "s3cret"}
        httpx.post(f"{served.url}/api/v2/credentials", json=fields, auth=served.auth).raise_for_status()
    key = data / "secret.key"
    key.unlink()
    done = serve_once("--port", "0", "--data", str(data), *LIGHT)
    assert done.returncode == 3
    assert str(key) in done.stderr
    assert "--new-secret-key" in done.stderr
    assert not key.exists()
    with serving(data, *LIGHT, "--new-secret-key") as served:
        as_json = {"Accept": "application/json"}
        answer = httpx.get(f"{served.url}/healthz", headers=as_json)
        assert answer.status_code == 200
        assert "office" in answer.json()["cannot_open"][0]
        other = as_json | {"Host": "calls.example.com"}
        elsewhere = httpx.get(f"{served.url}/healthz", headers=other).json()
        assert "office" not in str(elsewhere)
        assert elsewhere["cannot_open"]
        assert httpx.get(f"{served.url}/api/v2/credentials", auth=served.auth).status_code == 200
