"""The fictional exchange: its people, PCs, accounts and networks. Nothing in it exists.

Addresses are of RFC 5737 and RFC 3849 (and private ones inside), names of RFC 2606. All times carry
an offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from sekisho.range.dice import Dice

TOKYO = ZoneInfo("Asia/Tokyo")
DOMAIN = "reiji.example"
COMPANY = "Reiji Exchange"

OFFICE_EGRESS = "203.0.113.10"
SERVER_EGRESS = "203.0.113.20"
COMPANY_VPN = "203.0.113.40"
#: a commercial VPN (on the VPN list) and a residential line (on no list), both the intruder's
INTRUDER_VPN = "192.0.2.77"
INTRUDER_HOME = "192.0.2.201"
#: a benign stranger who tries passwords
SPRAYER = "192.0.2.140"
VPN_RANGES = ("192.0.2.64/27",)

AWS_ACCOUNT = "123456789012"
TENANT = "6f1d0c52-3b7e-4a4e-9d55-0000c0ffee01"

Role = Literal["office", "developer", "privileged", "wallet-operator"]
Os = Literal["windows", "mac"]

_FAMILY = (
    ("Sato", "佐藤"), ("Suzuki", "鈴木"), ("Takahashi", "高橋"), ("Tanaka", "田中"), ("Ito", "伊藤"),
    ("Watanabe", "渡辺"), ("Yamamoto", "山本"), ("Nakamura", "中村"), ("Kobayashi", "小林"), ("Kato", "加藤"),
    ("Yoshida", "吉田"), ("Makino", "槙野"), ("Sasaki", "佐々木"), ("Matsumoto", "松本"), ("Inoue", "井上"),
    ("Kimura", "木村"), ("Hayashi", "林"), ("Shimizu", "清水"), ("Mori", "森"), ("Ikeda", "池田"),
)  # fmt: skip
_GIVEN = (
    ("Haru", "春"), ("Ryo", "遼"), ("Mio", "澪"), ("Kenta", "健太"), ("Aoi", "葵"), ("Sho", "翔"),
    ("Yui", "結衣"), ("Daiki", "大樹"), ("Rin", "凛"), ("Naoto", "直人"), ("Saki", "咲"), ("Takumi", "匠"),
    ("Emi", "恵美"),
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """One employee. ``start`` and ``end`` bound the employment; ``end`` None = employed."""

    number: int
    family: str
    given: str
    name: str
    role: Role
    zone: ZoneInfo
    country: str
    place: str
    os: Os
    home: str
    start: datetime
    end: datetime | None = None

    @property
    def uid(self) -> str:
        return f"emp{self.number:04d}"

    @property
    def login(self) -> str:
        return f"{self.given}.{self.family}".lower()

    @property
    def mail(self) -> str:
        return f"{self.login}@{DOMAIN}"

    @property
    def handle(self) -> str:
        """Name on the code host."""
        return f"{self.given}{self.family}-reiji".lower()

    @property
    def asset(self) -> str:
        return f"PC-{self.number:04d}"

    @property
    def host(self) -> str:
        prefix = {"US": "NYC", "PT": "LIS"}.get(self.country, "TYO")
        return f"{prefix}-PC-{self.number:04d}"

    @property
    def agent(self) -> str:
        """Id of the EDR agent: 32 hex digits, as CrowdStrike's ``aid``."""
        return Dice(1, "agent", self.number).digits(32)

    @property
    def lan(self) -> str:
        """Address inside the office."""
        return f"10.20.{1 + self.number // 200}.{10 + self.number % 200}"

    @property
    def okta_uid(self) -> str:
        return "00u" + Dice(1, "okta", self.number).token(17)

    @property
    def entra_uid(self) -> str:
        return Dice(1, "entra", self.number).uid()

    @property
    def sid(self) -> str:
        return f"S-1-5-21-1004336348-1177238915-682003330-{1100 + self.number}"

    @property
    def display(self) -> str:
        return f"{self.given} {self.family}"

    def employed(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


#: numbers with a part in the story or among the look-alikes; all others are everyday staff
ADMIN, SECURITY, VICTIM, LEAVER, CONTRACTOR, REHIRED, RENEWED = 2, 3, 12, 17, 23, 26, 28
NEW_YORK, LISBON, TRAVELLER = 31, 34, 29
#: a developer with a Mac whom the victim asks for help
COLLEAGUE = 10
WALLET = (5, 6, 7, RENEWED)
SMALLEST = 36


@dataclass(frozen=True)
class World:
    """The organisation as it is in ``start`` … ``end`` (aware, whole hours)."""

    seed: int
    start: datetime
    end: datetime
    people: tuple[Person, ...]

    def person(self, number: int) -> Person:
        return self.people[number - 1]

    def staff(self) -> list[Person]:
        """Who works in the period (the leaver's employment ended before)."""
        return [p for p in self.people if p.end is None or p.end > self.start]

    @property
    def developers(self) -> list[Person]:
        return [p for p in self.staff() if p.role in ("developer", "privileged")]


def _role(number: int) -> Role:
    if number in (ADMIN, SECURITY):
        return "privileged"
    if number in WALLET or number == CONTRACTOR:
        return "wallet-operator"
    return "developer" if 8 <= number <= 18 or number in (NEW_YORK, LISBON) else "office"


def _where(number: int) -> tuple[ZoneInfo, str, str]:
    if number == NEW_YORK:
        return ZoneInfo("America/New_York"), "US", "New York"
    if number == LISBON:
        return ZoneInfo("Europe/Lisbon"), "PT", "Lisboa"
    return TOKYO, "JP", ("東京都", "神奈川県", "埼玉県", "千葉県")[number % 4]


def _home(number: int) -> str:
    if number % 5 == 4:
        return f"2001:db8:40:{number:x}::{number * 37 % 4093 + 2:x}"
    return f"198.51.100.{2 + number % 124}"


def _employment(number: int, start: datetime) -> tuple[datetime, datetime | None]:
    midnight = start.astimezone(TOKYO).replace(hour=0, minute=0, second=0, microsecond=0)
    if number == LEAVER:
        return midnight - timedelta(days=900), midnight - timedelta(days=20) + timedelta(hours=18)
    if number == REHIRED:
        return midnight - timedelta(days=40), None
    return midnight - timedelta(days=200 + 61 * (number % 17)), None


def _name(number: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Family and given name; the victim and his namesake have changed given names."""
    family = _FAMILY[(number - 1) % len(_FAMILY)]
    given = _GIVEN[(number * 5 + number // 20) % len(_GIVEN)]
    usual, wanted = ("Rin", "凛"), ("Ryo", "遼")
    if number == VICTIM:
        return family, wanted
    return family, usual if family[0] == "Makino" and given == wanted else given


def found(seed: int, start: datetime, end: datetime, people: int = 40) -> World:
    """The organisation with so many people (at least ``SMALLEST``: the story needs its parts)."""
    if people < SMALLEST:
        raise ValueError(f"the range needs at least {SMALLEST} people, not {people}")
    staff = []
    for number in range(1, people + 1):
        family, given = _name(number)
        zone, country, place = _where(number)
        begin, finish = _employment(number, start)
        suffix = "" if number <= len(_FAMILY) * len(_GIVEN) else str(number)
        staff.append(
            Person(
                number,
                family[0] + suffix,
                given[0],
                f"{family[1]} {given[1]}",
                _role(number),
                zone,
                country,
                place,
                "mac" if number % 7 == 3 and number not in (VICTIM, SECURITY) else "windows",
                _home(number),
                begin,
                finish,
            )
        )
    return World(seed, start, end, tuple(staff))
