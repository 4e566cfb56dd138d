"""Mixed events of a company for the benchmark of the store: six sources, raw JSON of about 660 bytes.

Deterministic by seed and batch number; computed with numpy and Arrow, so that 100 million take minutes.
People, addresses and names visited follow Zipf's law; every record carries ids that never repeat.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sekisho.ocsf import EVENT_SCHEMA

START = 1_770_000_000_000_000 // 86_400_000_000 * 86_400_000_000  # a midnight in UTC, µs
DAY = 86_400_000_000
PEOPLE = 2_000
NAMES = 50_000
REMOTE = 200_000
SHARES = {"okta": 0.15, "cloudtrail": 0.2, "sysmon": 0.22, "unbound": 0.2, "squid": 0.18, "github": 0.05}

Ints = npt.NDArray[np.int64]


def _strings(data: bytes, width: int) -> pa.Array:
    """Strings of equal width that lie one behind the other."""
    count = len(data) // width
    offsets = pa.py_buffer(np.arange(0, (count + 1) * width, width, dtype=np.int32).tobytes())
    return pa.Array.from_buffers(pa.string(), count, [None, offsets, pa.py_buffer(data)])


class Company:
    """The fixed part: people, their devices, addresses, names that are visited."""

    def __init__(self, seed: int = 1) -> None:
        dice = np.random.default_rng(seed)
        self.seed = seed
        self.mail = pa.array([f"emp{n:04d}@example.jp" for n in range(PEOPLE)])
        self.person = pa.array([f"emp{n:04d}" for n in range(PEOPLE)])
        self.host = pa.array([f"PC-{n * 7919 % 10_000:05d}" for n in range(PEOPLE)])
        self.device = _strings(dice.bytes(16 * PEOPLE).hex().encode(), 32)
        self.inside = pa.array([f"10.{n // 250 % 250}.{n % 250}.{20 + n % 200}" for n in range(PEOPLE)])
        octets = dice.integers(1, 255, (REMOTE, 3))
        self.remote = pa.array(
            [f"{(11, 34, 52, 133, 203)[n % 5]}.{a}.{b}.{c}" for n, (a, b, c) in enumerate(octets)]
        )
        tlds = ("com", "net", "io", "jp", "org", "dev")
        self.name = pa.array(
            [f"{'abcdefgh'[n % 8]}{n * 2654435761 % 999_983:x}.example.{tlds[n % 6]}" for n in range(NAMES)]
        )
        self.image = pa.array([rf"C:\\Program Files\\App{n}\\bin\\tool{n % 37}.exe" for n in range(400)])
        self.sha = _strings(dice.bytes(32 * 400).hex().encode(), 64)
        self.operation = pa.array(
            [
                f"{verb}{noun}"
                for verb in ("Get", "List", "Describe", "Put", "Create", "Delete")
                for noun in ("Object", "Bucket", "Role", "Key", "Instance", "Secret", "Queue", "Table")
            ]
        )
        self.agent = pa.array(
            [
                f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{n}.0.0.0 Safari/537.36"
                for n in range(118, 138)
            ]
        )


def _zipf(dice: np.random.Generator, of: int, count: int) -> pa.Array:
    """Places 0 … of-1, the first ones often (exponent about 1)."""
    return pa.array(np.minimum((of ** dice.random(count) - 1).astype(np.int64), of - 1))


class _Rows:
    """What the sources of one batch share."""

    def __init__(self, company: Company, number: int, count: int, total: int, days: int) -> None:
        self.dice = np.random.default_rng([company.seed, number])
        self.company, self.count = company, count
        step = days * DAY / total
        at = START + ((number * count + np.arange(count)) * step).astype(np.int64)
        self.at: Ints = at + self.dice.integers(0, 2_000_000, count)
        self.when = pa.array(self.at, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        self.iso = pc.strftime(
            self.when.cast(pa.timestamp("ms", tz="UTC"), safe=False), format="%Y-%m-%dT%H:%M:%SZ"
        )
        self.who = _zipf(self.dice, PEOPLE, count)
        self.mail = company.mail.take(self.who)
        day = (self.at // DAY).astype(np.int64)
        mixed = (np.asarray(self.who) * 1_000_003 + day).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        twice = np.stack([mixed, mixed * np.uint64(0xBF58476D1CE4E5B9)], axis=1)
        self.session = _strings(twice.tobytes().hex().encode(), 32)
        self.remote = company.remote.take(_zipf(self.dice, REMOTE, count))
        self.name = company.name.take(_zipf(self.dice, NAMES, count))

    def hex(self, digits: int) -> pa.Array:
        return _strings(self.dice.bytes(self.count * digits // 2).hex().encode(), digits)

    def of(self, choices: pa.Array) -> pa.Array:
        return choices.take(pa.array(self.dice.integers(0, len(choices), self.count)))

    def words(self, *choices: str) -> pa.Array:
        return self.of(pa.array(choices))

    def digits(self, low: int, high: int) -> pa.Array:
        return pa.array(self.dice.integers(low, high, self.count)).cast(pa.string())

    def numbers(self, low: int, high: int) -> pa.Array:
        return pa.array(self.dice.integers(low, high, self.count), pa.int64())


def _join(*parts: object) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _okta(r: _Rows) -> dict[str, object]:
    uid, agent = r.hex(32), r.of(r.company.agent)
    outcome = r.words(*["SUCCESS"] * 9, "FAILURE")
    kind = r.words(
        "user.session.start",
        "user.authentication.sso",
        "user.authentication.auth_via_mfa",
        "policy.evaluate_sign_on",
    )
    country = r.words(*["JP"] * 8, "US", "SG")
    raw = _join(
        '{"actor":{"id":"00u',
        r.company.person.take(r.who),
        '","type":"User","alternateId":"',
        r.mail,
        '","displayName":"',
        r.company.person.take(r.who),
        '"},"client":{"userAgent":{"rawUserAgent":"',
        agent,
        '","os":"Windows 10","browser":"CHROME"},"zone":"null","device":"Computer","ipAddress":"',
        r.remote,
        '","geographicalContext":{"country":"',
        country,
        '"}},"authenticationContext":{"authenticationStep":0,"externalSessionId":"',
        r.session,
        '"},"eventType":"',
        kind,
        '","outcome":{"result":"',
        outcome,
        '"},"published":"',
        r.iso,
        '","severity":"INFO","debugContext":{"debugData":{"requestId":"',
        r.hex(24),
        '","dtHash":"',
        r.hex(64),
        '"}},"transaction":{"type":"WEB","id":"',
        r.hex(24),
        '"},"uuid":"',
        uid,
        '"}',
    )
    return {
        "class_uid": 3002, "activity_id": 1, "status": outcome, "metadata_uid": uid, "metadata_event_code": kind,
        "status_id": pc.if_else(pc.equal(outcome, "SUCCESS"), 1, 2), "actor_user_email_addr": r.mail, "user_email_addr": r.mail,
        "session_uid": r.session, "src_endpoint_ip": r.remote, "src_country": country, "http_request_user_agent": agent,
        "metadata_product_name": "Okta", "raw": raw,
    }  # fmt: skip


def _cloudtrail(r: _Rows) -> dict[str, object]:
    uid, operation, request = r.hex(32), r.of(r.company.operation), r.hex(16)
    region = r.words("ap-northeast-1", "ap-northeast-1", "us-east-1")
    service = r.words("s3.amazonaws.com", "kms.amazonaws.com", "iam.amazonaws.com", "ec2.amazonaws.com")
    failed = r.words(*[""] * 14, "AccessDenied")
    raw = _join(
        '{"eventVersion":"1.09","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:',
        r.mail,
        '","arn":"arn:aws:sts::123456789012:assumed-role/Engineer/',
        r.mail,
        '","accountId":"123456789012","accessKeyId":"ASIA',
        pc.utf8_upper(pc.utf8_slice_codeunits(r.session, 0, 16)),
        '"},"eventTime":"',
        r.iso,
        '","eventSource":"',
        service,
        '","eventName":"',
        operation,
        '","awsRegion":"',
        region,
        '","sourceIPAddress":"',
        r.remote,
        '","userAgent":"aws-cli/2.15 Python/3.11 Linux/6.1 botocore/2.4","errorCode":"',
        failed,
        '","requestParameters":{"bucketName":"app-data-',
        r.digits(1, 40),
        '","key":"objects/',
        r.hex(16),
        '"},"requestID":"',
        request,
        '","eventID":"',
        uid,
        '","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,'
        '"recipientAccountId":"123456789012","tlsDetails":{"tlsVersion":"TLSv1.3"}}',
    )
    return {
        "class_uid": 6003, "activity_id": 2, "metadata_uid": uid, "api_request_uid": request, "api_operation": operation,
        "api_service_name": service, "cloud_region": region, "actor_user_email_addr": r.mail, "src_endpoint_ip": r.remote,
        "status_id": pc.if_else(pc.equal(failed, ""), 1, 2), "metadata_product_name": "CloudTrail", "raw": raw,
    }  # fmt: skip


def _sysmon(r: _Rows) -> dict[str, object]:
    which = _zipf(r.dice, 400, r.count)
    image, sha, host = r.company.image.take(which), r.company.sha.take(which), r.company.host.take(r.who)
    line = _join('\\"', image, '\\" --run ', r.digits(1, 100_000), " --token ", r.hex(16))
    raw = _join(
        '{"@timestamp":"',
        r.iso,
        '","host":{"name":"',
        host,
        '"},"winlog":{"channel":"Microsoft-Windows-Sysmon/Operational","event_id":"1",'
        '"provider_name":"Microsoft-Windows-Sysmon","record_id":',
        r.digits(10**7, 10**8),
        ',"event_data":{"UtcTime":"',
        r.iso,
        '","ProcessGuid":"{',
        r.hex(32),
        '}","ProcessId":"',
        r.digits(100, 30_000),
        '","Image":"',
        image,
        '","CommandLine":"',
        line,
        '","User":"EXAMPLE\\\\',
        r.company.person.take(r.who),
        '","IntegrityLevel":"Medium","Hashes":"SHA256=',
        sha,
        '","ParentImage":"C:\\\\Windows\\\\explorer.exe","LogonGuid":"{',
        r.session,
        '}"}},"agent":{"version":"8.15.0","id":"',
        r.company.device.take(r.who),
        '"}}',
    )
    return {
        "class_uid": 1007, "activity_id": 1, "device_hostname": host, "device_uid": r.company.device.take(r.who),
        "actor_user_name": r.company.person.take(r.who), "process_file_path": image, "process_cmd_line": line,
        "process_file_hash_sha256": sha, "process_pid": r.numbers(100, 30_000), "metadata_product_name": "Sysmon", "raw": raw,
    }  # fmt: skip


def _unbound(r: _Rows) -> dict[str, object]:
    inside, kind = r.company.inside.take(r.who), r.words("A", "A", "AAAA", "HTTPS")
    raw = _join(
        '{"timestamp":"',
        r.iso,
        '","type":"dns","dns":{"type":"answer","id":',
        r.digits(1, 65_536),
        ',"rrname":"',
        r.name,
        '","rrtype":"',
        kind,
        '","rcode":"NOERROR","ttl":',
        r.digits(1, 3600),
        ',"rdata":"',
        r.remote,
        '"},"src_ip":"',
        inside,
        '","src_port":',
        r.digits(1024, 65_535),
        ',"dest_ip":"10.0.0.53","dest_port":53,"proto":"UDP","flow_id":',
        r.digits(10**15, 10**16),
        ',"community_id":"1:',
        r.hex(40),
        '","host":"tyo-dns-1","in_iface":"ens5","pcap_cnt":',
        r.digits(10**6, 10**9),
        ',"flags":"8180","qr":true,"rd":true,"ra":true,"grouped":{"A":["',
        r.remote,
        '"]},"tags":["internal","resolver"]}',
    )
    return {
        "class_uid": 4003, "activity_id": 6, "query_hostname": r.name, "query_type": kind, "rcode": "NOERROR",
        "answers_rdata": r.remote, "src_endpoint_ip": inside, "device_hostname": "tyo-dns-1", "metadata_product_name": "Unbound", "raw": raw,
    }  # fmt: skip


def _squid(r: _Rows) -> dict[str, object]:
    inside, agent, method = (
        r.company.inside.take(r.who),
        r.of(r.company.agent),
        r.words("GET", "GET", "CONNECT", "POST"),
    )
    url, code = (
        _join("https://", r.name, "/v1/", r.hex(12), "?id=", r.hex(16)),
        r.words(*["200"] * 8, "404", "503"),
    )
    raw = _join(
        '{"ts":"',
        r.iso,
        '","elapsed":',
        r.digits(1, 9000),
        ',"client":"',
        inside,
        '","user":"',
        r.mail,
        '","method":"',
        method,
        '","url":"',
        url,
        '","code":',
        code,
        ',"bytes":',
        r.digits(100, 10**7),
        ',"agent":"',
        agent,
        '","hier":"HIER_DIRECT","peer":"',
        r.remote,
        '","mime":"application/json","squid":{"result":"TCP_MISS","version":"6.6"},"trace":"',
        r.hex(32),
        '","sni":"',
        r.name,
        '","host":"tyo-px-1","proto":"HTTP/1.1","bump":"splice","cert":"',
        r.hex(40),
        '"}',
    )
    return {
        "class_uid": 4002, "activity_id": 3, "user_email_addr": r.mail, "src_endpoint_ip": inside, "dst_endpoint_ip": r.remote,
        "http_request_url_hostname": r.name, "http_request_url_url_string": url, "http_request_user_agent": agent,
        "http_request_http_method": method, "http_response_code": code.cast(pa.int64()), "metadata_product_name": "Squid", "raw": raw,
    }  # fmt: skip


def _github(r: _Rows) -> dict[str, object]:
    uid, action = r.hex(32), r.words("git.clone", "git.push", "git.fetch", "pull_request.merge")
    repository = _join("example/repo-", r.digits(1, 300))
    raw = _join(
        '{"_document_id":"',
        uid,
        '","@timestamp":',
        r.digits(10**12, 2 * 10**12),
        ',"action":"',
        action,
        '","actor":"',
        r.company.person.take(r.who),
        '","actor_ip":"',
        r.remote,
        '","actor_location":{"country_code":"JP"},"business":"example","org":"example","repo":"',
        repository,
        '","repository_public":false,"token_scopes":"repo","hashed_token":"',
        r.hex(44),
        '","programmatic_access_type":"Fine-grained personal access token","user_agent":"git/2.43.0","transport_protocol_name":"http",'
        '"external_identity_nameid":"',
        r.mail,
        '","request_id":"',
        r.hex(32),
        '","operation_type":"access","created_at":"',
        r.iso,
        '"}',
    )
    return {
        "class_uid": 6003, "activity_id": 1, "metadata_uid": uid, "metadata_event_code": action, "resource_name": repository,
        "actor_user_name": r.company.person.take(r.who), "src_endpoint_ip": r.remote, "src_country": "JP",
        "metadata_product_name": "GitHub", "raw": raw,
    }  # fmt: skip


_MAKERS: dict[str, Callable[[_Rows], dict[str, object]]] = {
    "okta": _okta, "cloudtrail": _cloudtrail, "sysmon": _sysmon, "unbound": _unbound, "squid": _squid, "github": _github,
}  # fmt: skip


def batch(company: Company, number: int, count: int, total: int, days: int) -> pa.Table:
    """Events ``number * count`` … of ``total``, spread evenly over ``days``; columns as the lake takes them."""
    rows = _Rows(company, number, count, total, days)
    source = rows.dice.choice(len(SHARES), count, p=list(SHARES.values()))
    tables = []
    uid, offset = rows.hex(32), pa.array((number << 20) + np.arange(count), pa.int64())
    delay = pa.array(rows.dice.integers(200_000, 9_000_000, count)).cast(pa.duration("us"))
    for which, (name, make) in enumerate(_MAKERS.items()):
        mine = pa.array(np.flatnonzero(source == which))
        part = _Part(rows, mine)
        said = make(part)
        common = {
            "time": part.when, "event_uid": uid.take(mine), "journal_offset": offset.take(mine), "source": name,
            "ingested_at": pc.add(part.when, delay.take(mine)), "receiver": "bulk", "severity_id": 1,
            "person_uid": company.person.take(part.who), "account": part.mail, "context_version": "20260514-1",
            "category_uid": int(str(said["class_uid"])) // 1000, "src_net_class": part.words("own-egress", "fixed", "mobile"),
        }  # fmt: skip
        tables.append(_table({**common, **said}, len(mine)))
    return pa.concat_tables(tables).sort_by("time")


class _Part(_Rows):
    """The rows of one source."""

    def __init__(self, rows: _Rows, mine: pa.Array) -> None:
        self.dice, self.company, self.count = rows.dice, rows.company, len(mine)
        self.at = rows.at[np.asarray(mine)]
        self.when, self.iso, self.who = rows.when.take(mine), rows.iso.take(mine), rows.who.take(mine)
        self.mail, self.session = rows.mail.take(mine), rows.session.take(mine)
        self.remote, self.name = rows.remote.take(mine), rows.name.take(mine)


def _table(values: dict[str, object], count: int) -> pa.Table:
    columns = []
    for field in EVENT_SCHEMA:
        value = values.get(field.name)
        if value is None:
            columns.append(pa.nulls(count, field.type))
        elif isinstance(value, pa.Array | pa.ChunkedArray):
            columns.append(value.cast(field.type))
        else:
            columns.append(pa.array([value], field.type).take(pa.array(np.zeros(count, dtype=np.int64))))
    return pa.table(columns, schema=EVENT_SCHEMA)
