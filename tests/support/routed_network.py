"""Three namespaces in a row, and everything that can happen to such a network.

    client ── c0 / r0 ── router ── r1 / s0 ── server
         10.81.1.2   10.81.1.1   10.81.2.1   10.81.2.2      IPv4
         fd81:1::2   fd81:1::1   fd81:2::1   fd81:2::2      IPv6
"""

import json

from support.netns import Namespace

CLIENT_NET, SERVER_NET = {4: "10.81.1.", 6: "fd81:1::"}, {4: "10.81.2.", 6: "fd81:2::"}
PREFIX = {4: 24, 6: 64}
SERVER_NAME = "gw.example.org"

# Counts before anything is dropped: connections that the client tries to open, and bytes.
COUNTERS = """
table inet counting {
  counter dials { }
  counter to_server { }
  counter to_client { }
  chain early {
    type filter hook prerouting priority -400
    iif "r0" tcp flags & (syn | ack) == syn counter name dials
  }
  chain through {
    type filter hook forward priority 100
    oif "r1" counter name to_server
    oif "r0" counter name to_client
  }
}
"""
BLACKHOLE = """
table inet blackhole {
  chain through {
    type filter hook prerouting priority -300; policy drop
  }
}
"""
NAT = """
table ip nat {
  chain post {
    type nat hook postrouting priority 100
    oif "r1" masquerade fully-random
  }
}
"""
# A NAT that has forgotten a connection drops its packets, as carriers' NATs do.
SILENT_NAT = """
table ip forgetful {
  chain through {
    type filter hook forward priority 0
    ct state invalid drop
  }
}
"""


class RoutedNetwork:
    """`family` is that of the addresses that the daemons are given; the links have both."""

    def __init__(self, family=4):
        self.family = family
        self._client_host = 2
        self._server_hosts = [2]
        self._made = []
        try:
            self.client, self.router, self.server = (self._make(role) for role in ("client", "router", "server"))
            self._connect(self.client, "c0", "r0")
            self._connect(self.server, "s0", "r1")
            self.router.sysctl("net/ipv4/ip_forward", 1)
            self.router.sysctl("net/ipv6/conf/all/forwarding", 1)
            self.router.configure(*_addresses("r0", CLIENT_NET, 1), *_addresses("r1", SERVER_NET, 1),
                                  "link set r0 up", "link set r1 up")
            self.client.configure("link set c0 up", *self._client_setup())
            self.server.configure("link set s0 up", *self._server_setup())
            self.router.nft(COUNTERS)
        except BaseException:
            self.close()
            raise

    def _make(self, role):
        namespace = Namespace(role)
        self._made.append(namespace)
        # Addresses are usable at once, without duplicate address detection.
        for scope in ("all", "default"):
            namespace.sysctl(f"net/ipv6/conf/{scope}/accept_dad", 0)
        return namespace

    def _connect(self, namespace, near, far):
        namespace.configure(f"link add {near} type veth peer name {far} netns {self.router.name}")
        # A link that has just come up may lose the first answer to "who has this address". The network is only back
        # with the second answer, and the kernel waits a second before it asks again unless this is set.
        for place, link in ((namespace, near), (self.router, far)):
            for family in ("ipv4", "ipv6"):
                place.sysctl(f"net/{family}/neigh/{link}/retrans_time_ms", 50)

    def _client_setup(self):
        return [*_addresses("c0", CLIENT_NET, self._client_host), *_default_routes("c0", CLIENT_NET)]

    def _server_setup(self):
        addresses = [line for host in self._server_hosts for line in _addresses("s0", SERVER_NET, host)]
        return [*addresses, *_default_routes("s0", SERVER_NET)]

    # -- addresses ----------------------------------------------------------------------------

    @property
    def any_address(self):
        return {4: "0.0.0.0", 6: "::"}[self.family]

    def server_address(self, number=0):
        return f"{SERVER_NET[self.family]}{self._server_hosts[number]}"

    def add_server_address(self):
        """Adds an address to the server."""
        self._server_hosts.append(max(self._server_hosts) + 1)
        self.server.configure(*self._server_setup())
        return self.server_address(-1)

    def publish_server(self):
        """From now on the client's processes, also future ones, can resolve SERVER_NAME."""
        self.client.hosts(**{SERVER_NAME: self.server_address()})

    def move_server(self):
        """Gives the server another address instead of the old one, and changes its name's address."""
        old = self._server_hosts[0]
        self._server_hosts = [old + 10]
        self.server.configure(*_addresses("s0", SERVER_NET, old, "del"), *self._server_setup())
        self.publish_server()

    def replace_client_address(self):
        """Changes the client's network: the old address goes, another one and a route come."""
        old = self._client_host
        self._client_host += 1
        self.client.configure(*_addresses("c0", CLIENT_NET, old, "del"), *self._client_setup())

    # -- links --------------------------------------------------------------------------------

    def client_link_down(self):
        self.client.configure("link set c0 down")

    def client_link_up(self):
        # Routes and IPv6 addresses were lost with the link and have to be configured anew.
        self.client.configure("link set c0 up", *self._client_setup())

    def far_link_down(self):
        """On the far side of the router: the client's own network stays as it is."""
        self.router.configure("link set r1 down")

    def far_link_up(self):
        self.router.configure("link set r1 up", *_addresses("r1", SERVER_NET, 1))

    def limit(self, megabits):
        """Limits the rate in both directions, with a queue of 100 ms."""
        for link in ("r0", "r1"):
            self.router.execute("tc", "qdisc", "replace", "dev", link, "root", "tbf", "rate", f"{megabits}mbit",
                                "burst", "32kb", "latency", "100ms")

    # -- drops --------------------------------------------------------------------------------

    def blackhole(self):
        """The router drops everything, in both directions."""
        self.router.nft(BLACKHOLE)

    def heal(self):
        self.router.nft("delete table inet blackhole")

    def swallow_larger_than(self, size):
        """The router drops larger packets, in bytes with all headers, and says nothing about it."""
        # Otherwise the hosts leave it to the network card, which is not there, to cut what they send into packets.
        for place, link in ((self.client, "c0"), (self.server, "s0")):
            place.configure(f"link set {link} gso_max_segs 1")
        self.router.nft(f"""
table inet narrow {{
  chain through {{
    type filter hook forward priority 0
    meta length > {size} drop
  }}
}}
""")

    def drop_address(self, address):
        """The router drops everything to and from one address."""
        protocol = {4: "ip", 6: "ip6"}[self.family]
        self.router.nft(f"""
table inet dropped {{
  chain through {{
    type filter hook forward priority 0
    {protocol} daddr {address} drop
    {protocol} saddr {address} drop
  }}
}}
""")

    def restore_addresses(self):
        self.router.nft("delete table inet dropped")

    def reset_links(self, ports):
        """The next packet of the client's connections from these ports is answered with a reset."""
        self.router.nft(f"""
table inet resets
delete table inet resets
table inet resets {{
  chain through {{
    type filter hook forward priority 0
    iif "r0" tcp sport {{ {', '.join(map(str, ports))} }} reject with tcp reset
  }}
}}
""")

    # -- address translation ------------------------------------------------------------------

    def translate(self, *, silent=False):
        """The router masquerades; after `forget_translations` it drops old connections or lets the server reset them."""
        self.router.nft(NAT)
        # Waits until connection tracking works.
        self.router.execute("conntrack", "-L")
        self.router.sysctl("net/netfilter/nf_conntrack_tcp_loose", 0 if silent else 1)
        if silent:
            self.router.nft(SILENT_NAT)

    def forget_translations(self):
        """NAT rebinding: the router forgets all connections."""
        self.router.execute("conntrack", "-D", "-p", "tcp")

    # -- counting -----------------------------------------------------------------------------

    def counters(self):
        """{"dials": packets, "to_server": bytes, "to_client": bytes}"""
        listed = json.loads(self.router.execute("nft", "-j", "list", "table", "inet", "counting"))
        found = {entry["counter"]["name"]: entry["counter"] for entry in listed["nftables"] if "counter" in entry}
        return {name: counter["packets" if name == "dials" else "bytes"] for name, counter in found.items()}

    # -- its end ------------------------------------------------------------------------------

    def close(self):
        for namespace in reversed(self._made):
            namespace.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _addresses(link, net, host, action="replace"):
    return [f"addr {action} {net[family]}{host}/{PREFIX[family]} dev {link}" for family in (4, 6)]


def _default_routes(link, net):
    return [f"route replace {everywhere} via {net[family]}1 dev {link}"
            for family, everywhere in ((4, "0.0.0.0/0"), (6, "::/0"))]
