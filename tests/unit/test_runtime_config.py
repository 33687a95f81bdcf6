"""runtime.yaml: what it accepts means the same to YAML, and what it does not accept is explained."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from teemate_runtime.oci import settings
from teemate_runtime.oci.failure import Failure
from tests.harness.paths import ROOT

SHIPPED = ROOT / "configs" / "runtime.yaml"


def test_shipped_file_states_the_defaults() -> None:
    values = settings.parse(SHIPPED.read_text(), path="runtime.yaml")
    stated = settings.Settings(values, path="", library="/lib")
    defaults = settings.Settings({}, path="", library="/lib")
    for name in settings.Settings.__slots__:
        assert getattr(stated, name) == getattr(defaults, name)


def test_every_key_is_in_the_shipped_file() -> None:
    text = SHIPPED.read_text()
    for key in settings.KNOWN:
        assert f"\n{key}: " in text or f"\n# {key}: " in text


@pytest.mark.parametrize(
    "text",
    [
        "pool: blue\n",
        "---\npool: blue # the blue one\n\n# a comment\nhost: /run/x\n",
        "pool: 'a # b'\n",
        'host: "/run/a b"   # quoted\n',
        "wait_ms: '20'\n",
    ],
)
def test_accepted_text_means_the_same_to_yaml(text: str) -> None:
    assert settings.parse(text, path="f") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pol: x\n", "did you mean pool?"),
        ("pool: x\npool: y\n", "set twice"),
        ("pool:\n  name: x\n", "no value"),
        ("pool: [x]\n", "quote it"),
        ("pool: &a x\n", "quote it"),
        (" pool: x\n", "not of the form"),
        ("pool=x\n", "not of the form"),
        ("pool:x\n", "not of the form"),
        ("pool: 'x\n", "malformed quoted"),
        ("pool: ~\n", "quote it"),
    ],
)
def test_the_rest_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(Failure) as failure:
        settings.parse(text, path="/etc/r.yaml")
    assert told in str(failure.value) and "/etc/r.yaml, line " in str(failure.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wait_ms", "-1"),
        ("wait_ms", "1e3"),
        ("wait_ms", "600001"),
        ("insecure__allow_unprotected", "yes"),
        ("host", "x"),
    ],
)
def test_bad_values_name_their_key(key: str, value: str) -> None:
    with pytest.raises(Failure, match=key):
        settings.Settings({key: value}, path="f", library="/lib")


def test_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("host: /run/from-file\n")
    monkeypatch.setenv(settings.PATH_VARIABLE, str(file))
    monkeypatch.delenv(settings.HOST_VARIABLE, raising=False)
    assert settings.load(library="/lib").host == "/run/from-file"
    monkeypatch.setenv(settings.HOST_VARIABLE, "/run/from-environment")
    assert settings.load(library="/lib").host == "/run/from-environment"


def test_a_named_file_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.PATH_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(Failure, match=settings.PATH_VARIABLE):
        settings.load(library="/lib")
