#!/usr/bin/python3
"""layering.py must find what it is there for."""

import unittest

import layering


def problems(path, text):
    return [problem for _, problem in layering.problems_in(path, text)]


class Layers(unittest.TestCase):
    def test_the_core_may_not_use_the_network_layer(self):
        self.assertTrue(problems("lib/session/session.cpp", '#include "net/clock.hpp"'))
        self.assertFalse(problems("lib/net/session/session_driver.cpp", '#include "session/session.hpp"'))

    def test_the_core_has_no_sockets_and_no_clock(self):
        self.assertTrue(problems("lib/pipe/outbox.cpp", "#include <sys/socket.h>"))
        self.assertTrue(problems("lib/pipe/outbox.cpp", "const auto now = Clock::now();"))


class Floors(unittest.TestCase):
    def test_a_floor_may_use_itself_and_lower_ones(self):
        for name in ("net/clock.hpp", "net/link/transport.hpp", "net/shared/event_feed.hpp"):
            self.assertFalse(problems("lib/net/shared/spare_links.cpp", f'#include "{name}"'), name)

    def test_a_floor_may_not_use_a_higher_one(self):
        self.assertTrue(problems("lib/net/shared/session_directory.hpp", '#include "net/accept/acceptor.hpp"'))
        self.assertTrue(problems("lib/net/clock.hpp", '#include "net/link/transport.hpp"'))
        self.assertTrue(problems("lib/net/link/tls/tls_wire.cpp", '#include "lib/net/dial/connector.hpp"'))

    def test_a_folder_inside_a_folder_is_on_its_floor(self):
        self.assertFalse(problems("lib/net/link/tls/tls_wire.cpp", '#include "net/link/transport.hpp"'))
        self.assertFalse(problems("lib/net/dial/connector.cpp", '#include "net/link/tls/link_security.hpp"'))

    def test_a_folder_without_a_floor_is_a_mistake(self):
        self.assertTrue(problems("lib/net/misc/tools.cpp", '#include "net/misc/tools.hpp"'))

    def test_the_pump_uses_the_session_and_not_the_other_way_round(self):
        self.assertFalse(problems("lib/session/pump/session_pump.hpp", '#include "session/session.hpp"'))
        self.assertTrue(problems("lib/session/session.hpp", '#include "session/pump/session_pump.hpp"'))


class Circles(unittest.TestCase):
    def test_a_circle_is_found(self):
        texts = {
            "lib/net/dial/a.hpp": '#include "net/dial/b.hpp"',
            "lib/net/dial/b.hpp": '#include "net/link/c.hpp"\n#include "net/dial/a.hpp"',
            "lib/net/link/c.hpp": "",
        }
        self.assertEqual(layering.circle_in(texts),
                         ["lib/net/dial/a.hpp", "lib/net/dial/b.hpp", "lib/net/dial/a.hpp"])
        texts["lib/net/dial/b.hpp"] = '#include "net/link/c.hpp"'
        self.assertIsNone(layering.circle_in(texts))


class Locks(unittest.TestCase):
    def test_a_lock_that_the_compiler_cannot_check_is_a_mistake(self):
        self.assertTrue(problems("lib/net/shared/peer_gates.hpp", "  std::mutex mutex_;"))
        self.assertTrue(problems("lib/net/dial/connector.cpp", "  const std::scoped_lock lock(mutex_);"))
        self.assertFalse(problems("lib/net/shared/peer_gates.hpp", "  Mutex mutex_;  // no std::mutex"))

    def test_what_has_a_lock_stands_in_one_folder(self):
        include = '#include "net/shared/mutex.hpp"'
        self.assertFalse(problems("lib/net/shared/peer_gates.hpp", include))
        self.assertTrue(problems("lib/net/dial/connector.cpp", include))


if __name__ == "__main__":
    unittest.main()
