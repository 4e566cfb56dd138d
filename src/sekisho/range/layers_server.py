"""Networks and servers: proxy, DNS, AWS, Linux hosts and their nightly jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted
from sekisho.range.plan import Day, dates
from sekisho.range.shapes_cloud import cloudtrail, github
from sekisho.range.shapes_entra import signin
from sekisho.range.shapes_lines import bind, rfc5424, site, squid, sshd, sudo, unbound
from sekisho.range.shapes_okta import Who
from sekisho.range.world import SERVER_EGRESS, TOKYO, Person, World

HOSTS = ("wallet-gw1", "match1", "batch1")
READS = (
    ("ec2", "DescribeInstances"),
    ("s3", "ListBuckets"),
    ("logs", "DescribeLogGroups"),
    ("iam", "ListRoles"),
    ("sts", "GetCallerIdentity"),
    ("kms", "DescribeKey"),
    ("cloudwatch", "DescribeAlarms"),
)
SERVICE_MAIL = "svc-backup@reiji.example"


def access_key(person: Person) -> str:
    """The AWS access key of a person, a made-up one."""
    return "AKIA" + Dice(1, "aws-key", person.number).token(16)


def proxy_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    """Web access of the office (and of those who work over the company's VPN)."""
    if day.place == "trip":
        return
    dice = Dice(world.seed, "proxy", day.person.number, day.date)
    for moment in day.moments(dice, 95 * volume):
        method = "CONNECT" if dice.random() < 0.93 else "GET"
        yield squid(dice, moment, day.person.lan, day.person.login, site(dice), method)


def dns_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    dice = Dice(world.seed, "dns", day.person.number, day.date)
    ask = bind if day.person.number % 4 else unbound
    for moment in day.moments(dice, 100 * volume):
        yield ask(dice, moment, day.person.lan, site(dice), "AAAA" if dice.random() < 0.25 else "A")


def aws_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    person = day.person
    if person.role not in ("developer", "privileged"):
        return
    dice = Dice(world.seed, "aws", person.number, day.date)
    for moment in day.moments(dice, 18 * volume):
        service, operation = dice.one(READS)
        yield cloudtrail(dice, moment, person.login, access_key(person), day.address, service, operation)
    if dice.random() < 0.5:
        start = day.start + timedelta(minutes=12)
        yield cloudtrail(
            dice,
            start,
            person.login,
            "",
            day.address,
            "signin",
            "ConsoleLogin",
            agent="Mozilla/5.0",
            response={"ConsoleLogin": "Success"},
            extra={
                "eventType": "AwsConsoleSignIn",
                "additionalEventData": {"MobileVersion": "No", "MFAUsed": "Yes"},
            },
        )


def ssh_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    """Developers on servers, by key; now and then sudo."""
    person = day.person
    if person.role not in ("developer", "privileged"):
        return
    dice = Dice(world.seed, "ssh", person.number, day.date)
    for moment in day.moments(dice, 4 * volume):
        host, port = dice.one(HOSTS), dice.randrange(20000, 60000)
        key = f"ED25519 SHA256:{Dice(1, 'key', person.number).token(43)}"
        source = person.lan
        yield sshd(
            dice, moment, host, f"Accepted publickey for {person.login} from {source} port {port} ssh2: {key}"
        )
        yield sudo(
            dice,
            moment + timedelta(seconds=40),
            host,
            person.login,
            dice.one(
                ("/usr/bin/systemctl status match", "/usr/bin/journalctl -u match", "/usr/bin/apt list")
            ),
        )
        yield sshd(
            dice,
            moment + timedelta(minutes=9),
            host,
            f"Disconnected from user {person.login} {source} port {port}",
        )


def nightly(world: World, volume: float) -> Iterator[Emitted]:
    """Jobs of the night: backups, imports, deployments, service accounts around the clock."""
    for date in dates(world):
        midnight = datetime.combine(date, datetime.min.time(), TOKYO)
        dice = Dice(world.seed, "nightly", date)
        for emitted in _night(dice, midnight, volume):
            if world.start <= emitted.time < world.end:
                yield emitted


def _night(dice: Dice, midnight: datetime, volume: float) -> Iterator[Emitted]:
    key = "ASIA" + dice.token(16)
    for _ in range(dice.many(260 * volume)):
        at = midnight + timedelta(hours=24 * dice.random())
        service, operation = dice.one((*READS, ("s3", "PutObjectTagging"), ("kms", "GenerateDataKey")))
        yield cloudtrail(
            dice, at, "role/backup-runner", key, SERVER_EGRESS, service, operation, agent="Boto3/1.40.2"
        )
    for hour in range(24):
        at = midnight + timedelta(hours=hour, minutes=17, seconds=3)
        yield rfc5424(at, "linux", 10, 6, "batch1", f"CRON/{dice.randrange(900, 32000)}", _cron("opened"))
        yield rfc5424(
            at + timedelta(seconds=2), "linux", 10, 6, "batch1", f"CRON/{900 + hour}", _cron("closed")
        )
    two = midnight + timedelta(hours=2, seconds=dice.random() * 90)
    backup = Who(
        "3f0a0c11-0000-4000-8000-00000000beef",
        SERVICE_MAIL,
        "Backup service",
        SERVER_EGRESS,
        "Boto3/1.40.2",
        "Linux",
    )
    yield signin(dice, two, backup, "Windows Azure Service Management API", interactive=False, mfa=False)
    three = midnight + timedelta(hours=3, seconds=dice.random() * 90)
    yield github(
        dice, three, "git.clone", "reiji-ci", SERVER_EGRESS, "JP", "wallet-core",
        transport_protocol_name="https",
        programmatic_access_type="GitHub App server-to-server token",
    )  # fmt: skip


def _cron(what: str) -> str:
    tail = "(uid=0) by (uid=0)" if what == "opened" else ""
    return f"pam_unix(cron:session): session {what} for user root{tail}"
