"""What config.toml says, as frozen classes: the ground floor.

Every key has its default and its rule here, and its line of why in config.toml. `load` refuses what it does not
know: an unknown key, a wrong type, a value out of range or a missing secret is one line of a `ConfigError` that names
key, file, line and what is allowed. Secrets come from the environment (`TELEDOM_…`) and never stand in the file.
Relative paths in the file are relative to its folder; `load` makes them absolute.
Units are in the names: `_s` seconds, `_ms` milliseconds, `_days`, `_bytes`.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import attrs
from attrs import frozen

from settings import ConfigError, Reader, choice, number, secret, text, texts

__all__ = ["Config", "ConfigError", "load"]

ARI_PASSWORD = "TELEDOM_ARI_PASSWORD"
PUSH_TOKEN = "TELEDOM_PUSH_TOKEN"
DUTY_TOKEN = "TELEDOM_DUTY_TOKEN"
NODE_TOKEN = "TELEDOM_NODE_TOKEN"
BILLING_TOKEN = "TELEDOM_BILLING_TOKEN"
SECRET_KEY = "TELEDOM_SECRET_KEY"
SECRETS = (ARI_PASSWORD, PUSH_TOKEN, DUTY_TOKEN, NODE_TOKEN, BILLING_TOKEN, SECRET_KEY)
DEFAULT = "default"  # the dispatch that is called where no other is known, or none can be reached; any vendor's handset
VENDORS = ("beward", "hikvision", "qtech", "sokol")  # of panels


class Ringing(Enum):
    """What a panel is sent while phones ring: 180 Ringing, or 183 Session Progress for panels that want it."""

    RINGING_180 = "180"
    PROGRESS_183 = "183"


class AriTransport(Enum):
    """How requests reach Asterisk: over WebSockets (22.4+, 20.14+), over HTTP, or by what its version allows."""

    AUTO = "auto"
    WEBSOCKET = "websocket"
    HTTP = "http"


class Strangers(Enum):
    """Where a call to a lent number goes that comes from no number of the dispatch."""

    DUTY = "duty"
    PANEL = "panel"


_S, _MS = "seconds", "milliseconds"
_HTTP_URL = r"https?://[^/\s@]+(/[^\s@]*)?"
_GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NUMBER = r"\+?[0-9]{1,20}"
_ADDRESS = r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"


@frozen(kw_only=True)
class NodeConfig:
    name: str = text("node1", r"[^\s]{1,64}", "a name of up to 64 characters without spaces")
    state_dir: str = text("var", r"\S(.*\S)?", "a folder")
    http: str = text("127.0.0.1:8089", _ADDRESS, 'an address and port like "127.0.0.1:8089"')
    token: str = secret(NODE_TOKEN, "what the CRM's pages are known by to the nodes")
    kamailio: str = text(
        "http://127.0.0.1:8087", rf"({_HTTP_URL})?", "a URL (http, without user and password), or nothing,"
    )
    stop_s: float = number(10.0, _S, 1, 300)


@frozen(kw_only=True)
class AriConfig:
    url: str = text(
        "http://127.0.0.1:8088/ari",
        _HTTP_URL,
        'a URL like "http://127.0.0.1:8088/ari" or "https://…", without user and password,',
    )
    user: str = text("teledom", r"[^\s:]+", "a user of ari.conf, without spaces and colons,")
    password: str = secret(ARI_PASSWORD, "the password of this user in Asterisk's ari.conf", needed=True)
    ca_file: str = text("", r".*", "a file, or nothing,")
    transport: AriTransport = AriTransport.AUTO
    lanes: int = number(2, "lanes", 1, 16)
    request_deadline_s: float = number(5.0, _S, 0.1, 60)
    lane_late_ms: int = number(500, _MS, 10, 60_000)
    coalesce_ms: float = number(10.0, _MS, 0, 50)
    reply_coalesce_ms: float = number(50.0, _MS, 0, 250)
    reconnect_min_s: float = number(0.2, _S, 0.01, 60)
    reconnect_max_s: float = number(10.0, _S, 0.1, 600)
    max_frame_bytes: int = number(1_048_576, "bytes", 65_536, 67_108_864)
    sweep_s: float = number(60.0, _S, 1, 3600)


@frozen(kw_only=True)
class CallConfig:
    endpoint: str = text("televoip", r"[\w.-]+", "an endpoint of pjsip.conf")
    uri_type: str = text("mobile", r"[\w.-]+", "a word")
    ringing: Ringing = Ringing.RINGING_180
    ring_s: float = number(30.0, _S, 1, 300)
    talk_s: float = number(120.0, _S, 1, 3600)
    directory_deadline_ms: int = number(1500, _MS, 50, 30_000)
    idle_panel_s: float = number(10.0, _S, 1, 86_400)
    language: str = text("ru", r"[a-z]{2,3}([_-]\w+)?", 'a language like "ru"')


@frozen(kw_only=True)
class PushConfig:
    url: str = text("", rf"({_HTTP_URL})?", "a URL (http or https, without user and password), or nothing,")
    token: str = secret(PUSH_TOKEN, "what the push gateway knows us by")
    deadline_s: float = number(3.0, _S, 0.1, 60)
    coalesce_ms: float = number(100.0, _MS, 0, 1000)
    connections: int = number(4, "connections", 1, 64)
    batch: int = number(200, "pushes", 1, 10_000)
    queue: int = number(10_000, "pushes", 1, 1_000_000)


@frozen(kw_only=True)
class SosConfig:
    hold_s: float = number(1800.0, _S, 60, 86_400)
    keep_s: float = number(10_800.0, _S, 60, 604_800)
    low_numbers: int = number(2, "numbers", 0, 10_000)
    commit_ms: int = number(300, _MS, 10, 5_000)
    trunk_s: float = number(4.0, _S, 1, 30)
    trunk_again_s: float = number(60.0, _S, 1, 3600)
    ring_s: float = number(120.0, _S, 10, 600)
    rounds: int = number(5, "times", 1, 100)
    pause_s: float = number(3.0, _S, 0, 60)
    talk_s: float = number(3600.0, _S, 60, 86_400)
    call_back_ring_s: float = number(75.0, _S, 60, 300)
    strangers: Strangers = Strangers.DUTY
    refresh_s: float = number(300.0, _S, 1, 86_400)
    test_days: int = number(3, "days", 0, 365)
    tests_at_once: int = number(2, "calls", 1, 100)
    recordings: str = text("/var/spool/asterisk/monitor", r"/.*", "a folder, from / on")


@frozen(kw_only=True)
class DispatchConfig:
    fias: str = text("", rf"({_GUID})?", "a FIAS id (a GUID), or nothing,")
    trunks: tuple[str, ...] = texts(r"[\w.-]+", "endpoints of pjsip.conf")
    plain_trunks: tuple[str, ...] = texts(r"[\w.-]+", "endpoints of pjsip.conf")
    number: str = text("112", rf"{_NUMBER}", "a telephone number")
    test_number: str = text("", rf"({_NUMBER})?", "a telephone number, or nothing,")
    callers: tuple[str, ...] = texts(_NUMBER, "telephone numbers")
    reserve: tuple[str, ...] = texts(_NUMBER, "telephone numbers")


@frozen(kw_only=True)
class DutyConfig:
    account: str = text(
        "", r"([\w.-]{1,64}@[A-Za-z0-9.-]{1,253})?", 'a SIP account like "duty@teledom", or nothing,'
    )
    url: str = text("", rf"({_HTTP_URL})?", "a URL (http or https, without user and password), or nothing,")
    token: str = secret(DUTY_TOKEN, "what the duty desk's webhook knows us by")
    deadline_s: float = number(3.0, _S, 0.1, 60)
    retry_s: float = number(600.0, _S, 0, 86_400)


@frozen(kw_only=True)
class QualityConfig:
    at_once: int = number(20, "calls", 0, 1000)
    idle_s: float = number(60.0, _S, 0, 3600)
    test_idle_s: float = number(5.0, _S, 0, 3600)
    answer_s: float = number(25.0, _S, 5, 120)
    listen_s: float = number(4.0, _S, 3, 30)
    panel_ms: int = number(3000, _MS, 100, 30_000)
    recordings: str = text("/var/spool/asterisk/monitor", r"/.*", "a folder, from / on")
    keep_days: int = number(90, "days", 1, 36_500)
    keep_mb: int = number(20_000, "MB", 1, 100_000_000)


@frozen(kw_only=True)
class HandsetConfig:
    """When a recorded call says that a flat's handset is well; each key is one measure's threshold."""

    packets: float = number(0.95, "parts of 1", 0, 1)
    loss: float = number(0.01, "parts of 1", 0, 1)
    jitter_ms: float = number(30.0, _MS, 1, 1000)
    r_factor: float = number(60.0, "points", 0, 93)
    speech_s: float = number(0.2, _S, 0.1, 10)
    listen_s: float = number(3.0, _S, 0.5, 60)
    silence_dbfs: float = number(-65.0, "dBFS", -90, -50)
    weak_dbov: float = number(-38.0, "dBov", -60, -27)
    hot_dbov: float = number(-16.0, "dBov", -26, 0)
    noise_dbfs: float = number(-45.0, "dBFS", -80, -20)
    snr_db: float = number(15.0, "dB", 0, 60)
    hum_db: float = number(10.0, "dB", 0, 60)
    hum_share: float = number(0.2, "parts of 1", 0, 1)
    hum_dbfs: float = number(-55.0, "dBFS", -80, -20)
    clipping: float = number(0.001, "parts of 1", 0, 1)
    echo_db: float = number(-30.0, "dB", -60, 0)


@frozen(kw_only=True)
class CrmConfig:
    url: str = text(
        "sqlite:///var/crm.db",
        r"sqlite:///(?!:memory:)[^\s?]+|postgresql(\+psycopg)?://([^\s:@/]+@)?[^\s@/]*/[^\s@/?]+(\?\S*)?",
        'a database, "sqlite:///FILE" or "postgresql://USER@HOST/NAME" (its password in PGPASSWORD or ~/.pgpass),',
    )
    secret_key: str = secret(SECRET_KEY, "what panels' passwords in the CRM are sealed with")
    fresh_s: float = number(5.0, _S, 0, 3600)
    known_flats: int = number(50_000, "flats", 0, 10_000_000)


@frozen(kw_only=True)
class CodesConfig:
    at: str = text("05:00", r"([01]\d|2[0-3]):[0-5]\d", 'a time of day like "05:00"')
    time_zone: str = text("Europe/Moscow", r"\w[\w+/-]{0,63}", 'a time zone like "Europe/Moscow"')
    digits: int = number(5, "digits", 5, 8)


@frozen(kw_only=True)
class BillingConfig:
    url: str = text("", rf"({_HTTP_URL})?", "a URL (http or https, without user and password), or nothing,")
    token: str = secret(BILLING_TOKEN, "what billing knows us by")
    deadline_s: float = number(10.0, _S, 0.5, 120)
    retry_s: float = number(30.0, _S, 1, 3600)
    retry_max_s: float = number(3600.0, _S, 1, 86_400)
    debts_minutes: int = number(15, "minutes", 1, 1440)


@frozen(kw_only=True)
class WebConfig:
    http: str = text("127.0.0.1:8080", _ADDRESS, 'an address and port like "127.0.0.1:8080"')
    nodes: tuple[str, ...] = texts(_HTTP_URL, 'addresses of nodes like "http://127.0.0.1:8089"')
    time_zone: str = text("Europe/Moscow", r"\w[\w+/-]{0,63}", 'a time zone like "Europe/Moscow"')
    cookies: str = choice("secure", "secure", "plain")
    proxies: tuple[str, ...] = texts(r"[0-9A-Fa-f.:]+", "IP addresses")
    idle_s: float = number(7200.0, _S, 60, 604_800)
    longest_s: float = number(43_200.0, _S, 300, 2_592_000)
    threads: int = number(12, "threads", 2, 100)


@frozen(kw_only=True)
class JournalConfig:
    flush_ms: int = number(400, _MS, 10, 10_000)
    retry_max_s: float = number(30.0, _S, 1, 3600)
    keep_days: int = number(365, "days", 1, 36_500)


@frozen(kw_only=True)
class LogConfig:
    level: str = choice("info", "debug", "info", "warning", "error")
    format: str = choice("text", "text", "json")


@frozen(kw_only=True)
class Config:
    node: NodeConfig = NodeConfig()
    ari: AriConfig = AriConfig()
    call: CallConfig = CallConfig()
    push: PushConfig = PushConfig()
    sos: SosConfig = SosConfig()
    dispatch: Mapping[str, DispatchConfig] = attrs.field(factory=lambda: {DEFAULT: DispatchConfig()})
    duty: DutyConfig = DutyConfig()
    quality: QualityConfig = QualityConfig()
    handset: Mapping[str, HandsetConfig] = attrs.field(factory=lambda: {DEFAULT: HandsetConfig()})
    crm: CrmConfig = CrmConfig()
    codes: CodesConfig = CodesConfig()
    billing: BillingConfig = BillingConfig()
    web: WebConfig = WebConfig()
    journal: JournalConfig = JournalConfig()
    log: LogConfig = LogConfig()

    def handset_of(self, vendor: str) -> HandsetConfig:
        """What a handset behind a panel of this vendor is judged by; [handset.default] where it has no section."""
        return self.handset.get(vendor, self.handset[DEFAULT])


def load(path: str | Path, env: Mapping[str, str], *, need_secrets: bool = False) -> Config:
    """Read the configuration in `path`, with secrets from `env`. Raises ConfigError.

    `need_secrets`: what a node cannot do without (ARI's password) must be there.
    """
    path = Path(path)
    reader = Reader(path, env, Config, need_secrets=need_secrets)
    ari, sos = reader.section("ari", AriConfig), reader.section("sos", SosConfig)
    dispatch = {DEFAULT: DispatchConfig()}
    dispatch |= reader.sections(
        "dispatch", DispatchConfig, r"[a-z0-9_-]{1,64}", "a short name in small letters"
    )
    config = Config(
        node=reader.section("node", NodeConfig),
        ari=ari,
        call=reader.section("call", CallConfig),
        push=reader.section("push", PushConfig),
        sos=sos,
        dispatch=dispatch,
        duty=reader.section("duty", DutyConfig),
        quality=reader.section("quality", QualityConfig),
        handset=_handsets(reader),
        crm=reader.section("crm", CrmConfig),
        codes=reader.section("codes", CodesConfig),
        billing=reader.section("billing", BillingConfig),
        web=reader.section("web", WebConfig),
        journal=reader.section("journal", JournalConfig),
        log=reader.section("log", LogConfig),
    )
    if ari.reconnect_min_s > ari.reconnect_max_s:
        reader.refuse("ari", "reconnect_min_s", f"at most reconnect_max_s, which is {ari.reconnect_max_s:g},")
    if sos.hold_s > sos.keep_s:
        reader.refuse("sos", "hold_s", f"at most keep_s, which is {sos.keep_s:g},")
    for name, each in dispatch.items():
        if bool(each.fias) is (name == DEFAULT):
            needed = "nothing, as it is everybody's," if name == DEFAULT else "the city's FIAS id"
            reader.refuse(f"dispatch.{name}", "fias", needed)
        elif each.fias and [d.fias for d in dispatch.values()].count(each.fias) > 1:
            reader.refuse(f"dispatch.{name}", "fias", "a city that no other [dispatch.…] has")
    for name, zone in (("codes", config.codes.time_zone), ("web", config.web.time_zone)):
        if zone not in zoneinfo.available_timezones():
            reader.refuse(name, "time_zone", 'a time zone like "Europe/Moscow"')
    if config.billing.retry_s > config.billing.retry_max_s:
        reader.refuse("billing", "retry_s", f"at most retry_max_s, which is {config.billing.retry_max_s:g},")
    reader.finish()
    return _absolute(config, path.absolute().parent)


def _handsets(reader: Reader) -> dict[str, HandsetConfig]:
    """[handset.default] and each vendor's, which has from the default what it leaves out."""
    fields = {
        each.name: attrs.field(default=None, metadata=dict(each.metadata))
        for each in attrs.fields(HandsetConfig)
    }
    kind: type[HandsetConfig] = attrs.make_class(
        "Given", fields, (HandsetConfig,), slots=True, frozen=True, kw_only=True
    )
    found = reader.sections("handset", kind, "|".join((DEFAULT, *VENDORS)), f"one of {', '.join(VENDORS)}")
    given = {
        name: {key: value for key, value in attrs.asdict(each).items() if value is not None}
        for name, each in found.items()
    }
    default = HandsetConfig(**given.pop(DEFAULT, {}))
    return {DEFAULT: default} | {name: attrs.evolve(default, **values) for name, values in given.items()}


def _absolute(config: Config, folder: Path) -> Config:
    """The same, with paths that hold wherever the program is run."""
    node = attrs.evolve(config.node, state_dir=str(folder / config.node.state_dir))
    ari = attrs.evolve(config.ari, ca_file=str(folder / config.ari.ca_file) if config.ari.ca_file else "")
    crm = config.crm
    if crm.url.startswith("sqlite:///"):
        crm = attrs.evolve(crm, url=f"sqlite:///{folder / crm.url.removeprefix('sqlite:///')}")
    return attrs.evolve(config, node=node, ari=ari, crm=crm)
