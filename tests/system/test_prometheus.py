"""A real Prometheus that scrapes a client and a server, with the sample alerts."""

import json
import re
import subprocess
import urllib.parse
import urllib.request

import pytest

from support.daemon import REPOSITORY, run
from support.ports import endpoint, free_port
from support.streams import echo_once
from support.targets import EchoTarget
from support.tunnel import Tunnel
from support.waiting import wait_until

ALERTS = REPOSITORY / "config" / "prometheus-alerts.yml"


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A client and a server that can be scraped at `stage.metrics`."""
    addresses = {name: endpoint("127.0.0.1", free_port()) for name in ("client", "server")}
    settings = {f"{name}_settings": {"metrics": {"listen": address}} for name, address in addresses.items()}
    with (EchoTarget() as target,
          Tunnel(tmp_path_factory.mktemp("tunnel"), {"echo": target.address}, **settings) as made):
        made.metrics = addresses
        yield made


class Prometheus:
    """Scrapes, and looks at its rules, five times a second."""

    def __init__(self, directory, targets, rules):
        self._address = endpoint("127.0.0.1", free_port())
        config = directory / "prometheus.yml"
        config.write_text(json.dumps({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": name, "static_configs": [{"targets": [address]}]}
                               for name, address in targets.items()]}), encoding="utf-8")
        checked = run("promtool", "check", "config", config)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        self.log_path = directory / "prometheus.log"
        with open(self.log_path, "wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
                 f"--web.listen-address={self._address}"], cwd=directory, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(30)

    def _get(self, path):
        with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}", timeout=10) as reply:
            return json.load(reply)["data"]

    def query(self, expression):
        """The values that it has now, by their labels; empty as long as it does not answer."""
        assert self._process.poll() is None, self.log_path.read_text()
        try:
            found = self._get("query?" + urllib.parse.urlencode({"query": expression}))
        except OSError:
            return {}
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found["result"]}

    def alerts(self):
        return [(alert["labels"]["alertname"], alert["state"], alert["labels"])
                for alert in self._get("alerts")["alerts"]]

    def wait_query(self, expression, wanted):
        wait_until(lambda: self.query(expression) == wanted, 30,
                   lambda: f"{expression} to be {wanted}; it is {self.query(expression)}")


@pytest.fixture(scope="module")
def prometheus(stage, tmp_path_factory):
    directory = tmp_path_factory.mktemp("prometheus")
    rules = directory / "alerts.yml"
    text, count = re.subn(r"\bfor: \S+", "for: 1s", ALERTS.read_text(encoding="utf-8"))
    assert count > 0
    rules.write_text(text, encoding="utf-8")
    with Prometheus(directory, stage.metrics, rules) as made:
        yield made


def job(name):
    return (("job", name),)


def test_promtool_has_nothing_to_say(stage):
    with stage.connect() as application:
        echo_once(application)
        for address in stage.metrics.values():
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
                done = subprocess.run(["promtool", "check", "metrics"], input=page.read(), capture_output=True,
                                      check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert done.returncode == 0 and re.search(r"SUCCESS: \d+ rules found", done.stdout), done


def test_it_sees_both_daemons_and_their_sessions(stage, prometheus):
    prometheus.wait_query("sum by (job) (up)", {job("client"): 1, job("server"): 1})
    sessions = 'sum by (job) (backedpipe_sessions{state="connected"})'
    prometheus.wait_query(sessions, {job("client"): 0, job("server"): 0})
    with stage.connect() as application:
        echo_once(application)
        prometheus.wait_query(sessions, {job("client"): 1, job("server"): 1})
    prometheus.wait_query(sessions, {job("client"): 0, job("server"): 0})


def test_a_peer_that_is_down_raises_its_alert_and_nothing_else(stage, prometheus):
    prometheus.wait_query("sum by (job) (up)", {job("client"): 1, job("server"): 1})
    assert prometheus.alerts() == []
    with stage.connect() as application:
        echo_once(application)
        stage.relay.refuse()
        stage.relay.cut()

        def firing():
            return [(name, labels) for name, state, labels in prometheus.alerts() if state == "firing"]

        wait_until(firing, 30, lambda: f"an alert to fire; there are {prometheus.alerts()}")
        (name, labels), = firing()
        assert name == "BackedpipePeerDown"
        assert (labels["job"], labels["instance"], labels["peer"]) == ("client", stage.metrics["client"], "far")
        stage.relay.accept()
        wait_until(lambda: prometheus.alerts() == [], 30, lambda: f"no alert any more: {prometheus.alerts()}")
        echo_once(application)
