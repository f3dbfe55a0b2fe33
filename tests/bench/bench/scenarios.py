# SPDX-License-Identifier: BSD-2-Clause
"""The scenarios: what is run against which server, and which ratios are drawn from it.

A scenario is a generator function that yields steps: (variant, function). The runner goes through the steps of one
round in turn, so that the servers are measured interleaved, and through several rounds. Each function returns a
dict of figures. A new scenario is a function with the decorator.
"""
from dataclasses import dataclass, field
from functools import partial

from . import callgrind
from .servers import OSCORE, PSK_IDENTITY, PSK_KEY, Coapd, CoapServer, Echo

SCENARIOS = {}


@dataclass
class Ratio:
    """Figure `metric` of `over` divided by that of `under`, in the same round."""

    title: str
    over: str
    under: str
    metric: str
    target: str = ""


@dataclass
class Scenario:
    name: str
    doc: str
    steps: object
    ratios: list = field(default_factory=list)
    show: list = field(default_factory=list)  # figures for the table, in order


def scenario(name, show, ratios=()):
    def register(function):
        SCENARIOS[name] = Scenario(name, function.__doc__, function, list(ratios), show.split())
        return function

    return register


# --- from the generator's report to figures ---


def share(total, count):
    """None where there was nothing: a server that answers nothing must not look like one that is fast."""
    return total / count if count else None


def percentile(histogram, name, unit=1):
    return histogram[name] / unit if histogram["count"] else None


def flow_figures(report):
    flow, spent = report["flow"], report["server"]["measurement"]
    answered = flow["answered"]
    return {
        "rate": flow["rate"],
        "cpu_us": share(spent["cpu_seconds"] * 1e6, answered),
        "per_core": share(answered, spent["cpu_seconds"]) if answered else None,
        "others_percent": report["others_percent"],
        "cpu_percent": 100 * spent["cpu_seconds"] / spent["seconds"],
        "p50_us": percentile(flow["latency_us"], "p50"),
        "p99_us": percentile(flow["latency_us"], "p99"),
        "max_us": percentile(flow["latency_us"], "max"),
        "answered": answered,
        "lost": flow["timeouts"] + flow["skipped"] + flow["send_errors"],
        "errors": answered - succeeded(report),
        "drops": spent["drops"],
        "generator_percent": 100 * report["generator_cpu_seconds"] / spent["seconds"],
    }


def registration_figures(report):
    seen, spent = report["observers"], report["server"]["registration"]
    count = seen["registered"]
    return {
        "registered": count,
        "failed": seen["failed"] + seen["refused"],
        "retransmissions": seen["retransmissions"],
        "rate": seen["registration_rate"],
        "cpu_us": share(spent["cpu_seconds"] * 1e6, count),
        "per_core": share(count, spent["cpu_seconds"]) if count else None,
        "others_percent": report["others_percent"],
        "seconds": seen["registration_seconds"],
        "bytes_each": share(spent["memory_after"] - spent["memory_before"], count),
    }


def part_figures(report, part, suffix):
    """Of a tenth of the registrations: what each cost, and how many a second."""
    spent = report["server"][part]
    count = spent["registered"]
    return {
        f"rate{suffix}": share(count, spent["seconds"]),
        f"cpu_us{suffix}": share(spent["cpu_seconds"] * 1e6, count),
        f"per_core{suffix}": share(count, spent["cpu_seconds"]) if count else None,
        f"written_each{suffix}": share(spent["written"], count),
    }


def notification_figures(report):
    seen, spent = report["observers"], report["server"]["measurement"]
    count = seen["notifications"]
    stale = seen["stale_observe"] + seen["stale_body"]
    return {
        "notified": count,
        "con_percent": share(100 * seen["confirmable"], count),
        "stale": stale,
        "stale_percent": share(100 * stale, count),
        "duplicate": seen["duplicate"],
        "ended": seen["ended"],
        "max_gap_ms": seen["max_gap_ms"],
        "round_p99_ms": percentile(seen["delay_us"], "p99", 1000),
        "cpu_percent": 100 * spent["cpu_seconds"] / spent["seconds"],
        "others_percent": report["others_percent"],
        "notify_us": share(spent["cpu_seconds"] * 1e6, count),
        "drops": spent["drops"],
        "client_drops": seen["client_drops"],
    }


def succeeded(report):
    return sum(n for code, n in report["flow"]["codes"].items() if code.startswith("2."))


# --- building blocks ---


def get(bench, kind, **options):
    with kind(bench.server_core, **options) as server:
        return flow_figures(bench.load(server, server.uri("time")))


def make_idle(bench, server, path="idle"):
    """An observable resource of a few bytes that never changes."""
    bench.load(server, "--method", "put", "--count", "1", "--body", "10", server.uri(path))
    return server.uri(path)


def observed(bench, server, large):
    """Something that does not change: a few bytes, or more than fit into one block."""
    return server.uri(server.large) if large else make_idle(bench, server)


def registered(bench, kind, observers, *load, large=False, **options):
    """Observers of a resource that does not change, one port each, and what they cost."""
    with kind(bench.server_core, **options) as server:
        idle = observed(bench, server, large)
        report = bench.load(server, "--observers", str(observers), "--observe", idle, *load, "--method", "none",
                            "--seconds", "0.1", "--registration-limit", str(bench.registration_limit))
        return registration_figures(report)


def crowd(bench, kind, observers, large=False, **options):
    """GETs of one client while many others observe something that does not change."""
    with kind(bench.server_core, **options) as server:
        load = []
        if observers:
            load = ["--observers", str(observers), "--observe", observed(bench, server, large)]
        report = bench.load(server, *load, server.uri("time"))
        figures = flow_figures(report)
        if observers:
            figures["registered"] = report["observers"]["registered"]
        return figures


# --- the scenarios ---


@scenario("get", "rate cpu_us cpu_percent p50_us p99_us lost errors generator_percent", [
    Ratio("coapd against coap-server", "coapd", "coap-server", "rate", target=">= 1.6"),
    Ratio("coapd against the echo", "coapd", "echo", "rate", target=">= 0.75"),
    Ratio("coap-server against the echo", "coap-server", "echo", "rate"),
    Ratio("coapd against the batching echo", "coapd", "echo-batch", "rate"),
])
def get_scenario(bench):
    """GET of the clock, one client, 64 requests under way"""
    yield "coap-server", partial(get, bench, CoapServer)
    yield "coapd", partial(get, bench, Coapd)
    yield "echo", partial(get, bench, Echo)
    yield "echo-batch", partial(get, bench, Echo, how="batch")


@scenario("get-idle", "rate cpu_us p50_us p99_us lost registered", [
    Ratio("coapd with 10,000 idle observers, against none", "coapd 10000", "coapd 0", "rate", target=">= 0.6"),
    Ratio("coap-server with 10,000 idle observers, against none", "coap-server 10000", "coap-server 0", "rate"),
    Ratio("coapd against coap-server, 10,000 idle observers", "coapd 10000", "coap-server 10000", "rate",
          target=">= 60"),
    Ratio("coapd with 10,000 idle observers of 1,500 bytes, against none", "coapd 10000 large", "coapd 0", "rate",
          target=">= 0.6"),
    Ratio("coap-server with 10,000 idle observers of 1,500 bytes, against none", "coap-server 10000 large",
          "coap-server 0", "rate"),
    Ratio("coapd against coap-server, 10,000 idle observers of 1,500 bytes", "coapd 10000 large",
          "coap-server 10000 large", "rate", target=">= 60"),
])
def get_idle_scenario(bench):
    """GET of one client while N others observe something that does not change (large: 1,500 bytes, block-wise)"""
    for count in bench.peer_counts:
        for kind in (CoapServer, Coapd):
            yield f"{kind.name} {count}", partial(crowd, bench, kind, count)
    for kind in (CoapServer, Coapd):
        yield f"{kind.name} {count} large", partial(crowd, bench, kind, count, large=True)


@scenario("register", "rate cpu_us registered failed retransmissions", [
    Ratio("coapd, persistent, against coap-server", "coapd persistent", "coap-server", "rate", target=">= 2.5"),
    Ratio("coapd, persistent, against not", "coapd persistent", "coapd", "rate"),
    Ratio("coapd, persistent, against coap-server, 1,500 bytes", "coapd persistent large", "coap-server large", "rate",
          target=">= 2.5"),
])
def register_scenario(bench):
    """10,000 observers of something that does not change register, one port each"""
    count = bench.observers
    yield "coap-server", partial(registered, bench, CoapServer, count)
    yield "coapd", partial(registered, bench, Coapd, count)
    yield "coapd persistent", partial(registered, bench, Coapd, count, persist="sqlite")
    yield "coap-server large", partial(registered, bench, CoapServer, count, large=True)
    yield "coapd persistent large", partial(registered, bench, Coapd, count, persist="sqlite", large=True)


def clock(bench, kind, confirmable, *load, observers=None, **options):
    with kind(bench.server_core, confirmable=confirmable, **options) as server:
        report = bench.load(server, "--observers", str(observers or bench.observers), "--observe",
                            server.ticking_uri(), *load, "--registration-limit", str(bench.registration_limit),
                            "--settle", "2", "--rate", "100", "--timeout", "3",
                            server.uri("hello" if kind is Coapd else ""), seconds=bench.clock_seconds)
        gets = flow_figures(report)
        return {**registration_figures(report), **notification_figures(report), "get_p50_ms": percentile(report["flow"]["latency_us"], "p50", 1000),
                "get_p99_ms": percentile(report["flow"]["latency_us"], "p99", 1000), "get_answered": gets["answered"],
                "get_lost": gets["lost"]}


CLOCK_SHOW = ("registered notified con_percent stale_percent duplicate cpu_percent notify_us round_p99_ms max_gap_ms "
              "get_p50_ms get_p99_ms get_answered get_lost drops client_drops")


@scenario("time-non", CLOCK_SHOW, [Ratio("processor time, coapd against coap-server", "coapd", "coap-server",
                                         "cpu_percent")])
def time_non_scenario(bench):
    """10,000 observers of the clock, notified by NON with a CON now and then; 100 GET/s beside them"""
    yield "coap-server", partial(clock, bench, CoapServer, False)
    yield "coapd", partial(clock, bench, Coapd, False)


@scenario("time-con", CLOCK_SHOW)
def time_con_scenario(bench):
    """10,000 observers of the clock, every notification confirmable; 100 GET/s beside them"""
    yield "coap-server", partial(clock, bench, CoapServer, True)
    yield "coapd", partial(clock, bench, Coapd, True)


BY_ADDRESS = ("--observe-by", "address")  # an address each and one socket for all: no limit of open files


def many_observers(count):
    def steps(bench):
        for kind in (CoapServer, Coapd):
            yield kind.name, partial(registered, bench, kind, count, *BY_ADDRESS)
        yield "coapd persistent", partial(registered, bench, Coapd, count, *BY_ADDRESS, persist="sqlite")
        for kind in (CoapServer, Coapd):
            yield f"{kind.name} clock", partial(clock, bench, kind, False, *BY_ADDRESS, observers=count)

    steps.__doc__ = f"{count:,} observers, one address each, of something that does not change and of the clock"
    scenario(f"observers-{count}", "registered failed rate seconds cpu_us bytes_each cpu_percent stale_percent "
                                   "round_p99_ms max_gap_ms get_p99_ms get_answered get_lost drops")(steps)


many_observers(20000)
many_observers(50000)


@scenario("memory", "registered bytes_each")
def memory_scenario(bench):
    """private memory of a session that asked once, and of a session with an observation"""
    count = bench.observers
    for kind in (CoapServer, Coapd):
        yield f"{kind.name} session", partial(registered, bench, kind, count, "--no-observe")
        yield f"{kind.name} observer", partial(registered, bench, kind, count)
    yield "coapd observer persistent", partial(registered, bench, Coapd, count, persist="sqlite")


def idle(bench, kind, observers, **options):
    with kind(bench.server_core, **options) as server:
        load = ["--observers", str(observers), "--observe", server.ticking_uri()] if observers else []
        report = bench.load(server, *load, "--method", "none", "--settle", "2", seconds=bench.idle_seconds)
        spent = report["server"]["measurement"]
        seen = report.get("observers", {})
        return {"wake_ups_a_second": spent["wake_ups"] / spent["seconds"], "wake_ups": spent["wake_ups"],
                "notified": seen.get("notifications", 0), "confirmable": seen.get("confirmable", 0),
                "cpu_ms_a_minute": 60e3 * spent["cpu_seconds"] / spent["seconds"]}


@scenario("idle-wakeups", "wake_ups_a_second wake_ups notified confirmable cpu_ms_a_minute")
def idle_scenario(bench):
    """how often a server wakes that has nothing to do, and with one observer of the clock"""
    for kind in (CoapServer, Coapd):
        for observers in (0, 1):
            yield f"{kind.name} {observers} observers", partial(idle, bench, kind, observers)
    yield "coapd persistent 0 observers", partial(idle, bench, Coapd, 0, persist="sqlite")


TRANSPORTS = (("tcp", "coap+tcp", ">= 1.2"), ("dtls-psk", "coaps", ">= 0.85"), ("ws", "coap+ws", ">= 0.9"),
              ("oscore", "coap", ">= 0.35"))


def load_of_transport(scheme, window, oscore=False):
    load = ["--peers", "16", "--window", str(window)]
    if scheme == "coaps":
        load += ["--psk", f"{PSK_IDENTITY}:{PSK_KEY}"]
    if oscore:
        load += ["--oscore", ":".join((OSCORE["secret"], OSCORE["salt"], OSCORE["client"], OSCORE["server"]))]
    return load


def server_of_transport(oscore):
    return {"oscore": True} if oscore else {"secure": True}


def transport(bench, kind, scheme, window, oscore=False):
    with kind(bench.server_core, **server_of_transport(oscore)) as server:
        return flow_figures(bench.load(server, *load_of_transport(scheme, window, oscore), server.uri("time", scheme)))


# Any server has these to pay: the kernel's part and GnuTLS's, and no more. Of UDP by the batch, as coapd does it.
FLOORS = (("udp", "coap", "batch"), ("tcp", "coap+tcp", "tcp"), ("dtls-psk", "coaps", "dtls"),
          ("ws", "coap+ws", "ws"))


def floor(bench, scheme, how, window):
    with Echo(bench.server_core, how=how) as server:
        return flow_figures(bench.load(server, *load_of_transport(scheme, window), server.uri("time", scheme)))


def transports(name, window, doc):
    def steps(bench):
        for transport_name, scheme, how in FLOORS:
            yield f"echo {transport_name}", partial(floor, bench, scheme, how, window)
        for kind in (CoapServer, Coapd):
            yield f"{kind.name} udp", partial(transport, bench, kind, "coap", window)
            for transport_name, scheme, _ in TRANSPORTS:
                yield (f"{kind.name} {transport_name}",
                       partial(transport, bench, kind, scheme, window, transport_name == "oscore"))

    steps.__doc__ = doc
    scenario(name, "rate cpu_us cpu_percent p50_us p99_us lost errors generator_percent", [
        Ratio(f"{kind.name} {transport_name} against its udp", f"{kind.name} {transport_name}", f"{kind.name} udp",
              "rate", target=target if kind is Coapd else "")
        for kind in (CoapServer, Coapd) for transport_name, _, target in TRANSPORTS
    ] + [
        Ratio(f"{transport_name}, coapd against coap-server", f"coapd {transport_name}",
              f"coap-server {transport_name}", "rate")
        for transport_name, _, _ in TRANSPORTS
    ] + [
        Ratio(f"{transport_name}, coapd against the bare echo", f"coapd {transport_name}", f"echo {transport_name}",
              "rate")
        for transport_name, _, _ in FLOORS
    ] + [
        Ratio(f"{transport_name}, the bare echo against coapd udp", f"echo {transport_name}", "coapd udp", "rate")
        for transport_name, _, _ in FLOORS
    ])(steps)


transports("transports", 16, "GET of the clock over each transport, 16 sessions that each wait for the answer")
transports("transports-pipelined", 64, "GET of the clock over each transport, 16 sessions, 4 requests under way each")


def put(bench, kind, **options):
    with kind(bench.server_core, **options) as server:
        uri = make_idle(bench, server, "value")
        return flow_figures(bench.load(server, "--method", "put", "--body", "32", uri))


@scenario("put", "rate cpu_us cpu_percent p50_us p99_us lost errors", [
    Ratio("coapd against coap-server", "coapd", "coap-server", "rate"),
    Ratio("coapd persistent (interval) against not", "coapd interval", "coapd", "rate"),
    Ratio("coapd persistent (always) against not", "coapd always", "coapd", "rate"),
])
def put_scenario(bench):
    """PUT to one dynamic resource, 32 bytes, one client, 64 requests under way"""
    yield "coap-server", partial(put, bench, CoapServer)
    yield "coapd", partial(put, bench, Coapd)
    for sync in ("interval", "always"):
        yield f"coapd {sync}", partial(put, bench, Coapd, persist="sqlite", sync=sync)


def restore(bench, observers, resources):
    """Fills a store, stops coapd by SIGTERM, and starts it again on the store. What came back is asked for."""
    each = ["--count", str(resources), "--numbers", str(resources)]
    figures = {}
    with Coapd(bench.server_core, persist="sqlite") as server:
        idle_uri = make_idle(bench, server)
        figures["empty_ready_ms"] = 1000 * server.seconds_to_ready
        if resources:
            report = bench.load(server, "--method", "put", "--body", "32", *each, server.uri("r@@@@@@"), seconds=60)
            figures["resources"] = succeeded(report)
        if observers:
            report = bench.load(server, "--observers", str(observers), "--observe", idle_uri, *BY_ADDRESS, "--method",
                                "none", "--seconds", "0.1", "--registration-limit", "90")
            figures["observers"] = report["observers"]["registered"]
        server.stop()
        server.start()
        figures["ready_ms"] = 1000 * server.seconds_to_ready
        if resources:
            report = bench.load(server, *each, server.uri("r@@@@@@"), seconds=60)
            figures["resources_back"] = succeeded(report)
    return figures


@scenario("restore", "observers resources resources_back ready_ms empty_ready_ms")
def restore_scenario(bench):
    """from start to READY=1 with what was stored before"""
    for observers in bench.restore_counts:
        yield f"coapd {observers} observers", partial(restore, bench, observers, 0)
    yield "coapd 10000 resources", partial(restore, bench, 0, 10000)


def kept(bench, observers, engine):
    """Observers register; coapd is stopped by SIGTERM and started again. What was written for them, and how long it took."""
    with Coapd(bench.server_core, persist=engine) as server:
        uri = make_idle(bench, server)
        empty_ms, before = 1000 * server.seconds_to_ready, server.bytes_written()
        report = bench.load(server, "--observers", str(observers), "--observe", uri, *BY_ADDRESS, "--method", "none",
                            "--seconds", "0.1", "--registration-limit", "240", seconds=60)
        figures = registration_figures(report)
        for part, suffix in (("all", ""), ("first_tenth", "_first"), ("last_tenth", "_last")):
            figures.update(part_figures(report, part, suffix))
        if not engine:
            return figures
        written = server.bytes_written() - before
        server.stop()
        size = (server.state / "observers").stat().st_size
        server.start()
        return {**figures, "written": written, "file": size, "written_by_file": share(written, size),
                "written_each": share(written, figures["registered"]),
                "ready_ms": 1000 * server.seconds_to_ready, "restore_ms": 1000 * server.seconds_to_ready - empty_ms}


def added(kept_figures, other):
    """What keeping adds to a registration: of all of them, of the first tenth, of the last."""
    names = [f"cpu_us{suffix}" for suffix in ("", "_first", "_last")]
    cost = {name: kept_figures[name] - other[name] for name in names}
    return {**cost, "last_by_first": share(cost["cpu_us_last"], cost["cpu_us_first"])}


@scenario("persist-observers", "registered failed rate rate_first rate_last cpu_us cpu_us_first cpu_us_last last_by_first "
                               "written_each written_each_first written_each_last file written_by_file ready_ms restore_ms", [
    Ratio("registrations, sqlite against not kept", "sqlite", "off", "rate", target=">= 0.8"),
    Ratio("the same, the first tenth of them", "sqlite", "off", "rate_first", target=">= 0.8"),
    Ratio("the same, the last tenth of them", "sqlite", "off", "rate_last", target=">= 0.8"),
    Ratio("registrations, libcoap's engine against not kept", "libcoap", "off", "rate"),
    Ratio("restore, sqlite against libcoap's engine", "sqlite", "libcoap", "restore_ms", target="< 0.2"),
    Ratio("bytes written, sqlite against libcoap's engine", "sqlite", "libcoap", "written"),
])
def persist_observers_scenario(bench):
    """10,000 observers register, and come back after a restart: the engines beside each other"""
    seen = {}

    def step(name, engine):
        seen[name] = kept(bench, bench.observers, engine)
        return seen[name]

    yield "off", partial(step, "off", None)
    yield "sqlite", partial(step, "sqlite", "sqlite")
    if len(seen) == 2:  # else one of them was not asked for
        yield "sqlite less off", lambda: added(seen["sqlite"], seen["off"])
    yield "libcoap", partial(step, "libcoap", "libcoap")


def update(bench, window, **options):
    with Coapd(bench.server_core, **options) as server:
        uri = make_idle(bench, server, "value")
        return flow_figures(bench.load(server, "--method", "put", "--body", "100", "--window", str(window), uri))


@scenario("persist-put", "rate cpu_us cpu_percent p50_us p99_us lost errors", [
    Ratio('sync = "interval" against not kept', "interval", "off", "rate", target=">= 0.6"),
    Ratio('sync = "always" against not kept', "always", "off", "rate"),
    Ratio('sync = "always", 64 under way against one by one', "always", "always alone", "rate"),
])
def persist_put_scenario(bench):
    """PUT of 100 bytes to one dynamic resource, 64 requests under way; and one by one"""
    yield "off", partial(update, bench, 64)
    for sync in ("interval", "always"):
        yield sync, partial(update, bench, 64, persist="sqlite", sync=sync)
    yield "always alone", partial(update, bench, 1, persist="sqlite", sync="always")


def feature(bench, **options):
    return get(bench, Coapd, **options)


@scenario("features", "rate cpu_us p50_us p99_us lost errors", [
    Ratio("persistence on, against off", "persistent", "plain", "rate", target=">= 0.95"),
    Ratio("10 access rules, against none", "10 rules", "plain", "rate", target=">= 0.95"),
    Ratio("1,000 access rules, against none", "1000 rules", "plain", "rate", target=">= 0.95"),
])
def features_scenario(bench):
    """GET of the clock with features of coapd on and off"""
    yield "plain", partial(feature, bench, access=None)
    yield "persistent", partial(feature, bench, access=None, persist="sqlite")
    yield "10 rules", partial(feature, bench, access=10)
    yield "1000 rules", partial(feature, bench, access=1000)


def counted(bench, observers=0, access=None, load=(), scheme="coap", **options):
    """Instructions of a GET, 64 under way. What is done once, for the first ones, is not counted."""
    requests = 10000
    with callgrind.CountedCoapd(bench.server_core, access=access, **options) as server:
        if observers:
            bench.load(server, "--observers", str(observers), "--observe", server.uri("hello"), "--method", "none",
                       "--registration-limit", "120", seconds=0.1)

        def get_all(count):
            return bench.load(server, *load, "--timeout", "30", "--count", str(count), server.uri("time", scheme),
                              seconds=120)

        if "--oscore" not in load:  # a second client would begin with sequence numbers that have been used
            get_all(1000)
        costs, report = server.count(partial(get_all, requests))
    return {**callgrind.figures(costs, requests), "answered": succeeded(report)}


def noted(bench):
    figures = counted(bench)
    return {**figures, "notes": figures["top"]}


OTHERS = "".join(f', {{ path = "at{i}"; kind = "static"; content = "x"; }}' for i in range(1000))
HOSTS = "".join(f', {{ path = "at{i}"; kind = "static"; content = "x"; host = ( "h{i}.example.org" ); }}'
                for i in range(1000))
FEATURES = {
    "persistent": {"persist": "sqlite"},
    "1 rule": {"access": 0},
    "10 rules": {"access": 10},
    "1000 rules": {"access": 1000},
    "limits": {"extra": 'limits: { requests_per_second = 10000000; unproven = "echo"; };'},
    "1 shard": {"server": "shards = 1;"},
    "1000 resources": {"resources": OTHERS},
    "1000 hosts": {"resources": HOSTS},
    "100 observers": {"observers": 100},
    "1000 observers": {"observers": 1000},
}


@scenario("instructions", "instructions in_coapd in_libcoap in_libc in_other answered", [
    Ratio(f"{name}, against plain", name, "plain", "instructions", target="<= 1.05") for name in FEATURES])
def instructions_scenario(bench):
    """instructions that a GET of the clock takes, kernel not counted (callgrind), with features on and off"""
    yield "plain", partial(noted, bench)
    for name, options in FEATURES.items():
        yield name, partial(counted, bench, **options)


def counted_registrations(bench, **options):
    """Instructions of a registration: observers of one resource, an address each."""
    with callgrind.CountedCoapd(bench.server_core, **options) as server:
        uri = make_idle(bench, server)
        costs, report = server.count(lambda: bench.load(
            server, "--observers", str(bench.observers), "--observe", uri, *BY_ADDRESS, "--method", "none",
            "--registration-limit", "240", seconds=0.1))
    figures = callgrind.figures(costs, bench.observers)
    return {**figures, "notes": figures["top"], "registered": report["observers"]["registered"]}


@scenario("instructions-registrations", "instructions in_coapd in_libcoap in_libc in_sqlite in_other registered")
def instructions_registrations_scenario(bench):
    """instructions that a registration takes, kernel not counted (callgrind), kept and not kept"""
    yield "off", partial(counted_registrations, bench)
    yield "sqlite", partial(counted_registrations, bench, persist="sqlite")


@scenario("instructions-transports", "instructions in_coapd in_libcoap in_libc in_other answered")
def instructions_transports_scenario(bench):
    """instructions that a GET of the clock takes over each transport, 16 sessions, 64 under way; handshakes included"""
    for name, scheme, _ in (("udp", "coap", ""), *TRANSPORTS):
        oscore = name == "oscore"
        yield name, partial(counted, bench, load=load_of_transport(scheme, 64, oscore), scheme=scheme,
                            **server_of_transport(oscore))
