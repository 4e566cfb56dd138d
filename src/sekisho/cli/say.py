"""What a newcomer is told after the start: how to point a shipper at the platform."""

from __future__ import annotations

import click

from sekisho.settings import Settings


def addresses(settings: Settings) -> dict[str, object]:
    collect = settings.collect
    scheme = "https" if collect.tls else "http"
    host = f"[{collect.host}]" if ":" in collect.host else collect.host
    return {
        "http": f"{scheme}://{host}:{collect.http_port}" if collect.http_port else None,
        "syslog_udp": collect.syslog_udp_port or None,
        "syslog_tcp": collect.syslog_tcp_port or None,
        "syslog_tls": collect.syslog_tls_port or None,
    }


def how_to_pin(vkey: str | None) -> None:
    """The verifier key, when it was made just now: an auditor pins it, so it must be kept elsewhere."""
    if vkey:
        click.echo(
            "\nThe journal is sealed. Keep this verifier key somewhere else (on paper, with the auditor);"
            f"\nwith it `sekisho verify --vkey KEY` proves that no log was altered or removed.\n  {vkey}"
        )


def how_to_ship(settings: Settings, token: str | None) -> None:
    """Print it; the token only when it was made just now (it is stored as a hash)."""
    url = addresses(settings)["http"]
    collect = settings.collect
    shown = "TOKEN"
    lines = [f"Sekisho runs. Data folder: {settings.data}", ""]
    if token:
        lines += [
            f"  Token (shown once; more with `sekisho tokens create NAME`): {token}",
            "",
        ]
    lines += ["Point a shipper at it:"]
    if url:
        lines += [
            f"  Splunk HEC     {url}/services/collector   header  Authorization: Splunk {shown}",
            f"  Elasticsearch  {url}   (Filebeat, Winlogbeat: output.elasticsearch hosts + api_key id:token)",
            f"  OTLP/HTTP      {url}/v1/logs   header  Authorization: Bearer {shown}",
            f"  NDJSON         curl -H 'Authorization: Bearer {shown}' -T FILE -X POST {url}/v1/ingest/okta",
        ]
    if collect.syslog_tcp_port:
        lines.append(
            f'  rsyslog        *.* action(type="omfwd" protocol="tcp" target="{collect.host}"'
            f' port="{collect.syslog_tcp_port}" template="RSYSLOG_SyslogProtocol23Format")'
        )
    if collect.syslog_tls_port:
        lines.append(f"  syslog TLS     {collect.host}:{collect.syslog_tls_port}")
    if collect.syslog_udp_port:
        lines.append(
            f"  syslog UDP     {collect.host}:{collect.syslog_udp_port}   (no acknowledgement: may lose)"
        )
    lines += [
        "  files          sekisho ingest PATH…",
        "",
        "Then: sekisho status | sekisho alerts list | sekisho search 'user:emp0042'",
        "Stop with Ctrl-C.",
    ]
    click.echo("\n".join(lines))
