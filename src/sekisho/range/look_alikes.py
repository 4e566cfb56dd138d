"""What looks like the attack and is not: all rules must stay silent on these records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from sekisho.model import Text
from sekisho.range.agents import CHROME_WINDOWS, IPHONE
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted
from sekisho.range.layers_device import EXPLORER, process
from sekisho.range.layers_sign_in import entra_who, okta_login, okta_stream, okta_who
from sekisho.range.ledger import Act, Scene
from sekisho.range.master import BREAK_GLASS, renewal
from sekisho.range.plan import workdays
from sekisho.range.shapes_cloud import wallet_call, wallet_login
from sekisho.range.shapes_entra import signin
from sekisho.range.shapes_lines import sudo
from sekisho.range.shapes_okta import Who, okta
from sekisho.range.shapes_windows import EVENTLOG, SYSMON, winlogbeat
from sekisho.range.world import (
    ADMIN,
    LEAVER,
    OFFICE_EGRESS,
    REHIRED,
    RENEWED,
    SPRAYER,
    TOKYO,
    TRAVELLER,
    World,
)

NPM = "C:\\Program Files\\nodejs\\node.exe"


def _at(day: date, hour: int, minute: int, second: float = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), TOKYO) + timedelta(seconds=second)


def look_alikes(world: World, scene: Scene) -> None:
    plays = (
        ("B01", "ダミーを含まないパスワードスプレー（すべて失敗）",
         "A password spray without a decoy; all fail",
         "", ("A9",), spray),
        ("B02", "再入社した従業員の通常のログイン",
         "Ordinary login of a re-hired employee",
         world.person(REHIRED).uid, ("A8",), rehired),
        ("B03", "期間満了前に更新申請した担当者のウォレット操作",
         "Wallet work of an operator whose renewal was filed in time",
         world.person(RENEWED).uid, ("A3",), renewed),
        ("B04", "計画されたログのローテーション",
         "Planned rotation of logs",
         "", ("A10",), rotation),
        ("B05", "多要素認証を免除された緊急用アカウントの訓練",
         "Drill with the break-glass account that is exempt from MFA",
         "", ("A2",), break_glass),
        ("B06", "届け出た海外出張先からのログイン",
         "Login from a business trip that was filed",
         world.person(TRAVELLER).uid, ("A6",), trip),
        ("B07", "自社リポジトリのビルド（node から git と cmd）",
         "A build of an own repository (node starts git and cmd)",
         world.person(9).uid, ("T2.2",), build),
        ("B08", "パスワードの打ち間違いが続いた後のログイン",
         "A login after several mistyped passwords",
         world.person(20).uid, ("A2",), mistyped),
        ("B09", "在宅勤務者のスマートフォンからの多要素認証付きログイン",
         "Login by phone with a second factor, over the mobile network",
         world.person(21).uid, ("A7",), phone),
    )  # fmt: skip
    for name, ja, en, person, advisory, play in plays:
        scene.play(Act(name, Text(ja=ja, en=en), person, advisory, harmless=True), play(world))


def spray(world: World) -> Iterator[Emitted]:
    dice, day = Dice(world.seed, "alike", "B01"), workdays(world)[6]
    names = [(p.entra_uid, p.mail, p.display) for p in world.people if p.number not in (LEAVER, REHIRED)]
    names += [
        ("", f"{name}@reiji.example", name)
        for name in ("info", "admin", "test", "sales", "payroll", "recruit")
    ]
    for number, (uid, mail, display) in enumerate(names):
        who = Who(
            uid or "00000000-0000-0000-0000-000000000000",
            mail,
            display,
            SPRAYER,
            CHROME_WINDOWS,
            "Windows 11",
            "DE",
            "Berlin",
        )
        at = _at(day, 4, 10, number * 3 + dice.random())
        yield signin(dice, at, who, "Office 365 Exchange Online", error=50126 if uid else 50034, mfa=False)


def rehired(world: World) -> Iterator[Emitted]:
    dice, person, day = Dice(world.seed, "alike", "B02"), world.person(REHIRED), workdays(world)[2]
    yield from okta_login(
        dice, _at(day, 9, 31), okta_who(person, OFFICE_EGRESS), "102" + dice.token(22), okta_stream(person)
    )


def renewed(world: World) -> Iterator[Emitted]:
    dice, person, at = Dice(world.seed, "alike", "B03"), world.person(RENEWED), renewal(world)
    session = dice.uid()
    yield wallet_login(dice, at + timedelta(minutes=22), person, OFFICE_EGRESS, CHROME_WINDOWS, session)
    for minute in (24, 31):
        later = at + timedelta(minutes=minute)
        yield wallet_call(dice, later, person, OFFICE_EGRESS, CHROME_WINDOWS, session, "balance.view")


def rotation(world: World) -> Iterator[Emitted]:
    dice, day = Dice(world.seed, "alike", "B04"), workdays(world)[3]
    admin = world.person(ADMIN)
    yield sudo(dice, _at(day, 11, 0, 4), "batch1", admin.login, "/usr/sbin/logrotate /etc/logrotate.conf")
    backup = {
        "xml_name": "AutoBackup",
        "Channel": "Security",
        "BackupPath": "C:\\Windows\\System32\\Winevt\\Logs\\Archive-Security.evtx",
    }
    yield winlogbeat(
        dice,
        _at(day, 11, 5),
        admin.host,
        EVENTLOG,
        1105,
        {},
        user_data=backup,
        message="Event log automatic backup",
    )


def break_glass(world: World) -> Iterator[Emitted]:
    dice, day = Dice(world.seed, "alike", "B05"), workdays(world)[5]
    who = Who(
        "3f0a0c11-0000-4000-8000-0000000061a5",
        BREAK_GLASS,
        "Break-glass 01",
        OFFICE_EGRESS,
        CHROME_WINDOWS,
        "Windows 11",
    )
    yield signin(dice, _at(day, 16, 0, 30), who, "Microsoft Azure Portal", mfa=False)


def trip(world: World) -> Iterator[Emitted]:
    dice, person, day = Dice(world.seed, "alike", "B06"), world.person(TRAVELLER), workdays(world)[4]
    who = okta_who(person, "198.51.100.230")._replace(country="SG", place="Singapore")
    yield from okta_login(dice, _at(day, 10, 12), who, "102" + dice.token(22), okta_stream(person))


def build(world: World) -> Iterator[Emitted]:
    dice, person, day = Dice(world.seed, "alike", "B07"), world.person(9), workdays(world)[2]
    parent = (NPM, f'"{NPM}" "C:\\Program Files\\nodejs\\node_modules\\npm\\bin\\npm-cli.js" run build')
    for second, image, command in (
        (0, "C:\\Program Files\\Git\\cmd\\git.exe", "git rev-parse --short HEAD"),
        (2, "C:\\Windows\\System32\\cmd.exe", 'cmd.exe /d /s /c "eslint src && tsc -p ."'),
        (3, NPM, "node node_modules\\eslint\\bin\\eslint.js src"),
    ):
        at = _at(day, 13, 20, second)
        yield winlogbeat(dice, at, person.host, SYSMON, 1, process(dice, at, person, image, command, parent))
    editor = "C:\\Program Files\\Microsoft VS Code\\Code.exe"
    at = _at(day, 13, 25)
    shell = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
    data = process(dice, at, person, shell, "powershell.exe -NoLogo", (editor, editor))
    yield winlogbeat(dice, at, person.host, SYSMON, 1, data)
    at = _at(day, 13, 26)
    data = process(dice, at, person, editor, f'"{editor}" README.md', (EXPLORER, EXPLORER))
    yield winlogbeat(dice, at, person.host, SYSMON, 1, data)


def mistyped(world: World) -> Iterator[Emitted]:
    dice, person, day = Dice(world.seed, "alike", "B08"), world.person(20), workdays(world)[7]
    who, stream = okta_who(person, person.home), okta_stream(person)
    for second in (0, 14, 31, 50):
        yield okta(
            dice, _at(day, 8, 55, second), who, "user.session.start",
            result="FAILURE", reason="INVALID_CREDENTIALS", credential="PASSWORD", stream=stream,
        )  # fmt: skip
    yield from okta_login(dice, _at(day, 8, 57), who, "102" + dice.token(22), stream)
    yield signin(
        dice,
        _at(day, 8, 58),
        entra_who(person, person.home),
        "Microsoft Teams",
        device=(person.agent[:8], person.host),
    )


def phone(world: World) -> Iterator[Emitted]:
    dice, person, day = Dice(world.seed, "alike", "B09"), world.person(21), workdays(world)[5]
    who = okta_who(person, "198.51.100.190", IPHONE)
    yield from okta_login(dice, _at(day, 21, 12), who, "102" + dice.token(22), okta_stream(person))
