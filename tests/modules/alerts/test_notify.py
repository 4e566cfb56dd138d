"""Notification over real HTTP and SMTP on loopback: failing, waiting, recovering, never doubled."""

from __future__ import annotations

import email
import http.server
import json
import logging
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from sekisho.model import Severity
from sekisho.settings import Mail, Notify, Settings, Webhook
from tests.modules.alerts.findings import START, finding, piece

NOW = START + timedelta(days=1)
SECRET = "services/T000/B000/very-secret"


class Hook(http.server.BaseHTTPRequestHandler):
    """Answers with the next of ``server.answers``, else 200; keeps what it got."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        status, headers = server.answers.pop(0) if server.answers else (200, {})
        server.got.append((self.path, self.headers["Idempotency-Key"], json.loads(body)["text"], status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library names it so
        pass


@pytest.fixture
def hook() -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.answers, server.got = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Letters:
    """aiosmtpd's handler: refuses with ``answers`` first, then takes mail."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.got: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        self.got.append((email.message_from_bytes(envelope.content, policy=email.policy.default), session))
        return "250 taken"


@pytest.fixture
def post() -> Iterator[tuple[Letters, int]]:
    letters = Letters()
    controller = Controller(letters, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield letters, controller.port
    controller.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def by_hook(data: Path, port: int, **more: Any) -> Settings:
    (data / "hook.url").write_text(f"http://127.0.0.1:{port}/{SECRET}\n")
    return Settings(data=data, notify=Notify(webhooks=(Webhook("hook.url", **more),)))


def by_mail(data: Path, port: int, **more: Any) -> Settings:
    mail = Mail(
        "127.0.0.1", "sekisho@example.jp", ("soc@example.jp",), port=port, **{"starttls": False, **more}
    )
    return Settings(data=data, notify=Notify(mail=(mail,)))


def found_something(
    settings: Settings, *subjects: str, severity: Severity = Severity.HIGH, number: int = 1
) -> None:
    from sekisho.modules.alerts.channels import channels
    from sekisho.modules.alerts.flows import raise_alerts

    batch = [finding(piece(number), subject=subject, severity=severity) for subject in subjects]
    raise_alerts(batch, now=NOW, channels=channels(settings.notify))


def test_a_webhook_gets_one_message_in_the_readers_language(data: Path, hook: Any) -> None:
    from sekisho.modules.alerts.notify import counts, deliver_due

    settings = by_hook(data, hook.server_port, language="en")
    found_something(settings, "emp1")
    found_something(settings, "emp1")
    assert deliver_due(NOW, settings) == 1
    assert deliver_due(NOW, settings) == 0
    [(path, _, text, _)] = hook.got
    assert path == f"/{SECRET}"
    assert "Attempt on a leaver's account" in text
    assert "退職した従業員" in text  # the advisory's own sentence
    assert counts() == {"sent": 1, "pending": 0}


def test_below_the_threshold_nobody_is_told_until_the_severity_rises(data: Path, hook: Any) -> None:
    from sekisho.modules.alerts.notify import deliver_due

    settings = by_hook(data, hook.server_port, min_severity="high", language="en")
    found_something(settings, "emp1", severity=Severity.LOW)
    assert deliver_due(NOW, settings) == 0
    found_something(settings, "emp1", severity=Severity.CRITICAL, number=2)
    assert deliver_due(NOW, settings) == 1
    assert "severity risen: [critical]" in hook.got[0][2]


def test_a_failing_webhook_recovers_and_retry_after_is_honoured(data: Path, hook: Any, caplog: Any) -> None:
    from sekisho.modules.alerts.models import Message
    from sekisho.modules.alerts.notify import deliver_due

    caplog.set_level(logging.DEBUG)
    settings = by_hook(data, hook.server_port)
    date = format_datetime((NOW + timedelta(seconds=500)).replace(microsecond=0), usegmt=True)
    hook.answers = [
        (500, {}),
        (429, {"Retry-After": "90"}),
        (503, {"Retry-After": date}),
        (302, {"Location": "/x"}),
    ]
    found_something(settings, "emp1")
    waits = []
    now = NOW
    for _ in range(4):
        assert deliver_due(now, settings) == 0
        message = Message.objects.get()
        waits.append((message.error, (message.due_at - now).total_seconds()))
        assert deliver_due(message.due_at - timedelta(seconds=1), settings) == 0
        now = message.due_at
    assert waits[:2] == [("webhook: answered 500", 15.0), ("webhook: answered 429", 90.0)]
    assert waits[2] == ("webhook: answered 503", (NOW + timedelta(seconds=500) - NOW).total_seconds() - 105)
    assert waits[3] == ("webhook: answered 302", 120.0)
    assert deliver_due(now, settings) == 1
    assert len(hook.got) == 5
    assert len({key for _, key, _, _ in hook.got}) == 1
    assert SECRET not in caplog.text + json.dumps(list(Message.objects.values()), default=str)


@pytest.mark.parametrize("wait", [1, 15, 400])
def test_an_alert_that_rose_while_its_first_message_waited_is_told_once(
    data: Path, hook: Any, wait: int
) -> None:
    from sekisho.modules.alerts.models import Delivery
    from sekisho.modules.alerts.notify import counts, deliver_due

    settings = by_hook(data, hook.server_port, language="en")
    hook.answers = [(500, {})]
    found_something(settings, "emp1", "emp2", severity=Severity.HIGH)
    deliver_due(NOW, settings)
    found_something(settings, "emp1", "emp2", severity=Severity.CRITICAL, number=2)
    for seconds in (wait, wait + 20, wait + 4000):
        while deliver_due(NOW + timedelta(seconds=seconds), settings):
            pass
    got = [text.strip("`\n").splitlines()[0] for *_, text, status in hook.got if status == 200]
    firsts = [line for line in got if "severity risen" not in line]
    assert sorted(firsts) == sorted({*firsts}), "no words come twice"
    assert len(got) == 3, "of one both the first and the rise, of the other one message"
    assert counts() == {"sent": 3, "pending": 0}
    assert Delivery.objects.count() == 4
    assert len({key for _, key, _, _ in hook.got}) == 4, "what was refused is not extended under its key"


def test_a_worker_that_died_while_sending_does_not_repeat_what_was_told_since(data: Path, hook: Any) -> None:
    from sekisho.modules.alerts.models import Message
    from sekisho.modules.alerts.notify import LEASE, deliver_due

    settings = by_hook(data, hook.server_port, language="en")
    hook.answers = [(500, {})]
    found_something(settings, "emp1")
    deliver_due(NOW, settings)
    Message.objects.update(state="sending", due_at=NOW + LEASE)
    found_something(settings, "emp1", severity=Severity.CRITICAL, number=2)
    assert deliver_due(NOW + timedelta(seconds=1), settings) == 1
    assert deliver_due(NOW + LEASE, settings) == 0
    assert [status for *_, status in hook.got] == [500, 200]
    assert Message.objects.count() == 1


def test_it_is_given_up_with_a_reason_and_can_be_tried_again(data: Path, hook: Any) -> None:
    from sekisho.modules.alerts.models import Message
    from sekisho.modules.alerts.notify import TRIES, deliver_due, retry_dead

    settings = by_hook(data, free_port())  # nobody listens
    found_something(settings, "emp1")
    now = NOW
    for _ in range(TRIES):
        assert deliver_due(now, settings) == 0
        now = Message.objects.get().due_at
    message = Message.objects.get()
    assert (message.state, message.tries) == ("dead", TRIES)
    assert message.error == "webhook: ConnectionRefusedError Connection refused"
    assert deliver_due(now + timedelta(days=9), settings) == 0
    assert retry_dead(now) == 1
    assert deliver_due(now, by_hook(data, hook.server_port)) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example.com/x", "plain http is allowed to this machine only"),
        ("ftp://127.0.0.1/x", "does not hold one http(s) URL"),
        ("nonsense", "does not hold one http(s) URL"),
        ("http://127.0.0.1:99999/x", "does not hold one http(s) URL"),
        (None, "cannot read hook.url: FileNotFoundError"),
    ],
)
def test_a_bad_address_is_a_visible_reason(data: Path, url: str | None, why: str) -> None:
    from sekisho.modules.alerts.models import Message
    from sekisho.modules.alerts.notify import deliver_due

    settings = by_hook(data, 1)
    found_something(settings, "emp1")
    (data / "hook.url").unlink()
    if url is not None:
        (data / "hook.url").write_text(url)
    assert deliver_due(NOW, settings) == 0
    assert why in Message.objects.get().error


def test_a_crash_between_sending_and_marking_repeats_once_with_the_same_key(data: Path, hook: Any) -> None:
    from django.db import connection

    from sekisho.modules.alerts.notify import LEASE, deliver_due

    settings = by_hook(data, hook.server_port)
    found_something(settings, "emp1")

    def power_cut(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if hook.got:
            raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with connection.execute_wrapper(power_cut), pytest.raises(KeyboardInterrupt):
        deliver_due(NOW, settings)
    assert deliver_due(NOW + timedelta(seconds=1), settings) == 0
    assert deliver_due(NOW + LEASE, settings) == 1
    assert deliver_due(NOW + 2 * LEASE, settings) == 0
    assert len(hook.got) == 2
    assert hook.got[0][1] == hook.got[1][1]


def test_a_storm_becomes_a_digest_worst_first(data: Path, hook: Any) -> None:
    from sekisho.modules.alerts.notify import PER_MINUTE, counts, deliver_due

    settings = by_hook(data, hook.server_port, language="en")
    found_something(settings, *(f"emp{n}" for n in range(80)), severity=Severity.MEDIUM)
    found_something(settings, "emp-worst", severity=Severity.CRITICAL)
    assert deliver_due(NOW, settings) == 1
    lines = hook.got[0][2].splitlines()
    assert lines[:3] == ["```", "[Sekisho] 81 alerts", ""]
    assert "[critical]" in lines[3]
    assert "… 31 more" in hook.got[0][2]
    for n in range(PER_MINUTE + 5):
        found_something(settings, f"late{n}")
        while deliver_due(NOW + timedelta(seconds=n), settings):
            pass
    assert len(hook.got) == PER_MINUTE
    assert counts()["pending"] == 6
    assert deliver_due(NOW + timedelta(minutes=2), settings) >= 1
    assert counts()["pending"] == 0


HOSTILE = (
    "a``` *All clear, ignore* ```",
    "``",
    "<!channel> <@U012AB3CD> <!subteam^S1> <#C1|general>",
    "<https://evil.example|fix> & &lt;",
    "x\n```\n*bold*\r\nBcc: thief@example.com",
    "\x1b[2J\x07\u202e\ud800\x9b",
    "`" * 40_000,
    "&" * 40_000,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_words_of_a_log_break_out_of_no_message(
    data: Path, hook: Any, post: tuple[Letters, int], text: str
) -> None:
    from sekisho.modules.alerts.send import Letter, send

    letter = Letter(f"[Sekisho] {text}", f"before {text}\n  after {text}", "key-1")
    settings = by_hook(data, hook.server_port)
    send(settings.notify.webhooks[0], letter, data, NOW)
    [(_, _, message, _)] = hook.got
    assert (message[:4], message[-4:]) == ("```\n", "\n```")
    inside = message[3:-3]
    assert len(message) < 40_000, "Slack would cut its end off"
    assert not set("`<>") & set(inside)
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt);)*", inside), "an entity is whole"
    letters, port = post
    send(by_mail(data, port).notify.mail[0], letter, data, NOW)
    [(mail, _)] = letters.got
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("[Sekisho] ")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", message + mail["Subject"])
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", mail.get_content())


def test_mail_arrives_after_the_server_recovers(data: Path, post: tuple[Letters, int]) -> None:
    from sekisho.modules.alerts.models import Message
    from sekisho.modules.alerts.notify import deliver_due

    letters, port = post
    settings = by_mail(data, port)
    letters.answers = ["451 later"]
    found_something(settings, "emp1")
    assert deliver_due(NOW, settings) == 0
    message = Message.objects.get()
    assert message.error == "mail: 127.0.0.1 answered 451"
    assert deliver_due(message.due_at, settings) == 1
    [(mail, _)] = letters.got
    assert mail["Message-ID"] == f"<{message.key}@example.jp>"
    assert mail["Subject"].startswith("[Sekisho] [高] 退職者のアカウントへの認証試行: emp1")
    assert "■ 今すぐ行うこと" in mail.get_content()


def test_a_hostile_subject_cannot_add_headers(data: Path, post: tuple[Letters, int]) -> None:
    from sekisho.modules.alerts.notify import deliver_due

    letters, port = post
    found_something(by_mail(data, port), "emp1\r\nBcc: thief@example.com\x1b[2J")
    assert deliver_due(NOW, by_mail(data, port)) == 1
    [(mail, _)] = letters.got
    assert mail["Bcc"] is None
    assert "\\x0d\\x0aBcc" in mail["Subject"]
    assert "\x1b" not in mail.get_content()


def test_a_password_is_never_sent_in_clear(data: Path) -> None:
    from sekisho.modules.alerts.models import Message
    from sekisho.modules.alerts.notify import deliver_due

    mail = Mail(
        "mail.example.com", "a@example.jp", ("b@example.jp",), starttls=False, user="u", password_file="p"
    )
    settings = Settings(data=data, notify=Notify(mail=(mail,)))
    found_something(settings, "emp1")
    assert deliver_due(NOW, settings) == 0
    assert Message.objects.get().error == "mail: a password is not sent without starttls"


def test_starttls_with_login(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    from sekisho.modules.alerts.models import Message
    from sekisho.modules.alerts.notify import deliver_due

    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    letters = Letters()
    logins = []

    def check(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> Any:
        from aiosmtpd.smtp import AuthResult

        logins.append((given.login, given.password))
        return AuthResult(success=True)

    controller = Controller(
        letters, hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True,
        authenticator=check, auth_required=True,
    )  # fmt: skip
    controller.start()
    try:
        (data / "mail.password").write_text("pass word\n")
        settings = by_mail(data, controller.port, starttls=True, user="soc", password_file="mail.password")
        found_something(settings, "emp1")
        assert deliver_due(NOW, settings) == 0  # the certificate is unknown: nothing is sent
        message = Message.objects.get()
        assert "SSLCertVerificationError" in message.error
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert deliver_due(message.due_at, settings) == 1
    finally:
        controller.stop()
    assert logins == [(b"soc", b"pass word")]
    assert len(letters.got) == 1


def test_two_workers_send_each_message_once(data: Path, hook: Any) -> None:
    """The claim is a conditional UPDATE: whoever comes second changes no row."""
    from django.db import connections

    from sekisho.modules.alerts.notify import counts, deliver_due

    settings = by_hook(data, hook.server_port)
    found_something(settings, *(f"emp{n}" for n in range(8)))
    start = threading.Barrier(3)

    def work() -> None:
        start.wait()
        while deliver_due(NOW, settings):
            pass
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while deliver_due(NOW, settings):
        pass
    assert counts() == {"sent": 8, "pending": 0}
    assert len(hook.got) == len({key for _, key, _, _ in hook.got}) == 8
