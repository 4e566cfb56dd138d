"""Everyday sign-ins: Okta, Entra ID, Google Workspace, GitHub, the wallet console."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sekisho.range.agents import IPHONE, browser, system
from sekisho.range.dice import Dice
from sekisho.range.emit import Emitted
from sekisho.range.plan import Day
from sekisho.range.shapes_cloud import github, google, wallet_call, wallet_login
from sekisho.range.shapes_entra import audit, signin
from sekisho.range.shapes_okta import Who, okta
from sekisho.range.world import ADMIN, SECURITY, WALLET, Person, World

APPS = ("Slack", "Google Workspace", "Jira", "GitHub", "Expense", "HR", "Wiki", "Zoom")
MICROSOFT_APPS = (
    "Office 365 Exchange Online",
    "Microsoft Teams",
    "Microsoft Office 365 Portal",
    "SharePoint Online",
)
REPOSITORIES = ("wallet-core", "matching-engine", "web", "mobile", "infra", "risk-model")


def okta_who(person: Person, address: str, agent: str = "") -> Who:
    return Who(
        person.okta_uid,
        person.mail,
        person.display,
        address,
        agent or browser(person),
        system(person),
        person.country,
        person.place,
    )


def entra_who(person: Person, address: str, agent: str = "") -> Who:
    return okta_who(person, address, agent)._replace(uid=person.entra_uid)


def okta_stream(person: Person) -> str:
    """Half of the organisation is read by a Splunk add-on, half by a poller that posts NDJSON."""
    return "okta" if person.number % 2 == 0 else "okta-api"


def okta_login(dice: Dice, at: datetime, who: Who, session: str, stream: str) -> Iterator[Emitted]:
    """Password, policy, second factor: the three records of a good login."""
    yield okta(dice, at, who, "user.session.start", session=session, credential="PASSWORD", stream=stream)
    yield okta(
        dice,
        at + timedelta(milliseconds=180),
        who,
        "policy.evaluate_sign_on",
        session=session,
        result="CHALLENGE",
        reason="Sign-on policy evaluation resulted in CHALLENGE",
        targets=(("rul0default", "PolicyRule", "unknown", "Second factor always"),),
        stream=stream,
    )
    yield okta(
        dice,
        at + timedelta(seconds=6 + dice.random() * 9),
        who,
        "user.authentication.auth_via_mfa",
        session=session,
        debug={"factor": "OKTA_VERIFY_PUSH" if dice.random() < 0.6 else "FIDO_WEBAUTHN"},
        credential="OTP",
        step=1,
        stream=stream,
    )


def okta_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    dice = Dice(world.seed, "okta", day.person.number, day.date)
    stream, who = okta_stream(day.person), okta_who(day.person, day.address)
    session = "102" + dice.token(22)
    at = day.start + timedelta(minutes=dice.random() * 4)
    if dice.random() < 0.12:
        yield okta(
            dice,
            at - timedelta(seconds=20),
            who,
            "user.session.start",
            result="FAILURE",
            reason="INVALID_CREDENTIALS",
            credential="PASSWORD",
            stream=stream,
        )
    yield from okta_login(dice, at, who, session, stream)
    for moment in day.moments(dice, 7 * volume):
        app = dice.one(APPS)
        target = ("0oa" + app.replace(" ", "")[:8], "AppInstance", app, app)
        yield okta(
            dice,
            max(moment, at + timedelta(seconds=20)),
            who,
            "user.authentication.sso",
            session=session,
            targets=(target,),
            stream=stream,
        )
    if dice.random() < 0.35:
        phone = okta_who(day.person, day.phone, IPHONE)
        yield from okta_login(
            dice, day.end - timedelta(minutes=dice.random() * 200), phone, "102" + dice.token(22), stream
        )


def entra_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    dice = Dice(world.seed, "entra", day.person.number, day.date)
    who, device = entra_who(day.person, day.address), (day.person.agent[:8], day.person.host)
    session = dice.uid()
    if dice.random() < 0.06:
        yield signin(dice, day.start, who, MICROSOFT_APPS[0], error=50126, mfa=True, device=device)
    for number, moment in enumerate(day.moments(dice, 7 * volume)):
        yield signin(
            dice,
            moment,
            who,
            dice.one(MICROSOFT_APPS),
            interactive=number % 3 == 0,
            device=device,
            session=session,
        )


def entra_admin(world: World, volume: float) -> Iterator[Emitted]:
    """What administrators change on an ordinary day: groups, attributes, application settings."""
    dice = Dice(world.seed, "entra-admin")
    admin = world.person(ADMIN)
    who = entra_who(admin, admin.home)
    hours = (world.end - world.start).total_seconds() / 3600
    for _ in range(dice.many(60 * volume)):
        subject = dice.one(world.staff())
        at = world.start + timedelta(hours=dice.random() * hours)
        if at.astimezone(admin.zone).weekday() >= 5 or not 9 <= at.astimezone(admin.zone).hour < 18:
            continue
        activity = dice.one(("Update user", "Add member to group", "Remove member from group"))
        category = "UserManagement" if activity == "Update user" else "GroupManagement"
        changed = (
            (("Group.DisplayName", "", '"release-calendar"'),)
            if "group" in activity
            else (("Department", '["Trading"]', '["Operations"]'),)
        )
        yield audit(dice, at, who, activity, category, ("User", subject.entra_uid, subject.mail), changed)


def google_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    dice = Dice(world.seed, "google", day.person.number, day.date)
    for moment in day.moments(dice, 2 * volume):
        yield google(
            dice,
            moment,
            "login",
            day.person.mail,
            day.address,
            "login",
            "login_success",
            ({"name": "login_type", "value": "saml"}, {"name": "is_suspicious", "boolValue": False}),
        )
    if day.person.number in (ADMIN, SECURITY) and dice.random() < 0.6:
        subject = dice.one(world.staff())
        yield google(
            dice,
            day.moment(dice),
            "admin",
            day.person.mail,
            day.address,
            "GROUP_SETTINGS",
            "ADD_GROUP_MEMBER",
            (
                {"name": "USER_EMAIL", "value": subject.mail},
                {"name": "GROUP_EMAIL", "value": "all@reiji.example"},
            ),
        )


def github_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    if day.person.role not in ("developer", "privileged"):
        return
    dice = Dice(world.seed, "github", day.person.number, day.date)
    for moment in day.moments(dice, 16 * volume):
        action = dice.one(
            ("git.fetch", "git.fetch", "git.clone", "git.push", "git.push", "pull_request.create")
        )
        yield github(
            dice,
            moment,
            action,
            day.person.handle,
            day.address,
            day.person.country,
            dice.one(REPOSITORIES),
            transport_protocol_name="ssh",
        )


def wallet_day(world: World, day: Day, volume: float) -> Iterator[Emitted]:
    """Operators with an assignment log in and look at balances."""
    if day.person.number not in WALLET:
        return
    dice = Dice(world.seed, "wallet", day.person.number, day.date)
    agent, session = browser(day.person), dice.uid()
    at = day.start + timedelta(minutes=8 + dice.random() * 20)
    yield wallet_login(dice, at, day.person, day.address, agent, session)
    for moment in day.moments(dice, 14 * volume):
        operation = dice.one(("wallet.list", "balance.view", "transfer.view", "transfer.propose"))
        at_least = at + timedelta(seconds=5)
        yield wallet_call(dice, max(moment, at_least), day.person, day.address, agent, session, operation)
