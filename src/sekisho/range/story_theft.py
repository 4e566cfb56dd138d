"""The second half of the attack: decoys, the retired, rights that had ended, traces wiped, the wallet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sekisho.model import Text
from sekisho.range.agents import CHROME_WINDOWS, browser
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted
from sekisho.range.layers_server import access_key
from sekisho.range.layers_sign_in import entra_who, okta_who
from sekisho.range.ledger import Act, Scene
from sekisho.range.master import DECOY_GUESSED, DECOY_TAKEN
from sekisho.range.shapes_cloud import cloudtrail, github, wallet_call, wallet_login
from sekisho.range.shapes_endpoint import falcon
from sekisho.range.shapes_entra import signin
from sekisho.range.shapes_lines import sshd, sudo
from sekisho.range.shapes_okta import Who, okta
from sekisho.range.shapes_windows import EVENTLOG, SYSTEM_LOG, winlogbeat
from sekisho.range.story import SESSION, Clock
from sekisho.range.world import (
    CONTRACTOR,
    INTRUDER_HOME,
    INTRUDER_VPN,
    LEAVER,
    SERVER_EGRESS,
    VICTIM,
    World,
)


def theft(world: World, clock: Clock, scene: Scene) -> None:
    victim, leaver = world.person(VICTIM).uid, world.person(LEAVER).uid
    contractor = world.person(CONTRACTOR).uid
    plays = (
        ("S11", "被害者のブラウザに仕込んだダミーの認証情報が正しい秘密で使われ、ポリシーで遮断",
         "The decoy credential of the victim's browser is used with the right secret, and blocked by policy",
         "", ("A9",), ("T1078",), ("decoy",), decoy_right),
        ("S12", "別のダミーの利用者名が誤った秘密で試される",
         "The name of another decoy is tried with a wrong secret",
         "", ("A9",), ("T1110.001",), ("decoy",), decoy_wrong),
        ("S13", "退職者のアカウントへのログイン試行（Entra ID と sshd、いずれも失敗）",
         "A retired employee's account is tried (Entra ID and sshd, both fail)",
         leaver, ("A8",), ("T1078",), ("leaver-attempt",), leaver_fails),
        ("S14", "退職者の消し忘れた GitHub のアクセストークンでソースコードを取得",
         "Source code is fetched with a retired employee's forgotten GitHub token",
         leaver, ("A8",), ("T1078.004", "T1213.003"), ("leaver-attempt",), leaver_token),
        ("S15", "業務委託先の担当者のアカウントが、業務付与期間の終了後にウォレット管理へアクセス",
         "A contractor's account enters the wallet console after the assignment's period",
         contractor, ("A3",), ("T1078",), ("assignment-outside",), contractor_wallet),
        ("S16", "AWS のアクセスキーを新しく作成", "A new AWS access key is made",
         victim, ("T3.2",), ("T1098.001",), ("aws-access-key-created",), aws_key),
        ("S17", "CloudTrail の記録を停止", "CloudTrail's logging is stopped",
         victim, ("A10",), ("T1562.008",), ("log-cleared",), stop_logging),
        ("S18", "GitHub にデプロイキーを追加", "A deploy key is added on GitHub",
         victim, ("T3.2",), ("T1098",), ("github-key-created",), deploy_key),
        ("S19", "Okta の API トークンを作成", "An Okta API token is made",
         victim, ("T3.2",), ("T1098",), ("okta-api-token-created",), api_token),
        ("S20", "サーバーの authorized_keys を書き換え", "authorized_keys is changed on a server",
         victim, ("T3.2",), ("T1098.004",), ("authorized-keys-changed",), authorized_keys),
        ("S21", "被害者のPCで Windows のログを消去", "The Windows logs of the victim's PC are cleared",
         victim, ("A10",), ("T1070.001",), ("log-cleared",), clear_log),
        ("S22", "業務付与期間の終わった被害者になりすましてウォレット管理へアクセス",
         "The wallet console is entered as the victim, whose assignment had ended",
         victim, ("A3", "T3.1"), ("T1078",), ("assignment-outside",), victim_wallet),
    )  # fmt: skip
    for name, ja, en, person, advisory, technique, rules, play in plays:
        act = Act(name, Text(ja=ja, en=en), person, advisory, technique, rules)
        scene.play(act, play(world, clock))


def _stranger(mail: str, address: str) -> Who:
    return Who(
        "00000000-0000-4000-8000-00000000dec0",
        mail,
        mail.partition("@")[0],
        address,
        CHROME_WINDOWS,
        "Windows 11",
    )


def decoy_right(world: World, clock: Clock) -> Iterator[Emitted]:
    dice = Dice(world.seed, "story", "S11")
    yield signin(
        dice,
        clock.at(2, 1, 41, 33),
        _stranger(DECOY_TAKEN, INTRUDER_VPN),
        "Microsoft Azure Portal",
        error=53003,
    )


def decoy_wrong(world: World, clock: Clock) -> Iterator[Emitted]:
    dice = Dice(world.seed, "story", "S12")
    who = _stranger(DECOY_GUESSED, INTRUDER_VPN)._replace(uid="unknown", display="unknown")
    yield okta(
        dice,
        clock.at(2, 1, 44, 10),
        who,
        "user.session.start",
        result="FAILURE",
        reason="VERIFICATION_ERROR",
        credential="PASSWORD",
    )


def leaver_fails(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, leaver = Dice(world.seed, "story", "S13"), world.person(LEAVER)
    who = entra_who(leaver, INTRUDER_VPN, CHROME_WINDOWS)
    yield signin(dice, clock.at(3, 2, 3, 9), who, "Office 365 Exchange Online", error=50057)
    text = f"Failed password for {leaver.login} from {INTRUDER_VPN} port 40922 ssh2"
    yield sshd(dice, clock.at(3, 2, 7, 51), "batch1", text)


def leaver_token(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, leaver = Dice(world.seed, "story", "S14"), world.person(LEAVER)
    for minute, repo in ((15, "wallet-core"), (17, "infra")):
        yield github(
            dice,
            clock.at(3, 2, minute, 2),
            "git.clone",
            leaver.handle,
            INTRUDER_HOME,
            "JP",
            repo,
            transport_protocol_name="https",
            programmatic_access_type="Personal access token (classic)",
            hashed_token=dice.token(43) + "=",
            token_id=dice.randrange(10**9),
        )


def contractor_wallet(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, person = Dice(world.seed, "story", "S15"), world.person(CONTRACTOR)
    session, agent = dice.uid(), browser(person)
    yield wallet_login(dice, clock.at(5, 10, 2), person, INTRUDER_HOME, agent, session)
    yield wallet_call(dice, clock.at(5, 10, 4), person, INTRUDER_HOME, agent, session, "wallet.list")


def aws_key(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S16"), world.person(VICTIM)
    key = "AKIA" + dice.token(16)
    yield cloudtrail(
        dice,
        clock.at(6, 21, 31, 5),
        victim.login,
        access_key(victim),
        INTRUDER_HOME,
        "iam",
        "CreateAccessKey",
        request={"userName": "deploy-bot"},
        response={"accessKey": {"accessKeyId": key, "status": "Active", "userName": "deploy-bot"}},
    )


def stop_logging(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S17"), world.person(VICTIM)
    yield cloudtrail(
        dice,
        clock.at(6, 21, 38, 40),
        victim.login,
        access_key(victim),
        INTRUDER_HOME,
        "cloudtrail",
        "StopLogging",
        request={"name": "org-trail"},
    )


def deploy_key(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S18"), world.person(VICTIM)
    yield github(
        dice,
        clock.at(6, 21, 50, 12),
        "public_key.create",
        victim.handle,
        INTRUDER_HOME,
        "JP",
        "wallet-core",
        title="ci-mirror",
        read_only=False,
        fingerprint="SHA256:" + dice.token(43),
    )


def api_token(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S19"), world.person(VICTIM)
    yield okta(
        dice,
        clock.at(6, 22, 2, 30),
        okta_who(victim, INTRUDER_HOME),
        "system.api_token.create",
        session=SESSION,
        targets=(("00T" + dice.token(17), "Token", "unknown", "sync-helper"),),
    )


def authorized_keys(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S20"), world.person(VICTIM)
    at = clock.at(6, 22, 20)
    key = f"ED25519 SHA256:{dice.token(43)}"
    text = f"Accepted publickey for {victim.login} from {victim.lan} port 50112 ssh2: {key}"
    yield sshd(dice, at, "wallet-gw1", text)
    command = "/usr/bin/tee -a /home/deploy/.ssh/authorized_keys"
    yield sudo(dice, at + timedelta(seconds=48), "wallet-gw1", victim.login, command)
    yield falcon(
        dice,
        at + timedelta(seconds=48, milliseconds=40),
        victim,
        SERVER_EGRESS,
        "ProcessRollup2",
        aid=Dice(1, "agent", "wallet-gw1").digits(32),
        ComputerName="wallet-gw1",
        event_platform="Lin",
        ImageFileName="/usr/bin/tee",
        CommandLine=command,
        ParentBaseFileName="sudo",
        UserName="root",
        RawProcessId=str(dice.randrange(1000, 30000)),
        SHA256HashData=Dice(1, "image", "/usr/bin/tee").digits(64),
    )


def clear_log(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S21"), world.person(VICTIM)
    who = {
        "SubjectUserSid": victim.sid,
        "SubjectUserName": victim.login,
        "SubjectDomainName": "REIJI",
        "SubjectLogonId": "0x5a1f2c",
    }
    text = "The audit log was cleared."
    at = clock.at(6, 22, 41, 3)
    yield winlogbeat(
        dice,
        at,
        victim.host,
        EVENTLOG,
        1102,
        {},
        user_data={"xml_name": "LogFileCleared", **who},
        message=text,
    )
    system = {
        "xml_name": "LogFileCleared",
        "SubjectUserName": victim.login,
        "SubjectDomainName": "REIJI",
        "Channel": "System",
        "BackupPath": "",
    }
    later = at + timedelta(seconds=2)
    yield winlogbeat(
        dice,
        later,
        victim.host,
        SYSTEM_LOG,
        104,
        {},
        user_data=system,
        message="The System log file was cleared.",
    )


def victim_wallet(world: World, clock: Clock) -> Iterator[Emitted]:
    dice, victim = Dice(world.seed, "story", "S22"), world.person(VICTIM)
    session, agent = dice.uid(), browser(victim)
    yield wallet_login(dice, clock.at(7, 3, 12), victim, INTRUDER_HOME, agent, session)
    for minute, operation in ((14, "wallet.list"), (15, "balance.view"), (19, "transfer.propose")):
        yield wallet_call(dice, clock.at(7, 3, minute), victim, INTRUDER_HOME, agent, session, operation)
