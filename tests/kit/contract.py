"""Every answer that a test gets is held against the OpenAPI document of the platform that gave it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema_rs


class Contract:
    """`Contract(document).check(response)`; `as_hook` for an `httpx.Client`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        paths = sorted(document["paths"], key=lambda path: path.count("{"))
        # A placeholder is one segment; the name of a file of evidence may be several.
        self._paths = [
            (re.compile(re.sub(r"\{[^}/]+\}", "[^/]+", path.replace("evidence/{name}", "evidence/.+"))), path)
            for path in paths
        ]
        self._validators: dict[str, Any] = {}
        self.seen: set[tuple[str, str, int]] = set()

    def as_hook(self, response: httpx.Response) -> None:
        response.read()
        self.check(response)

    def check(self, response: httpx.Response) -> None:
        path = response.request.url.path.rstrip("/")
        template = next((name for pattern, name in self._paths if pattern.fullmatch(path)), None)
        method = response.request.method.lower()
        if template is None or method not in self._document["paths"][template]:
            assert response.status_code in (400, 404, 405, 414), (path, response.status_code)
            return
        described = self._document["paths"][template][method]["responses"]
        status = str(response.status_code)
        assert status in described, f"{method} {template} answered {status}, which is not in the document"
        self.seen.add((method, template, response.status_code))
        content = described[status].get("content", {})
        kind = response.headers.get("content-type", "").partition(";")[0]
        if kind == "application/json" and "application/json" in content:
            self._validate(content["application/json"]["schema"], response)

    def _validate(self, schema: dict[str, Any], response: httpx.Response) -> None:
        key = repr(schema)
        if key not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        errors = [str(error) for error in self._validators[key].iter_errors(response.json())]
        assert not errors, f"{response.request.method} {response.request.url}: {errors[:3]}"
