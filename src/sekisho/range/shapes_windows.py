"""Windows events: Winlogbeat's JSON, and the event XML that the Windows Event Log itself renders."""

from __future__ import annotations

from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from sekisho.range.agents import zulu
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted, line, record

SECURITY = ("Security", "Microsoft-Windows-Security-Auditing")
EVENTLOG = ("Security", "Microsoft-Windows-Eventlog")
SYSTEM_LOG = ("System", "Microsoft-Windows-Eventlog")
SYSTEM = ("System", "EventLog")
SYSMON = ("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon")
KERNEL_GENERAL = ("System", "Microsoft-Windows-Kernel-General")
USER32 = ("System", "User32")

GUIDS = {
    "Microsoft-Windows-Security-Auditing": "{54849625-5478-4994-A5BA-3E3B0328C30D}",
    "Microsoft-Windows-Eventlog": "{fc65ddd8-d6ef-4962-83d5-6e5cfe9ce148}",
    "Microsoft-Windows-Sysmon": "{5770385F-C22A-43E0-BF4C-06F5698FFBD9}",
    "Microsoft-Windows-Kernel-General": "{A68CA8B7-004F-D7B6-A698-07E2DE0F1F5D}",
}


def winlogbeat(
    dice: Dice,
    time: datetime,
    host: str,
    log: tuple[str, str],
    event_id: int,
    data: dict[str, str],
    *,
    user_data: dict[str, str] | None = None,
    message: str = "",
) -> Emitted:
    """One event as Winlogbeat 8 publishes it."""
    channel, provider = log
    winlog: dict[str, object] = {
        "api": "wineventlog",
        "channel": channel,
        "computer_name": f"{host}.corp.reiji.example",
        "event_id": str(event_id),
        "provider_name": provider,
        "record_id": dice.randrange(100_000, 9_999_999),
        "process": {"pid": 700 + event_id % 97, "thread": {"id": 1000 + dice.randrange(8000)}},
        "opcode": "Info",
    }
    if provider in GUIDS:
        winlog["provider_guid"] = GUIDS[provider]
    if user_data is not None:
        winlog["user_data"] = user_data
    else:
        winlog["event_data"] = data
    if channel == "Security":
        winlog["keywords"] = ["Audit Failure" if event_id == 4625 else "Audit Success"]
    tree = {
        "@timestamp": zulu(time),
        "event": {
            "code": str(event_id),
            "kind": "event",
            "provider": provider,
            "created": zulu(time),
        },
        "log": {"level": "information"},
        "host": {"name": host.lower()},
        "agent": {"type": "winlogbeat", "version": "8.18.0", "name": host, "id": Dice(1, "beat", host).uid()},
        "ecs": {"version": "8.0.0"},
        "winlog": winlog,
    }
    if message:
        tree["message"] = message
    stream = "sysmon" if channel.startswith("Microsoft-Windows-Sysmon") else "windows"
    return record(time, stream, tree)


def event_xml(
    dice: Dice, time: datetime, host: str, log: tuple[str, str], event_id: int, data: dict[str, str]
) -> Emitted:
    """One event as XML on one line (what a Splunk forwarder sends with renderXml)."""
    channel, provider = log
    guid = f" Guid={quoteattr(GUIDS[provider])}" if provider in GUIDS else ""
    fields = "".join(f"<Data Name={quoteattr(name)}>{escape(value)}</Data>" for name, value in data.items())
    keywords = "0x8010000000000000" if event_id == 4625 else "0x8020000000000000"
    text = (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        f"<Provider Name={quoteattr(provider)}{guid}/><EventID>{event_id}</EventID><Version>2</Version>"
        f"<Level>0</Level><Task>12544</Task><Opcode>0</Opcode><Keywords>{keywords}</Keywords>"
        f"<TimeCreated SystemTime='{zulu(time, 7)}'/><EventRecordID>{dice.randrange(100_000, 9_999_999)}"
        f"</EventRecordID><Correlation/>"
        f"<Execution ProcessID='{700 + event_id % 97}' ThreadID='4{event_id % 97}'/>"
        f"<Channel>{channel}</Channel><Computer>{host}.corp.reiji.example</Computer><Security/></System>"
        f"<EventData>{fields}</EventData></Event>"
    )
    return line(time, "windows-xml", text)
